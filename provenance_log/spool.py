"""Events that could not be appended at once: each in a file of its own, until somebody drains.

A recorder may not keep its agent waiting. Where a log is locked for too long it leaves the event
here, without its secrets, and goes. Files are written whole or not at all, and are removed only
after what they hold is in a log.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from provenance_log import files, lock_files
from provenance_log.errors import LineInvalid, LockHeld, StoreNotWritable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPOOL_NAME = "spool"
LOCK_NAME = "spool.lock"
_SUFFIX = ".json"
_REFUSED_SUFFIX = ".refused"


def write_spooled(root: Path, time: str, content: bytes) -> None:
    """Leave an event in the spool; the names sort by time. Raises OSError."""
    directory = root / SPOOL_NAME
    if not directory.is_dir():
        files.make_directories(directory)
    digits = "".join(filter(str.isdigit, time))
    files.create_atomically(directory / f"{digits}-{os.urandom(8).hex()}{_SUFFIX}", content)


def spooled_paths(root: Path) -> list[Path]:
    """Return the events that wait, oldest first."""
    return _paths(root, _SUFFIX)


def refused_count(root: Path) -> int:
    """Count the events that were set aside because no line can hold them."""
    return len(_paths(root, _REFUSED_SUFFIX))


def drain_spool(
    root: Path, record: Callable[[bytes], None], *, count_max: int | None = None
) -> int:
    """Record what waits, oldest first, and return how many events that were.

    Somebody else who drains is left alone. What `record` refuses with `LineInvalid` is set aside;
    any other error it raises ends the draining, and the event stays where it is. Raises
    `StoreNotWritable` where the spool can't be read or changed.
    """
    paths = spooled_paths(root)
    if not paths:
        return 0
    drained = 0
    try:
        with lock_files.exclusive_lock(root / LOCK_NAME):
            for path in paths[:count_max]:
                drained += _drain(path, record)
    except LockHeld:
        return drained
    except OSError as error:
        message = f"the spool can't be drained: {error.strerror or error}"
        hint = "check permissions and space; what waits in it stays"
        raise StoreNotWritable(message, path=root / SPOOL_NAME, hint=hint) from error
    return drained


def _drain(path: Path, record: Callable[[bytes], None]) -> bool:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False  # somebody drained it before we had the lock
    try:
        record(content)
    except LineInvalid:
        files.replace_file(path, path.with_suffix(_REFUSED_SUFFIX))
        return False
    path.unlink(missing_ok=True)
    return True


def _paths(root: Path, suffix: str) -> list[Path]:
    directory = root / SPOOL_NAME
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return []
    chosen = (name for name in names if name.endswith(suffix) and not name.startswith("."))
    return [directory / name for name in sorted(chosen)]
