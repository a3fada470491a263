"""What is seen from outside: when lines show in SQL, and who has the database locked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from projections.database import connect
from provenance_log.errors import ProvlogError
from provenance_log.store import Store

_LOOK_S = 0.005
_SAMPLE_S = 0.001
_VANISHED_S = 0.02
_HELD_WAIT_S = 0.5

Seen = list[tuple[float, dict[str, int]]]


def watch_checkpoints(store: Store, stopped: threading.Event) -> Seen:
    """Return how far each log was projected, whenever the database had been written.

    The database is opened only when its file changed: as seldom as it can be for who wants to
    know when a line shows, and for some milliseconds only.
    """
    seen: Seen = []
    before: object = None
    while not stopped.wait(_LOOK_S):
        found = _status(store.database)
        if found is None or found == before:
            continue
        try:
            with connect(store.database, read_only=True, wait_s=_HELD_WAIT_S) as connection:
                sql = "SELECT log, line_offset FROM provenance_checkpoints"
                offsets = dict(connection.execute(sql))
        except ProvlogError:
            continue
        seen.append((time.monotonic(), offsets))
        before = found
    return seen


def _status(database: Path) -> tuple[int, ...] | None:
    try:
        found = database.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def delays(appends: Sequence[tuple[float, float, int]], log: str, seen: Seen) -> list[float]:
    """Return the time from append to visible of each append that was seen.

    Counted from the beginning of the append to the end of the look that found it.
    """
    found: list[float] = []
    looks = iter(seen)
    moment, offset = 0.0, -1
    for started, _, end in appends:
        while offset < end:
            look = next(looks, None)
            if look is None:
                return found
            moment, offset = look[0], look[1].get(log, -1)
        found.append(moment - started)
    return found


@dataclass(slots=True)
class LockWatch:
    """What was seen of the locks on a database while a daemon worked with it."""

    samples: int = 0
    locked: int = 0
    """Samples in which anybody had any lock on it."""
    written: int = 0
    """Samples in which somebody had it locked for writing."""
    opened: int = 0
    """Samples in which the daemon had the file open, if only to find it held by another."""
    covered: int = 0
    """Those of them in which the daemon's lock was there."""
    vanished: list[str] = field(default_factory=list)
    """Times at which the daemon had the file open, and its lock, and then the file only."""
    pause_s_max: float = 0.0
    """The longest time between two samples."""

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return asdict(self)


class _Opening:
    """One time that the daemon has the file open, from sample to sample.

    It opens the file a moment before it locks it, and may be sent to sleep in between, so a file
    without a lock counts only if the lock was there before, or is missing for long.
    """

    def __init__(self) -> None:
        self.was_locked = False
        self.missing_since: float | None = None
        self.is_told = False

    def look(self, now: float, *, is_locked: bool) -> bool:
        """Take a sample; True, once, when the lock has vanished."""
        if is_locked:
            self.was_locked, self.missing_since = True, None
            return False
        if self.missing_since is None:
            self.missing_since = now
        limit_s = _SAMPLE_S * 3 if self.was_locked else _VANISHED_S * 10
        if self.is_told or now - self.missing_since < limit_s:
            return False
        self.is_told = True
        return True


def watch_locks(database: Path, pid: int, stopped: threading.Event) -> LockWatch:
    """Sample /proc/locks and the daemon's descriptors about a thousand times a second.

    Prints a word when the daemon's lock is first seen, and whenever it vanishes.
    """
    watch = LockWatch()
    opening = _Opening()
    before = time.monotonic()
    while not stopped.wait(_SAMPLE_S):
        open_before = _open_file(pid, database)
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
        now = time.monotonic()
        watch.pause_s_max = max(watch.pause_s_max, now - before)
        before = now
        locks = _locks_on(lines, open_before[1] if open_before else _inode(database))
        watch.samples += 1
        watch.locked += bool(locks)
        watch.written += any(mode == "WRITE" for _, mode in locks)
        if open_before is None or _open_file(pid, database) != open_before:
            opening = _Opening()
            continue
        is_locked = any(owner == pid for owner, _ in locks)
        watch.opened += 1
        watch.covered += is_locked
        if watch.covered == 1 and is_locked:
            print("covered", flush=True)
        if opening.look(now, is_locked=is_locked):
            print("vanished", flush=True)
            watch.vanished.append(f"at {now:.3f}: open as descriptor {open_before[0]}, no lock")
    return watch


def _open_file(pid: int, database: Path) -> tuple[str, int] | None:
    """Return the descriptor and the inode of the database as a process has it open."""
    directory = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(directory):  # noqa: PTH208 - a thousand times a second
            link = f"{directory}/{name}"
            if os.readlink(link) == str(database):  # noqa: PTH115 - as above
                return name, os.stat(link).st_ino  # noqa: PTH116 - as above
    except OSError:  # closed, or ended, while we looked
        return None
    return None


def _locks_on(lines: Sequence[str], inode: int | None) -> list[tuple[int, str]]:
    """Return process and mode of every lock on a file; a waiting one is none."""
    found = []
    for line in lines:
        parts = line.split()
        if "->" in parts or len(parts) < 6 or parts[1] != "POSIX":
            continue
        if parts[5].rpartition(":")[2] == str(inode):
            found.append((int(parts[4]), parts[3]))
    return found


def _inode(database: Path) -> int | None:
    try:
        return database.stat().st_ino
    except OSError:
        return None
