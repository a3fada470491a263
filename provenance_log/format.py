"""The bytes of an action line: the only place that knows them. FORMAT.md is the text of it.

A line is one JSON object in UTF-8. The writer is strict and canonical: keys in a fixed order,
`timestamp` first, `action_id` second, `prev` last. The reader is strict about JSON and about the
required keys, and lenient about everything it does not know.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.errors import LineInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA_VERSION = "1.1.0"
GENESIS_PREV = "0" * 64
LINE_BYTES_MAX = 1024 * 1024
READ_LINE_BYTES_MAX = 16 * LINE_BYTES_MAX
DEPTH_MAX = 128
INTEGER_MAX = 2**53 - 1
COLUMN_INTEGER_MAX = 2**31 - 1
"""Numbers that schema 1.0.0 keeps in an INTEGER column: `action_id` and `duration_ms`."""

ACTION_TYPES = ("read", "search", "analyze", "modify", "create", "execute", "query", "decision")
STATUSES = ("success", "failure", "partial", "skipped")
EVENT_TYPES = (
    "lifecycle",
    "tool_call",
    "decision",
    "transformation",
    "log",
    "entity_link",
    "annotation",
)
REASONS = (
    "empty",
    "too_long",
    "not_utf8",
    "control_byte",
    "lone_surrogate",
    "not_json",
    "not_object",
    "too_deep",
    "number_out_of_range",
    "missing_key",
    "wrong_type",
)

SESSION_NAMESPACE = uuid.UUID("0d3f1a52-6f5e-5d6b-9a57-3b1f6f0f5a11")
"""Namespace of the UUIDv5 of sessions and events that bring no id of their own."""

_ORDER = (
    "type",
    "tool",
    "status",
    "duration_ms",
    "context",
    "details",
    "files_affected",
    "read_only",
    "error",
    "entity_links",
    "event_type",
    "event_name",
    "database_event_id",
)
_GIVEN_AT_APPEND = ("action_id", "prev")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT_NUMBERS = orjson.OPT_STRICT_INTEGER

# A number token that could be out of range: 16 digits or more, or an exponent of three digits.
# It also matches text that looks like one, which only costs the slow check.
_SUSPECT_NUMBER = re.compile(rb"[:,\[\s]-?(?:\d{16}|\d[\d.]*[eE][+-]?\d{3})")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Body:
    """An encoded action that still lacks its number and its link to the line before."""

    head: bytes
    rest: bytes

    def line(self, action_id: int, prev: str) -> bytes:
        """Return the whole line, without its newline."""
        return b'%b%d%b%b"}' % (self.head, action_id, self.rest, prev.encode())


def line_hash(line: bytes) -> str:
    """Return the SHA-256 (hex) of a line's bytes without its newline: the next line's `prev`."""
    return hashlib.sha256(line).hexdigest()


def encode_body(action: Mapping[str, object]) -> Body:
    """Encode an action in canonical key order, leaving room for `action_id` and `prev`.

    Keys this version does not know follow the known ones in the caller's order.
    Raises `LineInvalid` where the value is not exactly representable; nothing is repaired here
    (`values.representable` does that before).
    """
    _check_for_writing(action)
    rest = {key: action[key] for key in _ORDER if action.get(key) is not None}
    for key, value in action.items():
        if key not in rest and key != "timestamp" and value is not None:
            rest[key] = value
    try:
        head = orjson.dumps({"timestamp": action["timestamp"]})
        tail = orjson.dumps(rest, option=_EXACT_NUMBERS)
    except TypeError as error:  # orjson.JSONEncodeError is a TypeError
        raise LineInvalid(_reason_of_encode_error(str(error)), f"can't encode: {error}") from error
    if depth_exceeds(tail, DEPTH_MAX - 1):
        raise LineInvalid("too_deep", f"nested deeper than {DEPTH_MAX} levels")
    return Body(head[:-1] + b',"action_id":', b"," + tail[1:-1] + b',"prev":"')


def encode(action: Mapping[str, object], *, action_id: int, prev: str) -> bytes:
    """Return one whole line, without its newline; raises `LineInvalid`."""
    line = encode_body(action).line(action_id, prev)
    if len(line) > LINE_BYTES_MAX:
        raise LineInvalid("too_long", f"{len(line)} bytes are more than {LINE_BYTES_MAX}")
    return line


def decode(line: bytes) -> dict[str, Any]:
    """Return the action of a line, or raise `LineInvalid` with a reason of `REASONS`.

    Accepts lines of schema 1.0.0, unknown keys, unknown `type` and `status` texts, and null where
    an optional key could be absent. Does not check the chain: `reader.is_chained` does.
    """
    return decode_timed(line)[0]


def decode_timed(line: bytes) -> tuple[dict[str, Any], int]:
    """Return the action of a line and its time in microseconds since 1970 (UTC)."""
    value = _parse(line)
    for key, is_right, type_name in _REQUIRED:
        if key not in value:
            raise LineInvalid("missing_key", f"the required key {key!r} is missing")
        if not is_right(value[key]):
            raise LineInvalid("wrong_type", f"{key!r} must be {type_name}")
    for key, is_right, type_name in _OPTIONAL:
        found = value.get(key)
        if found is not None and not is_right(found):
            raise LineInvalid("wrong_type", f"{key!r} must be {type_name}")
    for key in ("action_id", "duration_ms"):
        number = value.get(key)
        if number is not None and not -COLUMN_INTEGER_MAX <= number <= COLUMN_INTEGER_MAX:
            raise LineInvalid("number_out_of_range", f"{key!r} does not fit in 32 bits")
    return value, timestamp_us(value["timestamp"])


def event_type_of(value: Mapping[str, Any]) -> str:
    """Return the event type; lines of schema 1.0.0 have none, so it follows from the action."""
    event_type = value.get("event_type")
    if event_type:
        return str(event_type)
    if value["type"] == "decision":
        return "decision"
    return "lifecycle" if value["tool"] == "AgentExecution" else "tool_call"


def event_name_of(value: Mapping[str, Any]) -> str:
    """Return the event's name; a line of schema 1.0.0 has only its tool."""
    return str(value.get("event_name") or value["tool"])


