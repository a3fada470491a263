"""An action becomes what a line holds of it, before anything is locked.

It is made representable, its secrets are taken out, it gets its time and its id, and is encoded.
Almost every action needs none of the first two and is written in the order of a line: that is
seen from its JSON, which then goes into the line as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provenance_log import blobs
from provenance_log.errors import LineInvalid
from provenance_log.format import (
    LINE_BYTES_MAX,
    Body,
    canonical_timestamp,
    encode_body,
)
from provenance_log.placing import Prepared
from provenance_log.plain_actions import is_plain, plain_body
from provenance_log.stamping import new_event_id, now_text
from provenance_log.values import exact_json, representable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from provenance_log.redact import Redactor

_NUMBER_AND_PREV_BYTES = 80
_PLAIN_BYTES_MAX = LINE_BYTES_MAX // 2
"""A longer action may not fit in a line with what is added to it."""


def prepare(action: Mapping[str, Any], redactor: Redactor, session_directory: Path) -> Prepared:
    """Return the action ready to be numbered and chained; its large members may go to blobs.

    Raises `LineInvalid` for an action that breaks the schema.
    """
    encoded = exact_json(action)
    if (
        encoded is not None
        and len(encoded) <= _PLAIN_BYTES_MAX
        and is_plain(action)
        and redactor.finds_nothing(encoded)
    ):
        return Prepared(action, plain_body(encoded, now_text(), new_event_id()), None, True)
    value = dict(action) if encoded is not None else representable(action)
    return _prepare_any(redactor.redact(value), session_directory)


def _prepare_any(value: dict[str, Any], session_directory: Path) -> Prepared:
    event_id = value.get("database_event_id")
    timestamp = value.get("timestamp")
    if timestamp is None:
        value["timestamp"] = now_text().decode()
    elif isinstance(timestamp, str):
        value["timestamp"] = canonical_timestamp(timestamp)
    if event_id is None:
        value["database_event_id"] = new_event_id().decode()
    body = encode_body(value)
    if _size_bytes(body) > LINE_BYTES_MAX:
        value = blobs.move_large_members(value, session_directory)
        body = encode_body(value)
        if _size_bytes(body) > LINE_BYTES_MAX:
            message = "longer than a line may be, even with its large members moved to blobs"
            raise LineInvalid("too_long", message)
    return Prepared(value, body, event_id, timestamp is None)


def _size_bytes(body: Body) -> int:
    return len(body.head) + len(body.rest) + _NUMBER_AND_PREV_BYTES
