"""Lock files: one process at a time, and who it is.

The kernel frees the lock when its holder dies, so that no lock is ever stale; what stands in the
file is for messages only.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from provenance_log import files
from provenance_log.errors import LockHeld, StoreNotWritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POLL_S = 0.05
_NOTE_BYTES_MAX = 1000


@contextmanager
def exclusive_lock(path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file while the block runs; the kernel frees it when the process dies.

    The file holds the pid and the command of its holder, for messages only. Raises `LockHeld`
    naming that holder after `wait_s` seconds.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, files.FILE_MODE)
    except OSError as error:
        raise files.refused(error, path) from error
    try:
        _wait_for_lock(fd, path, time.monotonic() + wait_s)
        _note_holder(fd, f"{os.getpid()} {' '.join(sys.argv)[:200]}\n")
        yield
        _note_holder(fd, "")
    finally:
        files.close_read(fd)


def noted_holder(path: Path) -> tuple[int, str] | None:
    """Return the process and the command noted in a lock file, if the lock is held at all.

    A holder that was killed leaves its note behind, so the lock is asked for: shared, for a moment
    and without waiting. None also where the file can't be read or holds no note.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        note = os.pread(fd, _NOTE_BYTES_MAX, 0).decode("utf-8", "replace").strip()
        pid, _, command = note.partition(" ")
        if not (pid.isascii() and pid.isdigit()):
            return None
        return None if files.try_lock(fd, is_shared=True) else (int(pid), command)
    except OSError:  # no locks here, so that nobody can have it
        return None
    finally:
        files.close_read(fd)


def _note_holder(fd: int, text: str) -> None:
    # A note for messages; a full disk must not keep anybody from working.
    with suppress(OSError):
        files.overwrite(fd, text.encode("utf-8", "surrogateescape"))


def _wait_for_lock(fd: int, path: Path, deadline: float) -> None:
    try:
        while not files.try_lock(fd):
            if time.monotonic() >= deadline:
                holder = os.pread(fd, _NOTE_BYTES_MAX, 0).decode("utf-8", "replace").strip()
                message = f"held by process {holder}" if holder else "held by another process"
                raise LockHeld(message, path=path, hint="wait for it to finish, or stop it")
            time.sleep(_POLL_S)
    except OSError as error:
        message = f"it can't be locked: {error.strerror or error}"
        hint = "keep the store on a local file system"
        raise StoreNotWritable(message, path=path, hint=hint) from error
