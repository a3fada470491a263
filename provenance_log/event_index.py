"""Which event ids a log holds, and where: what makes a retried append write nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import orjson

from provenance_log.errors import LineInvalid
from provenance_log.format import decode, line_hash
from provenance_log.reader import START, ReadPosition, read_chunk
from provenance_log.redaction_marks import agree

_GIVEN_AT_APPEND = ("action_id", "prev")
_MARKER_BYTES = 256


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """An event that is in the log already."""

    value: dict[str, Any]
    offset: int
    length: int
    hash: str

    @property
    def action_id(self) -> int:
        """The number the event got when it was appended."""
        return int(self.value["action_id"])

    def is_same(self, action: dict[str, Any], *, ignore_time: bool) -> bool:
        """Say whether an action has this event's content, its number and chain apart.

        What was redacted may differ; see `redaction_marks.agree`.
        """
        ignored = {*_GIVEN_AT_APPEND, *(("timestamp",) if ignore_time else ())}
        wanted = orjson.loads(orjson.dumps(action))  # as it would be read back
        return agree(_content(self.value, ignored), _content(wanted, ignored))


class EventIndex:
    """Event id → (offset, length) of its first line; grows with the log, about 200 bytes an event.

    Reads only what was added since the last call. A log that shrank, that has other bytes where
    the last call ended (it was cut and has grown again), or in which an event is no longer where
    it was, is read from its start.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        self._position: ReadPosition = START
        self._marker = b""
        """The bytes before the position; the end of a line of ours names the one before."""
        self._spans: dict[str, tuple[int, int]] = {}
        self._is_wary = False
        """Set once a line was found that has an id but is no action, or has changed."""

    def __contains__(self, event_id: str) -> bool:
        """Say whether the id was seen by the last `catch_up`."""
        return event_id in self._spans

    def catch_up(self, fd: int) -> None:
        """Read the complete lines that were added since the last call."""
        if self._bytes_before_position(fd) != self._marker:
            self._forget()
        while True:
            chunk = read_chunk(fd, self._position)
            for raw in chunk.lines:
                event_id = _event_id(raw.content, self._is_wary)
                if event_id is not None:
                    self._spans.setdefault(event_id, (raw.offset, raw.length))
            self._position = chunk.end
            if chunk.at_end:
                break
        self._marker = self._bytes_before_position(fd)

    def find(self, fd: int, event_id: str) -> FoundEvent | None:
        """Return the first event with this id among the lines read so far."""
        if event_id not in self._spans:
            return None
        found = self._look(fd, event_id)
        if found is None:
            self._is_wary = True
            self._forget()
            self.catch_up(fd)
            found = self._look(fd, event_id)
        return found

    def _look(self, fd: int, event_id: str) -> FoundEvent | None:
        if event_id not in self._spans:
            return None
        offset, length = self._spans[event_id]
        line = os.pread(fd, length, offset)
        try:
            value = decode(line)
        except LineInvalid:
            return None
        if value.get("database_event_id") != event_id:
            return None
        return FoundEvent(value, offset, length, line_hash(line))

    def _bytes_before_position(self, fd: int) -> bytes:
        length = min(_MARKER_BYTES, self._position.offset)
        return os.pread(fd, length, self._position.offset - length)

    def _forget(self) -> None:
        self._position = START
        self._marker = b""
        self._spans.clear()


def _event_id(line: bytes | None, is_wary: bool) -> str | None:
    if line is None or b'"database_event_id"' not in line:
        return None
    try:
        value = decode(line) if is_wary else orjson.loads(line)
    except (orjson.JSONDecodeError, LineInvalid):
        return None
    event_id = value.get("database_event_id") if isinstance(value, dict) else None
    return event_id if isinstance(event_id, str) else None


def _content(value: dict[str, Any], ignored: set[str]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in ignored and item is not None}
