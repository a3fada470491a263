"""Who holds a file's lock, as the kernel tells it in /proc/locks: nothing is opened or locked.

On systems without /proc the answer is that nobody is known, but for a lock file of ours, in which
its holder notes itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provenance_log import lock_files

_PROC = Path("/proc")
_COMMAND_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a lock on the file: `write` keeps everybody out, `read` only writers."""

    pid: int
    command: str
    mode: Literal["read", "write"]


def holders(path: Path) -> tuple[Holder, ...]:
    """Return the other processes that hold a lock on this file, by pid."""
    try:
        status = path.stat()
        lines = (_PROC / "locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return ()
    found = {}
    for line in lines:
        parts = line.split()
        if not _is_lock_on(parts, str(status.st_ino)):
            continue
        pid = int(parts[4])
        # The device in /proc/locks is not always that of stat(), and inodes repeat between
        # devices: a process that has the file open is the one we look for.
        if pid != os.getpid() and _has_open(pid, status):
            found[pid] = Holder(pid, command_of(pid), "write" if parts[3] == "WRITE" else "read")
    return tuple(found[pid] for pid in sorted(found))


def lock_holder(path: Path) -> Holder | None:
    """Return the other process that holds a lock file of ours, or None.

    Where the kernel names nobody (no /proc, or a process in another container), the note in the
    file counts as long as the lock is really held; its pid may be one of that other container.
    """
    writers = [holder for holder in holders(path) if holder.mode == "write"]
    if writers:
        return writers[0]
    noted = lock_files.noted_holder(path)
    return None if noted is None else Holder(*noted, "write")


def is_of_this_system(path: Path, holder: Holder) -> bool:
    """Say whether the pid of a lock's holder means that process here, and not in a container.

    The kernel's word where it is told; where it never is, the note in the file has to do.
    """
    if not (_PROC / "locks").exists():
        return True
    return holder.pid in {item.pid for item in holders(path)}


def started_ticks(pid: int) -> int | None:
    """Return when a process started, in ticks since the boot; None where it can't be known.

    Together with the pid it names a process: a pid alone is soon given to another one.
    """
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
        return int(text.rpartition(")")[2].split()[19])  # field 22; the name before may hold blanks
    except (OSError, ValueError, IndexError):
        return None


def is_free(path: Path) -> bool:
    """Say whether the system tells for sure that nobody has a lock on this file.

    Costs a hundredth of an attempt to open a database. False may also mean that the system does
    not tell, or that a file of another device has the same number.
    """
    try:
        inode = str(path.stat().st_ino)
        lines = (_PROC / "locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return False
    return not any(_is_lock_on(line.split(), inode) for line in lines)


def _is_lock_on(parts: list[str], inode: str) -> bool:
    # "1: POSIX  ADVISORY  WRITE 1234 08:01:567 0 EOF"; a waiting one has "->" in second place.
    return "->" not in parts and len(parts) >= 6 and parts[5].rpartition(":")[2] == inode


def _has_open(pid: int, status: os.stat_result) -> bool:
    """Say whether a process has the file open; if we may not look, take the lock's word."""
    try:
        descriptors = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return (_PROC / str(pid)).exists()
    return any(_is_same(descriptor, status) for descriptor in descriptors)


def _is_same(descriptor: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), status)
    except OSError:
        return False


def command_of(pid: int) -> str:
    """Return the command line of a process, cut to a length for messages; empty if unknown."""
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    text = raw.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return text[:_COMMAND_CHARACTERS_MAX]