def event_id_of(value: Mapping[str, Any], session_id: str, line_number: int) -> str:
    """Return the event's id; without one, a UUIDv5 of the session and the line's number."""
    event_id = value.get("database_event_id")
    if event_id:
        return str(event_id)
    return str(uuid.uuid5(SESSION_NAMESPACE, f"{session_id}/{line_number}"))


def session_id_of(first_line: bytes) -> str:
    """Return the identity of the session whose log begins with this line.

    It is `details.session.session_id` of a `session_start`; for any other first line, valid or
    not, the UUIDv5 of the line's bytes. Two logs with the same first line are one session.
    """
    try:
        value = decode(first_line)
    except LineInvalid:
        value = {}
    details = value.get("details") or {}
    session = details.get("session")
    if isinstance(session, dict) and value.get("event_name") == "session_start":
        session_id = session.get("session_id")
        if isinstance(session_id, str) and session_id:
            return session_id
    return str(uuid.uuid5(SESSION_NAMESPACE, line_hash(first_line)))


def timestamp_us(text: str) -> int:
    """Return microseconds since 1970 (UTC) of an RFC 3339 time.

    A time without an offset counts as UTC, digits below a microsecond are dropped, and a leap
    second is the second after :59. Raises `LineInvalid`.
    """
    try:
        moment = _moment(text)
    except (ValueError, IndexError, OverflowError) as error:
        message = f"'timestamp' is not an RFC 3339 time: {text[:40]!r}"
        raise LineInvalid("wrong_type", message) from error
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _moment(text: str) -> datetime:
    if text[4] != "-" or text[7] != "-" or text[10] not in "Tt ":
        raise ValueError(text)
    if text[17:19] == "60":
        return _moment(text[:17] + "59" + text[19:]) + timedelta(seconds=1)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def format_timestamp(moment: datetime) -> str:
    """Return an aware time as the log writes it: RFC 3339, UTC, `Z`, microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def depth_exceeds(document: bytes, depth_max: int) -> bool:
    """Say whether brackets outside strings nest deeper than this, without recursion."""
    if document.count(b"[") + document.count(b"{") <= depth_max:
        return False
    depth = 0
    for token in _BRACKETS.finditer(document):
        first = document[token.start()]
        if first in b"[{":
            depth += 1
            if depth > depth_max:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def _parse(line: bytes) -> dict[str, Any]:
    if not line.strip():
        raise LineInvalid("empty", "the line is empty")
    if len(line) > READ_LINE_BYTES_MAX:
        raise LineInvalid("too_long", f"{len(line)} bytes are more than {READ_LINE_BYTES_MAX}")
    if depth_exceeds(line, DEPTH_MAX):
        raise LineInvalid("too_deep", f"nested deeper than {DEPTH_MAX} levels")
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _why_not_json(line, error) from error
    if not isinstance(value, dict):
        raise LineInvalid("not_object", f"the line is a {type(value).__name__}, not an object")
    if _SUSPECT_NUMBER.search(line):
        _check_numbers(line)
    return value


def _why_not_json(line: bytes, error: orjson.JSONDecodeError) -> LineInvalid:
    try:
        line.decode()
    except UnicodeDecodeError as not_utf8:
        return LineInvalid("not_utf8", f"not UTF-8 at byte {not_utf8.start} of the line")
    message = f"{error.msg} (byte {len(line.decode()[: error.pos].encode())} of the line)"
    if "surrogate" in error.msg:
        return LineInvalid("lone_surrogate", message)
    if "infinity" in error.msg:
        return LineInvalid("number_out_of_range", message)
    if any(byte < 0x20 and byte not in b"\t\r" for byte in line):
        return LineInvalid("control_byte", message)
    return LineInvalid("not_json", message)


def _check_numbers(line: bytes) -> None:
    """Refuse what Python, DuckDB and jq would read as different numbers."""

    def exact_integer(text: str) -> int:
        if len(text) > len(str(-INTEGER_MAX)) or abs(int(text)) > INTEGER_MAX:
            message = f"the integer {text[:40]} is beyond 2^53-1"
            raise LineInvalid("number_out_of_range", message)
        return int(text)

    def finite(text: str) -> float:
        if abs(float(text)) == float("inf"):
            message = f"the number {text[:40]} is beyond a 64-bit float"
            raise LineInvalid("number_out_of_range", message)
        return float(text)

    json.loads(line, parse_int=exact_integer, parse_float=finite)


def _check_for_writing(action: Mapping[str, object]) -> None:
    for key in _GIVEN_AT_APPEND:
        if key in action:
            raise LineInvalid("wrong_type", f"{key!r} is given at append, not by the caller")
    for key, is_right, type_name in _REQUIRED:
        if key not in _GIVEN_AT_APPEND and not is_right(action.get(key)):
            raise LineInvalid("wrong_type", f"{key!r} must be {type_name}")
    if action["type"] not in ACTION_TYPES:
        raise LineInvalid("wrong_type", f"'type' must be one of: {', '.join(ACTION_TYPES)}")
    if action["status"] not in STATUSES:
        raise LineInvalid("wrong_type", f"'status' must be one of: {', '.join(STATUSES)}")
    for key, is_right, type_name in _OPTIONAL:
        found = action.get(key)
        if found is not None and not is_right(found):
            raise LineInvalid("wrong_type", f"{key!r} must be {type_name}")
    timestamp_us(str(action["timestamp"]))
    duration = action.get("duration_ms")
    if isinstance(duration, int) and not 0 <= duration <= COLUMN_INTEGER_MAX:
        raise LineInvalid("number_out_of_range", f"'duration_ms' is {duration}")


def _reason_of_encode_error(message: str) -> str:
    if "surrogate" in message or "UTF-8" in message:
        return "lone_surrogate"
    if "recursion" in message.lower():
        return "too_deep"
    return "number_out_of_range" if "range" in message else "wrong_type"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_filled_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


_Check = tuple[str, "Callable[[object], bool]", str]

_REQUIRED: tuple[_Check, ...] = (
    ("timestamp", _is_text, "a text"),
    ("action_id", _is_integer, "an integer"),
    ("type", _is_filled_text, "a text that is not empty"),
    ("tool", _is_filled_text, "a text that is not empty"),
    ("status", _is_filled_text, "a text that is not empty"),
)
_OPTIONAL: tuple[_Check, ...] = (
    ("duration_ms", _is_integer, "an integer"),
    ("context", _is_object, "an object"),
    ("details", _is_object, "an object"),
    ("files_affected", _is_texts, "an array of texts"),
    ("read_only", _is_boolean, "true or false"),
    ("error", _is_object, "an object"),
    ("entity_links", _is_objects, "an array of objects"),
    ("event_type", _is_text, "a text"),
    ("event_name", _is_text, "a text"),
    ("database_event_id", _is_text, "a text"),
    ("prev", _is_text, "a text"),
)
