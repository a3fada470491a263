"""Check a log against itself, its anchor and the files beside it: a log in, a report out.

Reads only, takes no lock and needs no database (invariant E1); memory is bounded by one chunk of
lines, whatever the size of the log. Every level is judged apart from the others (E3), over the
bytes as they stand and not over a canonical form of them (E6), and the report also says what the
log, as it is, can't prove (E4).

A line is *held* when the line after it names its hash: then it can't change unnoticed. A line
that names no line before it (schema 1.0.0, added by hand, or none of our actions at all) is a
*gap*: the lines before it are held among themselves, but nothing after it vouches for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance_log.anchors import Anchor
from provenance_log.blobs import BLOBS_DIRECTORY
from provenance_log.errors import LogUnsafe
from provenance_log.format import GENESIS_PREV
from provenance_log.reader import (
    START,
    Chunk,
    RawLine,
    ReadPosition,
    read_log,
    session_id_of_log,
)
from provenance_log.spreading import spread, usable_processes
from provenance_log.verifying_files import Blobs, derived_level
from provenance_log.verifying_levels import (
    Anchoring,
    Chain,
    Level,
    Schema,
    counted,
    reason_of,
)
from provenance_log.verifying_plain import is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

LEVELS = ("framing", "schema", "chain", "anchor", "blobs", "derived")

EXIT_OK = 0
EXIT_TAMPERED = 1
EXIT_DAMAGED = 2
EXIT_UNREADABLE = 3

# Small, since a chunk of blank lines alone takes some hundred times its size in memory.
_CHUNK_BYTES = 64 * 1024
# To start a process takes as long as to verify about half a megabyte.
_SPREAD_BYTES_MIN = 4 * 1024 * 1024

NOT_PROVED_TRUTH = "that what the log says is true: it is what was recorded, nothing more"
NOT_PROVED_END = (
    "that no line was cut off the end, that the last line is as it was written, and that the log "
    "was not written anew as a whole: without an anchor none of this can be seen"
)
NOT_PROVED_ANCHOR = "that the anchor is genuine: whoever can write log and anchor can rewrite both"
NOT_PROVED_CONTENT = "what the log held before: a hash shows that it was changed, not from what"
NOT_PROVED_SINCE = "that the lines after the anchor are all there, and not written anew"
NOT_PROVED_GAP = (
    "that the lines before one that names no line before it are as they were: only lines after "
    "the last such line are held by the end of the log"
)
NOT_PROVED_ANYTHING = "anything: the log could not be read"


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one log, level by level."""

    log: Path
    session_id: str | None
    line_count: int
    size_bytes: int
    """Complete lines only; a torn tail is not counted."""
    head: str
    """Hash of the last complete line."""
    levels: tuple[Level, ...]
    not_proved: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The one word for all levels."""
        return self._judged[0]

    @property
    def exit_code(self) -> int:
        """What a program ends with that reports this."""
        return self._judged[1]

    @property
    def _judged(self) -> tuple[str, int]:
        return _judge(self.levels, self.line_count)

    @property
    def first_bad(self) -> Level | None:
        """The level whose first bad place comes first in the log; None where nothing is bad."""
        bad = [
            level
            for level in self.levels
            if level.state in {"damaged", "tampered", "truncated"} and level.offset is not None
        ]
        return min(bad, key=lambda level: level.offset or 0, default=None)


def verify_log(
    log: Path, anchor: Anchor | None = None, *, anchor_error: str | None = None
) -> Report:
    """Read a log from its start to its end and return what is true of it.

    Detects and locates every change to a line that is held, every line that was lost, doubled or
    moved between two chained lines, and whatever an anchor contradicts. Raises nothing for what
    the log holds or for a log that can't be read: that is the verdict `UNKNOWN`, as it is with
    `anchor_error`, the reason why an anchor that is there can't be read.
    A log that grows meanwhile is checked up to the last whole line that was there.
    """
    reading = _Reading(log, Anchoring(anchor, anchor_error))
    try:
        for chunk in read_log(log, bytes_max=_CHUNK_BYTES):
            reading.see(chunk)
    except (OSError, LogUnsafe) as error:
        return unreadable(log, reason_of(error))
    return reading.report()


def verify_logs(
    logs: Sequence[Path], verify_one: Callable[[Path], Report] = verify_log
) -> Iterator[Report]:
    """Yield the report on each log, in their order, made in several processes where that pays."""
    size_bytes = sum(map(_size_bytes, logs))
    processes = usable_processes() if size_bytes >= _SPREAD_BYTES_MIN else 1
    yield from spread(verify_one, logs, processes)


def _size_bytes(log: Path) -> int:
    try:
        return os.lstat(log).st_size
    except OSError:
        return 0  # which is told when it is read


class _Reading:
    """Hands each line that is not plain to every level; puts their findings together."""

    def __init__(self, log: Path, anchoring: Anchoring) -> None:
        self._log = log
        self._session_id: str | None = None
        self._end: ReadPosition = START
        self._tail_bytes = 0
        self._schema = Schema()
        self._chain = Chain()
        self._anchor = anchoring
        self._blobs = Blobs(log.parent / BLOBS_DIRECTORY)

    def see(self, chunk: Chunk) -> None:
        plain_count, next_id = 0, self._schema.action_id + 1
        for raw in chunk.lines:
            if (
                self._session_id is not None
                and raw.content is not None
                and is_plain(raw.content, raw.prev, next_id)
            ):
                plain_count, next_id = plain_count + 1, next_id + 1
            else:
                self._pass(plain_count)
                self._look(raw)
                plain_count, next_id = 0, self._schema.action_id + 1
        self._pass(plain_count)
        if self._anchor.is_known:
            for raw in chunk.lines:
                self._anchor.see(raw)
        self._end = chunk.end
        self._tail_bytes = chunk.tail_bytes

    def _pass(self, plain_count: int) -> None:
        self._schema.pass_plain(plain_count)
        self._chain.pass_plain(plain_count)

    def _look(self, raw: RawLine) -> None:
        value = self._schema.see(raw)
        self._chain.see(raw, value)
        self._blobs.see(raw, value)
        if self._session_id is None and (raw.content is None or raw.content.strip()):
            self._session_id = session_id_of_log(raw)

    def report(self) -> Report:
        levels = (
            self._framing(),
            self._schema.level(),
            self._chain.level(),
            self._anchor.level(self._end, self._chain.gap_line),
            self._blobs.level(),
            derived_level(self._log.parent),
        )
        return Report(
            self._log,
            self._session_id,
            self._end.line_number,
            self._end.offset,
            self._end.prev,
            levels,
            tuple(self._not_proved()),
        )

    def _framing(self) -> Level:
        text = f"{counted(self._end.line_number, 'line')} in {self._end.offset} bytes"
        blank = self._schema.reasons["empty"]
        if blank:
            text += f", {blank} of them blank"
        if not self._tail_bytes:
            return Level("framing", "ok", text)
        text += f", and a torn tail of {self._tail_bytes} bytes, which the next append seals"
        return Level("framing", "note", text, self._end.line_number + 1, self._end.offset, 1)

    def _not_proved(self) -> Iterator[str]:
        reached = self._anchor.reached_line
        if not self._anchor.is_known:
            yield NOT_PROVED_END
        elif reached is None:
            yield NOT_PROVED_CONTENT
        else:
            yield NOT_PROVED_ANCHOR
            if reached < self._end.line_number:
                yield NOT_PROVED_SINCE
        if self._chain.gap_line > 1:
            yield NOT_PROVED_GAP
        yield NOT_PROVED_TRUTH


def _judge(levels: tuple[Level, ...], line_count: int) -> tuple[str, int]:
    """Return the one word for all levels, the worst first, and its exit code."""
    by_name = {level.name: level for level in levels}
    by_state = {level.state: level for level in reversed(levels)}
    if "tampered" in by_state:
        return "TAMPERED", EXIT_TAMPERED
    if "truncated" in by_state:
        return f"TRUNCATED-vs-{by_state['truncated'].name}", EXIT_TAMPERED
    if "unreadable" in by_state:
        return "UNKNOWN", EXIT_UNREADABLE
    for name, verdict in _DAMAGED.items():
        if name in by_name and by_name[name].state == "damaged":
            return f"{verdict}({by_name[name].count})", EXIT_DAMAGED
    if by_name["chain"].state == "unknown" and line_count:
        return "UNKNOWN", EXIT_OK
    is_torn = by_name["framing"].state == "note"
    return "OK-unsealed-tail" if is_torn else "OK", EXIT_OK


_DAMAGED = {
    "schema": "QUARANTINED",
    "blobs": "BLOBS-MISSING",
    "database": "DATABASE-DIFFERS",
    "derived": "DERIVED-DIFFERS",
}
"""The verdict of each level that can be damaged, the worst first."""


def unreadable(log: Path, reason: str) -> Report:
    """Return the report on a log that can't be read at all."""
    text = f"the log can't be read: {reason}"
    rest = tuple(Level(name, "unknown", "not looked at") for name in LEVELS[1:])
    levels = (Level("framing", "unreadable", text), *rest)
    proved = (NOT_PROVED_ANYTHING,)
    return Report(log, None, 0, 0, GENESIS_PREV, levels, proved)
