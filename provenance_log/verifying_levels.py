"""The levels on which a log is verified: each is shown every line, and judges by itself.

Each remembers counts and the first bad place only, so memory does not grow with the log.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from provenance_log.anchors import Anchor
from provenance_log.errors import LineInvalid, LogUnsafe
from provenance_log.format import GENESIS_PREV, decode
from provenance_log.reader import RawLine, ReadPosition, is_chained
from provenance_log.verifying_plain import KNOWN_STATUSES, KNOWN_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["ok", "note", "damaged", "tampered", "truncated", "unknown", "unreadable"]
"""What is true of one level; `note` is unusual but no damage, and leaves the verdict alone."""


@dataclass(frozen=True, slots=True)
class Level:
    """What one level found; `line` (from 1) and `offset` are of the first bad place, if any."""

    name: str
    state: State
    text: str
    line: int | None = None
    offset: int | None = None
    count: int = 0
    """How many lines, or blobs, are bad in the way that `state` says."""


@dataclass(slots=True)
class Places:
    """How many lines were wrong in one way, and where the first of them is."""

    count: int = 0
    line: int | None = None
    offset: int | None = None
    text: str = ""

    def add(self, raw: RawLine, text: str = "") -> None:
        """Count a line; the first one is remembered."""
        self.count += 1
        if self.line is None:
            self.line, self.offset, self.text = raw.line_number, raw.offset, text

    def told(self, noun: str) -> str:
        """Return how many there are and where the first is; nothing where there are none."""
        if not self.count:
            return ""
        reason = f" ({self.text})" if self.text else ""
        first = f"line {self.line}, byte {self.offset}{reason}"
        return f"; {counted(self.count, noun)}, first {first}"


class Schema:
    """Whether each line is an action, and what is unusual about those that are."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._bad = Places()
        self._unknown = Places()
        self._misnumbered = Places()
        self._action_count = 0
        self.action_id = 0
        """The number of the last action."""

    def pass_plain(self, count: int) -> None:
        """Take in so many lines, each an action in its place, of known words."""
        self._action_count += count
        self.action_id += count

    def see(self, raw: RawLine) -> dict[str, Any] | None:
        """Return the action of a line, or None where it is none."""
        if raw.content is None:
            self._refuse(raw, "too_long", f"{raw.length} bytes")
            return None
        try:
            value = decode(raw.content)
        except LineInvalid as error:
            self._refuse(raw, error.reason, error.message)
            return None
        self._action_count += 1
        if value["type"] not in KNOWN_TYPES:
            self._unknown.add(raw, f"type {value['type'][:40]!r}")
        if value["status"] not in KNOWN_STATUSES:
            self._unknown.add(raw, f"status {value['status'][:40]!r}")
        if value["action_id"] != self.action_id + 1:
            self._misnumbered.add(raw, f"{value['action_id']} after {self.action_id}")
        self.action_id = value["action_id"]
        return value

    def _refuse(self, raw: RawLine, reason: str, message: str) -> None:
        self.reasons[reason] += 1
        self._bad.add(raw, f"{reason}: {message}")

    def level(self) -> Level:
        """Return what all lines together came to."""
        text = counted(self._action_count, "action")
        text += self._unknown.told("unknown word") + self._misnumbered.told("misplaced number")
        bad = self._bad
        if bad.count:
            text += bad.told("bad line")
            return Level("schema", "damaged", text, bad.line, bad.offset, bad.count)
        is_usual = not (self._unknown.count or self._misnumbered.count)
        return Level("schema", "ok" if is_usual else "note", text)


