"""How far the database is behind the logs, told by one `stat` for each log.

Whether a log that was touched still holds the same bytes is for the projector to find out; here
nothing but new bytes is ever read, and those only to count their lines.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from projections.archived import Away
from projections.checkpoints import Checkpoint
from projections.database import load_sql

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projections.database import Connection
    from provenance_log.store import Store

LagKind = Literal["new", "behind", "shrunk", "touched", "gone"]
COUNTED_BYTES_MAX = 64 * 1024 * 1024
"""Lines are counted in this many bytes per log; what lies beyond is told in bytes only."""

_FIRST_PIECE_BYTES = 16 * 1024
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lag:
    """One log that the projector has yet to look at, and why.

    `new`: never projected. `behind`: it grew. `shrunk`: it is shorter than what was projected.
    `touched`: as long as before, but written to or replaced since. `gone`: no longer there.
    """

    log: str
    kind: LagKind
    pending_bytes: int
    start: int
    """Byte offset of the first line that is not projected."""

    @property
    def has_lines(self) -> bool:
        """Say whether there is, as far as sizes can tell, something to project."""
        return self.kind in {"new", "behind", "shrunk"}


def checkpoints(connection: Connection) -> list[Checkpoint]:
    """Return the checkpoint of every log that was ever projected."""
    rows = connection.rows(load_sql("views", "looking_checkpoints"))
    return [Checkpoint(**row) for row in rows]


def lags(store: Store, known: Sequence[Checkpoint]) -> list[Lag]:
    """Return the logs that differ from their checkpoints, in bytewise order of their names.

    Bytes at the end of a log that no newline follows are not there yet (invariant B1). An archived
    session whose rows are kept has no log to be behind of.
    """
    away = Away(store)
    by_log = {checkpoint.log: checkpoint for checkpoint in known if not away.keeps(checkpoint)}
    found = []
    for directory in store.session_directories():
        checkpoint = by_log.pop(directory.name, None)
        lag = _lag(directory.name, status_of_log(directory.log), checkpoint)
        if lag is not None and not _is_torn_only(lag, directory.log):
            found.append(lag)
    return found + [Lag(log, "gone", 0, 0) for log in sorted(by_log, key=str.encode)]


def _lag(log: str, status: os.stat_result | None, checkpoint: Checkpoint | None) -> Lag | None:
    if checkpoint is None:
        size = 0 if status is None else status.st_size
        return Lag(log, "new", size, 0) if size else None
    if status is None:
        return Lag(log, "gone", 0, 0)
    if checkpoint.describes(status):
        return None
    size, offset = status.st_size, checkpoint.line_offset
    if size < offset:
        return Lag(log, "shrunk", size, 0)
    if size in {offset, checkpoint.log_size}:
        return Lag(log, "touched", 0, offset)
    return Lag(log, "behind", size - offset, offset)


def _is_torn_only(lag: Lag, path: Path) -> bool:
    return lag.kind in {"new", "behind"} and count_lines(path, lag.start, lines_max=1) == 0


def status_of_log(path: Path) -> os.stat_result | None:
    """Return the status of a log; None where there is no plain file, or we may not look."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def count_lines(
    path: Path, start: int, *, bytes_max: int = COUNTED_BYTES_MAX, lines_max: int | None = None
) -> int:
    """Return how many newlines there are from byte `start` on, in at most `bytes_max` bytes.

    Stops reading once there are `lines_max`, and then may return more. Returns what could be
    counted where the file can't be read: the projector says why.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    number = 0
    end = start + bytes_max
    size_bytes = _PIECE_BYTES if lines_max is None else _FIRST_PIECE_BYTES
    try:
        while piece := os.pread(fd, min(size_bytes, end - start), start):
            number += piece.count(b"\n")
            start += len(piece)
            if lines_max is not None and number >= lines_max:
                break
            size_bytes = _PIECE_BYTES
    except OSError:
        return number
    finally:
        os.close(fd)
    return number
