"""The one place that locks, syncs, truncates and renames; everything else asks here.

Assumptions about the file system, in the order they matter: O_APPEND writes go to the end;
`flock` excludes other open file descriptions and is freed by the kernel when its holder dies;
rename within a directory is atomic; a file's name is durable only after its directory was synced.
Local POSIX file systems keep them; NFS may not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provenance_log.errors import AppendNotWritten, LockHeld, LogUnsafe, StoreNotWritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_TEMPORARY_SUFFIX = ".tmp"
_LOCK_POLL_S = 0.05


def open_log(directory: Path, name: str) -> int:
    """Open a log for appending and reading, making it where it is not there yet.

    Neither the directory nor the file may be a symlink, and the file must be a regular file with
    one name (invariant A12). Raises `LogUnsafe`, or `StoreNotWritable` for what the system refuses.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise _refused(error, directory) from error
    try:
        fd = _open_or_create(name, flags, at)
    except OSError as error:
        raise _refused(error, directory / name) from error
    finally:
        os.close(at)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(fd)
        raise LogUnsafe("not a plain file with one name of its own", path=directory / name)
    return fd


def _open_or_create(name: str, flags: int, at: int) -> int:
    while True:
        try:
            return os.open(name, flags, dir_fd=at)
        except FileNotFoundError:
            pass
        try:
            return os.open(name, flags | os.O_CREAT | os.O_EXCL, FILE_MODE, dir_fd=at)
        except FileExistsError:
            continue  # somebody else made it in between


def _refused(error: OSError, path: Path) -> LogUnsafe | StoreNotWritable:
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
        return LogUnsafe(f"not a plain file in a plain directory ({error.strerror})", path=path)
    hint = "check the permissions and the space of this directory"
    return StoreNotWritable(error.strerror or str(error), path=path, hint=hint)


def lock(fd: int) -> None:
    """Take the exclusive lock of an open file and wait for it as long as it takes."""
    fcntl.flock(fd, fcntl.LOCK_EX)


def unlock(fd: int) -> None:
    """Give the lock back."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def append_bytes(fd: int, data: bytes, start: int, path: Path) -> None:
    """Write `data` at the end of a locked log, whole or not at all.

    A short write is completed; when that fails, our own bytes are cut off again while we still
    hold the lock, and only if nobody else wrote after them. Raises `AppendNotWritten`. Should the
    cut fail too, a fragment stays, which the next append seals.
    """
    written = 0
    view = memoryview(data)
    try:
        while written < len(data):
            written += os.write(fd, view[written:])
    except OSError as error:
        if written and os.fstat(fd).st_size == start + written:
            _cut_back(fd, start)
        message = f"nothing was appended: {error.strerror or error}"
        hint = "free some space or mend the permissions, then append again"
        raise AppendNotWritten(message, path=path, offset=start, hint=hint) from error


def _cut_back(fd: int, size_bytes: int) -> None:
    try:
        os.ftruncate(fd, size_bytes)
    except OSError as error:
        # The append itself is about to be reported as failed; the fragment is sealed by the next.
        print(f"provlog: a fragment stays in the log: {error}", file=sys.stderr)  # noqa: T201


def sync_data(fd: int) -> None:
    """Return when the file's bytes are on the disk; raises OSError and must not be retried."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def sync_directory(directory: Path) -> None:
    """Return when the names in a directory are on the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: Path) -> None:
    """Make one new directory that only its owner may enter, and sync its name.

    Raises FileExistsError where anything of that name exists.
    """
    directory.mkdir(mode=DIRECTORY_MODE)
    sync_directory(directory.parent)


def write_atomically(path: Path, data: bytes, *, mode: int = FILE_MODE) -> bool:
    """Make `path` hold `data`, as the old content or the new one at every moment.

    Returns False, and touches nothing, where it held them already. A symlink at `path` is
    replaced, never followed. Raises OSError and leaves no temporary file behind.
    """
    if _holds(path, data):
        return False
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY_SUFFIX}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return True


def _holds(path: Path, data: bytes) -> bool:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != len(data):
            return False
        return path.read_bytes() == data
    except OSError:
        return False


def replace_file(source: Path, target: Path) -> None:
    """Put a finished file in the place of another, durably: sync, rename, sync the directory."""
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(source, target)
    sync_directory(target.parent)


@contextmanager
def exclusive_lock(path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file while the block runs; the kernel frees it when the process dies.

    The file holds the pid and the command of its holder, for messages only. Raises `LockHeld`
    naming that holder after `wait_s` seconds.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise _refused(error, path) from error
    try:
        _wait_for_lock(fd, path, time.monotonic() + wait_s)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {' '.join(sys.argv)[:200]}\n".encode(), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _wait_for_lock(fd: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 300, 0).decode("utf-8", "replace").strip()
                message = f"held by process {holder}" if holder else "held by another process"
                hint = "wait for it to finish, or stop it"
                raise LockHeld(message, path=path, hint=hint) from error
            time.sleep(_LOCK_POLL_S)
        else:
            return
