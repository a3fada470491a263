"""What the predecessor's tracker wrote of a session, as actions: the way back from its trace.

The tracker left `<session_id>.json` in the store's root: the session, its events in their order,
and once more each tool call, decision, transformation and entity link with the columns of its
table. Such a session need not be guessed from its manifest; how it went can be read.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from provenance_log.errors import LineInvalid, LogUnsafe, ManifestInvalid
from provenance_log.format import COLUMN_INTEGER_MAX, canonical_timestamp
from provenance_log.reader import open_for_reading
from provenance_log.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from provenance_log.taxonomy import Taxonomy

Action: TypeAlias = dict[str, Any]
TRACE_BYTES_MAX = 64 * 1024 * 1024
_READ_ONLY = frozenset({"lifecycle", "log", "decision", "entity_link"})
_TABLES = {
    "tool_call": ("tool_calls", "tool_name"),
    "decision": ("decisions", "decision_point"),
    "transformation": ("transformations", "transformation_name"),
    "entity_link": ("entity_links", "entity_id"),
}
"""Event type → the list of its rows, and which column its events are named after."""
_NOT_OF_DETAILS = {"session_id", "event_id", "timestamp", "call_time", "duration_ms", "success"}
_ENVIRONMENT = {"hostname": "host"}
_LINK = ("entity_table", "entity_id", "link_type")


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A trace as it was read, and the hash of its bytes."""

    name: str
    values: Mapping[str, Any]
    sha256: str

    @property
    def session(self) -> Mapping[str, Any]:
        """What the trace says of the session as a whole."""
        found = self.values.get("session")
        return found if isinstance(found, dict) else {}

    @property
    def environment(self) -> dict[str, Any]:
        """What is known of the machine, under the names of a session's `user_context`."""
        found = self.session.get("environment")
        known = found if isinstance(found, dict) else {}
        told = {key: value for key, value in known.items() if value is not None}
        return {_ENVIRONMENT.get(str(key), str(key)): value for key, value in told.items()}

    def items(self, key: str) -> list[dict[str, Any]]:
        """Return the objects of a list; nothing where there is no list."""
        found = self.values.get(key)
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def read_trace(root: Path, session_id: str) -> TraceFile | None:
    """Return what the tracker wrote of a session; None where it wrote nothing.

    Raises `ManifestInvalid` for a file that can't be read, or tells of another session.
    """
    path = root / f"{session_id}.json"
    data = _content(path)
    if data is None:
        return None
    hint = "mend the file, or give it another name to adopt the manifest alone"
    try:
        values = parse_object(data)
    except LineInvalid as error:
        raise ManifestInvalid(f"no JSON that can be kept: {error}", path=path, hint=hint) from error
    session = values.get("session")
    if not isinstance(session, dict) or session.get("session_id") != session_id:
        message = "not the trace of the session it is named after"
        raise ManifestInvalid(message, path=path, hint=hint)
    return TraceFile(path.name, values, hashlib.sha256(data).hexdigest())


def _content(path: Path) -> bytes | None:
    try:
        fd = open_for_reading(path)
    except FileNotFoundError:
        return None
    except LogUnsafe as error:
        raise ManifestInvalid("it is no plain file", path=path) from error
    except OSError as error:
        raise ManifestInvalid(error.strerror or str(error), path=path) from error
    with os.fdopen(fd, "rb") as file:
        data = file.read(TRACE_BYTES_MAX + 1)
    if len(data) > TRACE_BYTES_MAX:
        raise ManifestInvalid(f"it is larger than {TRACE_BYTES_MAX:,} bytes", path=path)
    return data


def traced_actions(trace: TraceFile, taxonomy: Taxonomy, started: str) -> Iterator[Action]:
    """Yield an action for each event, in order, with its own id and what its row adds to it.

    Rows that no event tells of follow as events of their own, so that every row is found again.
    What has no time of its own happened when the session `started`.
    """
    rows = _Rows(trace)
    for event in trace.items("execution_trace"):
        event_type = str(event.get("event_type") or "log")
        name = str(event.get("event_name") or event_type)
        yield _action(event, event_type, name, rows.of_event(event_type, event), taxonomy, started)
    for event_type, row in rows.left():
        name = str(row.get(_TABLES[event_type][1]) or event_type)
        yield _action({}, event_type, name, row, taxonomy, started)


@dataclass(slots=True)
class _Rows:
    """The rows of a trace that no event took yet."""

    trace: TraceFile
    lists: dict[str, list[dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self.lists = {kind: self.trace.items(key) for kind, (key, _) in _TABLES.items()}

    def of_event(self, event_type: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take the row that an event tells of: by its id, else the first of its name."""
        rows = self.lists.get(event_type, [])
        _, column = _TABLES.get(event_type, ("", ""))
        by_id = [row for row in rows if row.get("event_id") == event.get("event_id")]
        name = str(event.get("event_name"))
        unclaimed = [row for row in rows if not row.get("event_id")]
        # The tracker names a tool call after its type and its name: `api.kegg`.
        names = {name, name.rpartition(".")[2]}
        by_name = [row for row in unclaimed if str(row.get(column)) in names]
        for row in (*by_id, *by_name)[:1]:
            rows.remove(row)
            return row
        return {}

    def left(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what nobody took, with the event type of its table."""
        for event_type, rows in self.lists.items():
            yield from ((event_type, row) for row in rows)


def _action(
    event: Mapping[str, Any],
    event_type: str,
    name: str,
    row: Mapping[str, Any],
    taxonomy: Taxonomy,
    started: str,
) -> Action:
    told = event.get("details")
    details = {key: value for key, value in row.items() if key not in _NOT_OF_DETAILS}
    details |= told if isinstance(told, dict) else {"value": told} if told is not None else {}
    facts = {**row, **details, **event}
    tool = taxonomy.tool_of_event(str(facts.get("tool_name") or name)) or "unknown"
    error = facts.get("error_message") or facts.get("error")
    action = {
        "timestamp": _time(facts.get("timestamp") or facts.get("call_time"), started),
        "type": taxonomy.type_of_event(event_type, tool),
        "tool": tool,
        "status": "failure" if facts.get("success") is False or error else "success",
        "duration_ms": _duration(facts.get("duration_ms")),
        "details": {key: value for key, value in details.items() if value is not None},
        "read_only": event_type in _READ_ONLY or None,
        "error": {"code": str(facts.get("error_type") or "error"), "message": str(error)}
        if error
        else None,
        "entity_links": [{key: str(facts[key]) for key in _LINK}]
        if event_type == "entity_link" and all(facts.get(key) for key in _LINK)
        else None,
        "event_type": event_type,
        "event_name": name,
        "database_event_id": event.get("event_id") or row.get("event_id"),
    }
    return {key: value for key, value in action.items() if value is not None}


def _duration(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value) if 0 <= value <= COLUMN_INTEGER_MAX else None


def _time(value: object, otherwise: str) -> str:
    """Return a time of the trace, which names no zone: the manifest says that it is UTC."""
    try:
        return canonical_timestamp(str(value))
    except LineInvalid:
        return otherwise
