"""The bytes of an action line: the only place that knows them. FORMAT.md is the text of it.

A line is one JSON object in UTF-8. The writer is strict and canonical: keys in a fixed order,
`timestamp` first, `action_id` second, `prev` last. The reader is strict about JSON and about the
required keys, and lenient about everything it does not know.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from provenance_log.errors import LineInvalid
from provenance_log.strict_json import DEPTH_MAX, count_brackets, nests_deeper, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = "1.1.0"
GENESIS_PREV = "0" * 64
LINE_BYTES_MAX = 1024 * 1024
READ_LINE_BYTES_MAX = 16 * LINE_BYTES_MAX
COLUMN_INTEGER_MAX = 2**31 - 1
"""Numbers that schema 1.0.0 keeps in an INTEGER column: `action_id` and `duration_ms`."""

ACTION_TYPES = ("read", "search", "analyze", "modify", "create", "execute", "query", "decision")
STATUSES = ("success", "failure", "partial", "skipped")
EVENT_TYPES = (
    "lifecycle",
    "tool_start",
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

REQUIRED: dict[str, tuple[type, str]] = {
    "timestamp": (str, "an RFC 3339 text"),
    "action_id": (int, "an integer"),
    "type": (str, "a text that is not empty"),
    "tool": (str, "a text that is not empty"),
    "status": (str, "a text that is not empty"),
}
"""Keys that every line has: their JSON type as Python reads it, and its name in messages."""

OPTIONAL: dict[str, tuple[type, str]] = {
    "duration_ms": (int, "an integer"),
    "context": (dict, "an object"),
    "details": (dict, "an object"),
    "files_affected": (list, "an array of texts"),
    "read_only": (bool, "true or false"),
    "error": (dict, "an object"),
    "entity_links": (list, "an array of objects"),
    "event_type": (str, "a text"),
    "event_name": (str, "a text"),
    "database_event_id": (str, "a text"),
    "prev": (str, "a text"),
}
"""Keys that a line may have; null counts as absent."""

_TYPES = {key: expected for key, (expected, _) in (REQUIRED | OPTIONAL).items()}
_TYPE_NAMES = {key: name for key, (_, name) in (REQUIRED | OPTIONAL).items()}
_ITEM_TYPES: tuple[tuple[str, type], ...] = (("files_affected", str), ("entity_links", dict))
_ACCEPTED: dict[str, tuple[type, ...]] = {
    key: (list, tuple) if expected is list else (expected,) for key, expected in _TYPES.items()
}
_GIVEN_AT_APPEND = ("action_id", "prev")
_REQUIRED_KEYS = frozenset(REQUIRED)
_REQUIRED_OF_CALLER = _REQUIRED_KEYS - set(_GIVEN_AT_APPEND)
KEY_ORDER = (
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
"""The order of a line's keys; `timestamp` and `action_id` stand before these, `prev` after them."""
_REMEMBERED_MAX = 4096
_WORD_LENGTH_MAX = 100
_accepted_words: set[tuple[str, str, str]] = set()
"""Type, tool and status of lines that were accepted: most lines repeat those of another."""
_checks_of_keys: dict[tuple[str, ...], tuple[tuple[str, type], ...]] = {}
"""The types of the members of a line that has exactly these keys, all known, none of them null."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT_NUMBERS = orjson.OPT_STRICT_INTEGER

# RFC 3339, with a space for the T, and without an offset: people write these by hand.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


class Body(NamedTuple):
    """An encoded action that still lacks its number and its link to the line before."""

    head: bytes
    rest: bytes

    def line(self, action_id: int, prev: str) -> bytes:
        """Return the whole line, without its newline."""
        return b'%b%d%b%b"}' % (self.head, action_id, self.rest, prev.encode())


def line_hash(line: bytes) -> str:
    """Return the SHA-256 (hex) of a line's bytes without its newline: the next line's `prev`."""
    return hashlib.sha256(line).hexdigest()


def encode_body(action: Mapping[str, Any]) -> Body:
    """Encode an action in canonical key order, leaving room for `action_id` and `prev`.

    Keys this version does not know follow the known ones in the caller's order; a known key with
    None is left out. Raises `LineInvalid` where the value is not exactly representable; nothing
    is repaired here (`values.representable` does that before).
    """
    _check_for_writing(action)
    rest = {key: value for key in KEY_ORDER if (value := action.get(key)) is not None}
    if len(rest) + 1 < len(action):
        for key, value in action.items():
            if key not in rest and key != "timestamp" and value is not None:
                rest[key] = value
    try:
        tail = orjson.dumps(rest, option=_EXACT_NUMBERS)
    except TypeError as error:  # orjson.JSONEncodeError is a TypeError
        raise LineInvalid(_reason_of_encode_error(str(error)), f"can't encode: {error}") from error
    if count_brackets(tail) > DEPTH_MAX and nests_deeper(orjson.loads(tail), DEPTH_MAX):
        raise LineInvalid("too_deep", f"nested deeper than {DEPTH_MAX} levels")
    # The time was found to be ASCII without anything to escape.
    head = b'{"timestamp":"%b","action_id":' % action["timestamp"].encode()
    return Body(head, b"," + tail[1:-1] + b',"prev":"')


def encode(action: Mapping[str, Any], *, action_id: int, prev: str) -> bytes:
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
    if len(line) > READ_LINE_BYTES_MAX:
        raise LineInvalid("too_long", f"{len(line)} bytes are more than {READ_LINE_BYTES_MAX}")
    value = parse_object(line)
    if not is_ordinary(value):
        _check_decoded(value)
    return value, timestamp_us(value["timestamp"])


def is_ordinary(value: dict[str, Any]) -> bool:
    """Say of most parsed lines, and quickly, that `decode` accepts all of them but their time.

    Where the answer is no, `decode` finds out, and learns what words and keys it accepts.
    """
    checks = _checks_of_keys.get(tuple(value))
    if checks is None:
        return False
    for key, expected in checks:
        if type(value[key]) is not expected:
            return False
    if (value["type"], value["tool"], value["status"]) not in _accepted_words:
        return False
    get = value.get
    return (
        -COLUMN_INTEGER_MAX <= value["action_id"] <= COLUMN_INTEGER_MAX
        and -COLUMN_INTEGER_MAX <= get("duration_ms", 0) <= COLUMN_INTEGER_MAX
        and ((items := get("files_affected")) is None or _are_all(items, str))
        and ((items := get("entity_links")) is None or _are_all(items, dict))
    )


def _are_all(items: list[Any], item_type: type) -> bool:
    for item in items:  # noqa: SIM110 - half the time of all() over a generator
        if type(item) is not item_type:
            return False
    return True


def _check_decoded(value: dict[str, Any]) -> None:
    """Check everything of a parsed line but its time; raises `LineInvalid`."""
    _check_shape(value, _REQUIRED_KEYS)
    for key in ("action_id", "duration_ms"):
        number = value.get(key)
        if number is not None and not -COLUMN_INTEGER_MAX <= number <= COLUMN_INTEGER_MAX:
            raise LineInvalid("number_out_of_range", f"{key!r} does not fit in 32 bits")
    # Neither many nor long ones are kept, so that no log can fill the memory.
    words = (value["type"], value["tool"], value["status"])
    if len(_accepted_words) < _REMEMBERED_MAX and max(map(len, words)) <= _WORD_LENGTH_MAX:
        _accepted_words.add(words)
    if len(_checks_of_keys) < _REMEMBERED_MAX and value.keys() <= _TYPES.keys():
        _checks_of_keys[tuple(value)] = tuple((key, _TYPES[key]) for key in value)


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
    not, a UUIDv5 of the line's hash. Two logs with the same first line are one session.
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
    return session_id_of_hash(line_hash(first_line))


def session_id_of_hash(first_line_hash: str) -> str:
    """Return the identity of a session whose first line brings none, from that line's hash."""
    return str(uuid.uuid5(SESSION_NAMESPACE, first_line_hash))