class Chain:
    """Whether each line that names the line before it names the one that is there."""

    def __init__(self) -> None:
        self._chained_count = 0
        self._unchained = Places()
        self._broken = Places()
        self._no_action_count = 0
        self.gap_line = 1
        """The last line that names no line before it: it and those after it are held together."""

    def pass_plain(self, count: int) -> None:
        """Take in so many chained lines."""
        self._chained_count += count

    def see(self, raw: RawLine, value: Mapping[str, Any] | None) -> None:
        """Take in a line and its action; None where it is none."""
        if value is not None and is_chained(value, raw):
            self._chained_count += 1
            return
        self.gap_line = raw.line_number
        if value is None:
            self._no_action_count += 1
        elif value.get("prev") is None:
            self._unchained.add(raw)
        else:
            self._broken.add(raw, "prev is not the hash of the line before")

    def level(self) -> Level:
        """Return what all lines together came to."""
        line_count = self._chained_count + self._no_action_count
        line_count += self._unchained.count + self._broken.count
        text = f"{self._chained_count} of {counted(line_count, 'line')} chained"
        text += self._unchained.told("unchained line")
        if self._no_action_count:
            text += f"; {counted(self._no_action_count, 'bad line')}"
        broken = self._broken
        if broken.count:
            text += broken.told("broken link")
            text += ": this line or the one before it was changed, or lines between them were "
            text += "removed, added or moved"
            return Level("chain", "tampered", text, broken.line, broken.offset, broken.count)
        if not self._chained_count:
            return Level("chain", "unknown", text)
        is_whole = self._chained_count == line_count
        return Level("chain", "ok" if is_whole else "note", text)


class Anchoring:
    """Whether the log still holds the line that was its last one when the anchor was kept."""

    def __init__(self, anchor: Anchor | None, error: str | None) -> None:
        self._anchor = anchor
        self._error = error
        self._found_line: int | None = None
        self._mismatch: Places | None = None
        self.reached_line: int | None = None
        """The anchored line, where it is what and where the anchor says."""
        self.is_known = anchor is not None
        if anchor is not None and anchor.lines == 0 and anchor.head == GENESIS_PREV:
            self.reached_line = 0

    def see(self, raw: RawLine) -> None:
        """Take in a line."""
        anchor = self._anchor
        if anchor is None:
            return
        end = raw.offset + raw.length + 1
        if raw.hash == anchor.head:
            self._found_line = raw.line_number
            if anchor.lines in {None, raw.line_number} and anchor.size_bytes in {None, end}:
                self.reached_line = raw.line_number
        if raw.line_number == anchor.lines and self.reached_line is None:
            self._mismatch = Places()
            self._mismatch.add(raw)

    def level(self, end: ReadPosition, gap_line: int) -> Level:
        """Return what the log, read to its end, says of the anchor."""
        anchor = self._anchor
        if self._error is not None:
            return Level("anchor", "unreadable", f"it can't be read: {self._error}")
        if anchor is None:
            text = "there is none: whether lines are missing at the end is unknown"
            return Level("anchor", "unknown", text)
        if self.reached_line is not None:
            return Level("anchor", "ok", self._reached(self.reached_line, end, gap_line))
        moved = f"; that line is line {self._found_line} now" if self._found_line else ""
        if self._mismatch is not None:
            line = self._mismatch.line
            text = f"line {line} is not the anchored one, or not at its byte{moved} ({anchor})"
            return Level("anchor", "tampered", text, line, self._mismatch.offset, 1)
        state: State = "tampered" if self._found_line else "truncated"
        text = f"the log ends after line {end.line_number}, byte {end.offset}, without the "
        text += f"anchored line{moved} ({anchor})"
        return Level("anchor", state, text, end.line_number + 1, end.offset, 1)

    def _reached(self, line: int, end: ReadPosition, gap_line: int) -> str:
        text = f"line {line} is as anchored ({self._anchor})"
        later = end.line_number - line
        if later:
            text += f"; grown since by {counted(later, 'line')}"
        if 1 < gap_line <= line:
            text += f"; it vouches for lines {gap_line} to {line}"
        return text


def reason_of(error: OSError | LogUnsafe) -> str:
    """Return why a file can't be read, without its path."""
    return error.message if isinstance(error, LogUnsafe) else error.strerror or str(error)


def counted(number: int, noun: str) -> str:
    """Return `1 line`, `2 lines`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
