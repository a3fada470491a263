"""What the bytes of a log mean, told a second time and in the simplest way.

Nothing here imports the program, so that a mistake in it is not made here as well. It knows the
lines that the model writes and the harms that it does, no more: the whole grammar of a log is in
`provenance_log/FORMAT.md`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

GENESIS = "0" * 64
NAMESPACE = UUID("0d3f1a52-6f5e-5d6b-9a57-3b1f6f0f5a11")
_ORDER = (
    *("type", "tool", "status", "duration_ms", "context", "details", "files_affected"),
    *("read_only", "error", "entity_links", "event_type", "event_name", "database_event_id"),
)
_REQUIRED = {"timestamp": str, "action_id": int, "type": str, "tool": str, "status": str}


@dataclass(frozen=True, slots=True)
class End:
    """What the next append has to know."""

    size_bytes: int
    prev: str
    action_id: int
    is_torn: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a log as somebody noted it."""

    lines: int
    size_bytes: int
    digest: str


def digest_of(line: bytes) -> str:
    """Return the hash of a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def line_of(action: Mapping[str, Any], action_id: int, prev: str) -> bytes:
    """Return the line that an appender makes of an action, without its newline."""
    value = {"timestamp": action["timestamp"], "action_id": action_id}
    value |= {key: action[key] for key in _ORDER if key in action}
    value |= {key: item for key, item in action.items() if key not in value}
    value["prev"] = prev
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def whole(data: bytes) -> bytes:
    """Return the data without a torn tail."""
    return data[: data.rfind(b"\n") + 1]


def lines_of(data: bytes) -> list[bytes]:
    """Return the complete lines without their newlines."""
    return data.split(b"\n")[:-1]


@lru_cache(maxsize=4096)
def value_of(line: bytes) -> dict[str, Any] | None:
    """Return the action of a line, None where the line is none; it must not be changed."""
    try:
        value = json.loads(line.decode())
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    if not all(type(value.get(key)) is expected for key, expected in _REQUIRED.items()):
        return None
    try:
        datetime.fromisoformat(value["timestamp"])
    except ValueError:
        return None
    return value


def session_of(data: bytes) -> str | None:
    """Return the identity of the session in a log; None where it has no line that is not blank."""
    first = next((line for line in lines_of(data) if line.strip()), None)
    if first is None:
        return None
    value = value_of(first) or {}
    header = (value.get("details") or {}).get("session")
    if value.get("event_name") == "session_start" and header and header.get("session_id"):
        return str(header["session_id"])
    return str(uuid5(NAMESPACE, digest_of(first)))


def links_of(lines: Sequence[bytes]) -> list[bool | None]:
    """Say of each line whether it names the line before it; None where it names none at all."""
    found: list[bool | None] = []
    before = GENESIS
    for line in lines:
        prev = (value_of(line) or {}).get("prev")
        found.append(None if prev is None else prev == before)
        before = digest_of(line)
    return found


def end_of(data: bytes) -> End:
    """Return what the next append has to know; a torn tail counts as the last line."""
    lines = data.split(b"\n")
    is_torn = bool(lines[-1])
    if not is_torn:
        lines.pop()
    if not lines:
        return End(0, GENESIS, 0, is_torn=False)
    links = links_of(lines)
    last_chained = max((i for i, link in enumerate(links) if link), default=0)
    numbers = [(value_of(line) or {}).get("action_id", 0) for line in lines[last_chained:]]
    return End(len(data), digest_of(lines[-1]), max(0, *numbers), is_torn)


def head_of(data: bytes) -> Head:
    """Return what an anchor of the log as it is would say."""
    lines = lines_of(data)
    return Head(len(lines), len(whole(data)), digest_of(lines[-1]) if lines else GENESIS)


def broken_line(data: bytes) -> int | None:
    """Return the number of the first line that names another line than the one before it."""
    links = links_of(lines_of(data))
    return next((number for number, link in enumerate(links, start=1) if link is False), None)


def verdict_of(data: bytes, anchor: Head | None = None) -> str:
    """Return what must be said of a log as a whole."""
    lines = lines_of(data)
    links = links_of(lines)
    against = "OK" if anchor is None else _against(lines, anchor)
    if False in links or against == "TAMPERED":
        return "TAMPERED"
    if against != "OK":
        return against
    bad = sum(value_of(line) is None for line in lines)
    if bad:
        return f"QUARANTINED({bad})"
    if lines and True not in links:
        return "UNKNOWN"
    return "OK" if whole(data) == data else "OK-unsealed-tail"


def _against(lines: Sequence[bytes], anchor: Head) -> str:
    begin = lines[: anchor.lines]
    is_long_enough = len(begin) == anchor.lines
    if is_long_enough and digest_of(begin[-1]) == anchor.digest:
        size_bytes = sum(len(line) + 1 for line in begin)
        if size_bytes == anchor.size_bytes:
            return "OK"
    is_elsewhere = anchor.digest in map(digest_of, lines)
    return "TAMPERED" if is_long_enough or is_elsewhere else "TRUNCATED-vs-anchor"