def timestamp_us(text: str) -> int:
    """Return microseconds since 1970 (UTC) of an RFC 3339 time, in the years 1 to 9999 of UTC.

    A time without an offset counts as UTC, digits below a microsecond are dropped, and a leap
    second is the second after :59. Raises `LineInvalid`.
    """
    try:
        since = _moment(text) - _EPOCH
    except (ValueError, OverflowError) as error:
        message = f"'timestamp' is not an RFC 3339 time: {text[:40]!r}"
        raise LineInvalid("wrong_type", message) from error
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def canonical_timestamp(text: str) -> str:
    """Return an RFC 3339 time as the log writes it; raises `LineInvalid`."""
    microseconds = timestamp_us(text)  # also where the form is right, as the day may not exist
    if looks_canonical(text):
        return text
    return format_timestamp(_EPOCH + timedelta(microseconds=microseconds))


def format_timestamp(moment: datetime) -> str:
    """Return an aware time as the log writes it: RFC 3339, UTC, `Z`, microseconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def _moment(text: str) -> datetime:
    if looks_canonical(text):
        return datetime.fromisoformat(text)
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    if text[17:19] == "60":
        return _moment(text[:17] + "59" + text[19:]) + timedelta(seconds=1)
    moment = datetime.fromisoformat(text.upper())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def looks_canonical(text: str) -> bool:
    """Say whether a text is a time as the writer makes it, or no time at all."""
    is_in_place = len(text) == 27 and text[10] == "T" and text[19::7] == ".Z"
    return is_in_place and text[17:19] != "60" and text[11:13] != "24"


def _check_for_writing(action: Mapping[str, Any]) -> None:
    for key in _GIVEN_AT_APPEND:
        if key in action:
            raise LineInvalid("wrong_type", f"{key!r} is given at append, not by the caller")
    _check_shape(action, _REQUIRED_OF_CALLER)
    if action["type"] not in ACTION_TYPES:
        raise LineInvalid("wrong_type", f"'type' must be one of: {', '.join(ACTION_TYPES)}")
    if action["status"] not in STATUSES:
        raise LineInvalid("wrong_type", f"'status' must be one of: {', '.join(STATUSES)}")
    timestamp_us(action["timestamp"])
    duration = action.get("duration_ms")
    if duration is not None and not 0 <= duration <= COLUMN_INTEGER_MAX:
        raise LineInvalid("number_out_of_range", f"'duration_ms' is {duration}")


def _check_shape(value: Mapping[str, Any], required: frozenset[str]) -> None:
    if not value.keys() >= required:
        key = next(key for key in REQUIRED if key in required and key not in value)
        raise LineInvalid("missing_key", f"the required key {key!r} is missing")
    for key, found in value.items():
        expected = _TYPES.get(key)
        if expected is None or type(found) is expected:
            continue
        if found is None and key not in required:
            continue
        if isinstance(found, bool) or not isinstance(found, _ACCEPTED[key]):
            raise _wrong_type(key)
    if not (value["type"] and value["tool"] and value["status"]):
        raise _wrong_type(next(key for key in ("type", "tool", "status") if not value[key]))
    for key, item_type in _ITEM_TYPES:
        items = value.get(key)
        if items and not all(isinstance(item, item_type) for item in items):
            raise _wrong_type(key)


def _wrong_type(key: str) -> LineInvalid:
    return LineInvalid("wrong_type", f"{key!r} must be {_TYPE_NAMES[key]}")


def _reason_of_encode_error(message: str) -> str:
    if "surrogate" in message or "UTF-8" in message:
        return "lone_surrogate"
    if "recursion" in message.lower():
        return "too_deep"
    return "number_out_of_range" if "range" in message else "wrong_type"
