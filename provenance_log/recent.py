"""The last lines of logs, read backwards from their ends and no further than needed.

What is read is proportional to what is wanted, not to the logs; memory is one line, and about
200 bytes for each line found. Nothing is written, and a log may grow meanwhile: what comes after
the positions returned is for `tailing.StoreTail`, so that no line is missed or shown twice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provenance_log.errors import LineInvalid, LogUnsafe
from provenance_log.reader import open_for_reading
from provenance_log.tailing import (
    START,
    TailedLine,
    TailNotice,
    TailPosition,
    line_at,
    position_after,
    unreadable_notice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from provenance_log.store import SessionDirectory

_BACKWARD_BYTES = 64 * 1024
_PIECE_BYTES = 1024 * 1024
_COUNTED_BYTES_MAX = 16 * 1024 * 1024
_CLOCK_SLACK_US = 1_000_000
"""A file's time may be a tick of the clock before that of the line written to it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A line that was found from behind, to be read again in its order."""

    time_us: int
    """Its time, or that of a later line of its log if that is earlier."""
    directory: SessionDirectory
    offset: int
    length: int

    def read(self) -> TailedLine:
        """Return the line that is there now; raises OSError or `LogUnsafe`."""
        fd = open_for_reading(self.directory.log)
        try:
            raw = line_at(fd, self.offset, self.length)
        finally:
            os.close(fd)
        if raw is None:
            raise LogUnsafe(f"the line at byte {self.offset} is no longer there")
        return TailedLine(self.directory.name, self.offset, None, raw.content)


@dataclass(slots=True)
class Recent:
    """The last lines of some logs, and the positions behind them."""

    positions: dict[str, TailPosition] = field(default_factory=dict)
    notices: list[TailNotice] = field(default_factory=list)
    """Logs that could not be read, and why."""
    places: list[_Place] = field(default_factory=list)

    def lines(self) -> Iterator[TailedLine | TailNotice]:
        """Yield the lines, those of one log in its order and those of several by their time.

        A line is read when it is its turn, so the memory is that of one line; a log that changed
        in between may give a line that is no action, or none.
        """
        for place in self.places:
            try:
                yield place.read()
            except (OSError, LogUnsafe) as error:
                yield unreadable_notice(place.directory.name, error)


def recent_lines(
    directories: Iterable[SessionDirectory],
    limit: int | None,
    is_wanted: Callable[[dict[str, Any], int], bool] = lambda _action, _time_us: True,
    *,
    since_us: int | None = None,
) -> Recent:
    """Find the last `limit` wanted lines of all these logs together, or every one for None.

    Each log is read backwards from its end, no further than needed; one that was last written
    before `since_us`, or before the oldest of enough lines found, is not read at all. Lines that
    are no actions are always wanted. Memory is about 200 bytes per line found, plus one line.
    """
    recent = Recent()
    floor_us: int | None = None
    for _, directory in sorted(map(_last_written, directories), key=lambda pair: -pair[0]):
        try:
            fd = open_for_reading(directory.log)
        except FileNotFoundError:
            continue
        except (OSError, LogUnsafe) as error:
            recent.notices.append(unreadable_notice(directory.name, error))
            continue
        try:
            status = os.fstat(fd)
            recent.positions[directory.name] = _position_at_end(fd, status)
            if _written_us(status) + _CLOCK_SLACK_US >= max(since_us or 0, floor_us or 0):
                found = _last_places(fd, status, directory, limit, is_wanted, floor_us)
                recent.places += reversed(found)
        except OSError as error:
            recent.notices.append(unreadable_notice(directory.name, error))
        finally:
            os.close(fd)
        # Stable, and no time is later than that of the next line, so a log keeps its order.
        recent.places.sort(key=lambda place: place.time_us)
        if limit is not None and len(recent.places) >= limit > 0:
            del recent.places[:-limit]
            floor_us = recent.places[0].time_us
    return recent


def _last_written(directory: SessionDirectory) -> tuple[int, SessionDirectory]:
    try:
        return os.lstat(directory.log).st_mtime_ns, directory
    except OSError:
        return 0, directory


def _written_us(status: os.stat_result) -> int:
    return status.st_mtime_ns // 1000


def line_number_at(path: Path, offset: int) -> int | None:
    """Return the number of the line that begins at a byte, counted from 1.

    None where the log can't be read, or where counting would take long: beyond 16 MiB.
    """
    if offset > _COUNTED_BYTES_MAX:
        return None
    try:
        fd = open_for_reading(path)
    except (OSError, LogUnsafe):
        return None
    try:
        starts = range(0, offset, _PIECE_BYTES)
        pieces = (os.pread(fd, min(_PIECE_BYTES, offset - start), start) for start in starts)
        return 1 + sum(piece.count(b"\n") for piece in pieces)
    except OSError:
        return None
    finally:
        os.close(fd)


def spans_backwards(fd: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of the complete lines, from the last to the first.

    A torn tail is left out, and newlines are not counted.
    """
    end: int | None = None
    block_start = size_bytes
    while block_start > 0:
        block_end = block_start
        block_start = max(0, block_end - _BACKWARD_BYTES)
        block = os.pread(fd, block_end - block_start, block_start)
        newline = block.rfind(b"\n")
        while newline >= 0:
            at = block_start + newline
            if end is not None:
                yield at + 1, end - at - 1
            end = at
            newline = block.rfind(b"\n", 0, newline)
    if end is not None:
        yield 0, end


def _last_places(
    fd: int,
    status: os.stat_result,
    directory: SessionDirectory,
    limit: int | None,
    is_wanted: Callable[[dict[str, Any], int], bool],
    floor_us: int | None,
) -> list[_Place]:
    """Return the places of the wanted lines before a log's end, the last one first.

    Lines that others, all not before `floor_us`, would outrank in the end may be left out.
    """
    places: list[_Place] = []
    time_us: int | None = None
    for offset, length in spans_backwards(fd, status.st_size):
        if limit is not None and len(places) >= limit:
            break
        raw = line_at(fd, offset, length)
        try:
            content = None if raw is None else raw.content
            action, own_time_us = TailedLine(directory.name, offset, None, content).decode()
        except LineInvalid:
            # Shown with its reason when it is its turn; it has no time of its own.
            time_us = _written_us(status) if time_us is None else time_us
        else:
            time_us = own_time_us if time_us is None else min(time_us, own_time_us)
            if floor_us is not None and time_us < floor_us:
                break
            if not is_wanted(action, own_time_us):
                continue
        places.append(_Place(time_us, directory, offset, length))
    return places


def _position_at_end(fd: int, status: os.stat_result) -> TailPosition:
    """Return the position after the last complete line, without counting those before it."""
    for offset, length in spans_backwards(fd, status.st_size):
        raw = line_at(fd, offset, length)
        if raw is not None:
            return position_after(raw, None, status)
    return START
