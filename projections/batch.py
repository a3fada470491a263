"""Decoded lines as rows of the relation `batch`, and the lines that could not be decoded.

This is where a line becomes columns. The columns are those that every table needs; what only one
table needs is taken from `details` by that table's SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.errors import LineInvalid
from provenance_log.format import decode_timed, event_id_of, event_name_of, event_type_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projections.columns import Fields
    from provenance_log.reader import RawLine

BATCH_FIELDS: Fields = (
    ("session_id", "text"),
    ("log", "text"),
    ("line_number", "int64"),
    ("line_offset", "int64"),
    ("line_bytes", "int64"),
    ("line_hash", "text"),
    ("chained", "boolean"),
    ("event_id", "text"),
    ("event_type", "text"),
    ("event_name", "text"),
    ("timestamp", "timestamp"),
    ("sequence_number", "int32"),
    ("action_type", "text"),
    ("tool", "text"),
    ("status", "text"),
    ("duration_ms", "int32"),
    ("read_only", "boolean"),
    ("context", "json"),
    ("details", "json"),
    ("input_params", "json"),
    ("output_data", "json"),
    ("files_affected", "json"),
    ("error", "json"),
    ("entity_links", "json"),
)

QUARANTINE_FIELDS: Fields = (
    ("session_id", "text"),
    ("log", "text"),
    ("line_number", "int64"),
    ("line_offset", "int64"),
    ("line_bytes", "int64"),
    ("reason", "text"),
    ("detail", "text"),
    ("sha256", "text"),
)

BATCH_VERSION = 1
"""Grows when the same line gives another row than before, which makes every table stale."""

Row = tuple[Any, ...]

_EMPTY_OBJECT = b"{}"
_DETAIL_CHARACTERS_MAX = 500


def decode_lines(
    lines: Iterable[RawLine], session_id: str, log: str
) -> tuple[list[Row], list[Row]]:
    """Return the rows for `batch`, and the rows for the quarantine: each line is in one of them."""
    rows: list[Row] = []
    refused: list[Row] = []
    for raw in lines:
        try:
            rows.append(_row(raw, session_id, log))
        except LineInvalid as error:
            refused.append(_refused(raw, session_id, log, error))
    return rows, refused


def refuse_row(row: Row, reason: str, detail: str) -> Row:
    """Return the quarantine row of a line that was decoded but that SQL could not take."""
    session_id, log, number, offset, length, digest = row[:6]
    return (
        session_id,
        log,
        number,
        offset,
        length,
        reason,
        detail[:_DETAIL_CHARACTERS_MAX],
        digest,
    )


def _row(raw: RawLine, session_id: str, log: str) -> Row:
    if raw.content is None:
        raise LineInvalid("too_long", f"{raw.length} bytes are more than a reader keeps")
    value, time_us = decode_timed(raw.content)
    event_type = event_type_of(value)
    details = value.get("details") or {}
    input_params = output_data = None
    if event_type == "tool_call":
        input_params = _json(details.pop("input_params", None))
        output_data = _json(details.pop("output_data", None))
    return (
        session_id,
        log,
        raw.line_number,
        raw.offset,
        raw.length,
        raw.hash,
        value.get("prev") == raw.prev,
        event_id_of(value, session_id, raw.line_number),
        event_type,
        event_name_of(value),
        time_us,
        value["action_id"],
        value["type"],
        value["tool"],
        value["status"],
        value.get("duration_ms"),
        value.get("read_only"),
        _json(value.get("context")),
        _json(details) or _EMPTY_OBJECT,
        input_params,
        output_data,
        _json(value.get("files_affected")),
        _json(value.get("error")),
        _json(value.get("entity_links")),
    )


def _json(value: object) -> bytes | None:
    # The copy is not idle: orjson returns a small text in a buffer of its own pages, and keeping
    # those of a whole batch costs 4 KiB each.
    return None if value is None else b"%b" % orjson.dumps(value)


def _refused(raw: RawLine, session_id: str, log: str, error: LineInvalid) -> Row:
    detail = error.message.encode("utf-8", "backslashreplace").decode()[:_DETAIL_CHARACTERS_MAX]
    place = (session_id, log, raw.line_number, raw.offset, raw.length)
    return (*place, error.reason, detail, raw.hash)
