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
import re
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from provenance_log.errors import AppendNotWritten, LockHeld, LogUnsafe, StoreNotWritable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_TEMPORARY_SUFFIX = ".tmp"
_NAMELESS = getattr(os, "O_TMPFILE", 0)
"""A file that gets its name when it is whole. Without it, no directory can be opened to write."""
_LOG_LOCK_POLL_S = 0.005  # a log is locked for as long as one write takes


def open_log(directory: Path, name: str) -> tuple[int, os.stat_result]:
    """Open a log to append and read, or make it; return its descriptor and the file's status.

    Neither the directory nor the file may be a symlink, and the file must be a regular file with
    one name (invariant A12). Raises `LogUnsafe`, or `StoreNotWritable` for what the system refuses.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise refused(error, directory) from error
    try:
        fd = _open_or_create(name, flags, at)
    except OSError as error:
        raise refused(error, directory / name) from error
    finally:
        close_read(at)
    try:
        status = os.fstat(fd)
    except OSError as error:
        os.close(fd)
        raise refused(error, directory / name) from error
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return fd, status  # without any name it was replaced just now: the appender finds out
    close_read(fd)
    if not stat.S_ISREG(status.st_mode):
        raise LogUnsafe("not a plain file", path=directory / name)
    message = f"the file has {status.st_nlink} names (hard links), so others would change with it"
    hint = "copy the log to a file of its own, in the place of this one"
    raise LogUnsafe(message, path=directory / name, hint=hint)


def _open_or_create(name: str, flags: int, at: int) -> int:
    while True:
        try:
            return os.open(name, flags, dir_fd=at)
        except FileNotFoundError:
            pass
        try:
            fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, FILE_MODE, dir_fd=at)
        except FileExistsError:
            continue  # somebody else made it in between
        os.fchmod(fd, FILE_MODE)  # an umask may have left less than the owner needs
        return fd


def refused(error: OSError, path: Path) -> LogUnsafe | StoreNotWritable:
    """Return what to raise where the system refuses to open a file of the store."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
        return LogUnsafe(f"not a plain file in a plain directory ({error.strerror})", path=path)
    hint = "check the permissions and the space of this directory"
    return StoreNotWritable(error.strerror or str(error), path=path, hint=hint)


def lock(fd: int, path: Path, *, wait_s: float | None = None) -> None:
    """Take the exclusive lock of an open file and wait for it as long as it takes, or `wait_s`.

    Raises `LockHeld` when that time is over, `AppendNotWritten` on a file system without locks.
    """
    try:
        if wait_s is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            _lock_within(fd, path, wait_s)
    except OSError as error:
        message = f"the log can't be locked: {error.strerror or error}"
        hint = "keep the store on a local file system"
        raise AppendNotWritten(message, path=path, hint=hint) from error


def _lock_within(fd: int, path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not try_lock(fd):
        if time.monotonic() >= deadline:
            message = f"another process has held it for {wait_s:g} s"
            raise LockHeld(message, path=path, hint="try again")
        time.sleep(_LOG_LOCK_POLL_S)


def unlock(fd: int) -> bool:
    """Give the lock back; False where the system refuses, so that only closing frees it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError:
        return False
    return True


def close_read(fd: int) -> None:
    """Close a descriptor whose file needs nothing more: it was only read, or was synced.

    What the system reports then changes nothing, and the descriptor is closed all the same.
    """
    with suppress(OSError):
        os.close(fd)


def append_bytes(fd: int, data: bytes, start: int, path: Path) -> int:
    """Write `data` at the end of a locked log, whole or not at all; return the offset after it.

    That offset is `start + len(data)` unless somebody wrote without the lock. A short write is
    completed; when that fails, our own bytes are cut off again while we still hold the lock, and
    only if nobody else wrote after them. Raises `AppendNotWritten`. Should the cut fail too, a
    fragment stays, which the next append seals.
    """
    written = 0
    try:
        written = os.write(fd, data)
        if written < len(data):
            view = memoryview(data)
            while written < len(data):
                written += _write_some(fd, view[written:])
    except OSError as error:
        is_clean = _cut_back(fd, start, written)
        message = f"nothing was appended: {error.strerror or error}"
        if not is_clean:
            message += "; a fragment stays in the log, which the next append seals"
        hint = "free some space or mend the permissions, then append again"
        raise AppendNotWritten(message, path=path, offset=start, hint=hint) from error
    except BaseException:  # a signal that raises, between two parts of one line
        if written < len(data):
            _cut_back(fd, start, written)
        raise
    return os.lseek(fd, 0, os.SEEK_CUR)


def _write_some(fd: int, data: memoryview) -> int:
    written = os.write(fd, data)
    if written == 0:
        raise OSError(errno.EIO, "the system writes nothing and gives no reason")
    return written


def _cut_back(fd: int, start: int, written: int) -> bool:
    """Take back what was written after `start`; return whether nothing of it is left."""
    if written == 0:
        return True
    try:
        if os.fstat(fd).st_size == start + written:
            os.ftruncate(fd, start)
            return True
    except OSError:
        pass  # the append is reported as failed by the caller, and so is the fragment
    return False


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
        close_read(fd)


def make_directory(directory: Path) -> None:
    """Make one new directory that only its owner may enter, and sync its name.

    Raises FileExistsError where anything of that name exists.
    """
    directory.mkdir(mode=DIRECTORY_MODE)
    directory.chmod(DIRECTORY_MODE)  # an umask may have left less than the owner needs
    sync_directory(directory.parent)


def make_directories(directory: Path) -> None:
    """Make a directory and what is missing above it, and sync each new name.

    Raises OSError, also where something that is no directory has the name.
    """
    if directory.is_dir():
        return
    make_directories(directory.parent)
    try:
        make_directory(directory)
    except FileExistsError:
        if not directory.is_dir():  # somebody else may have made it in between
            raise


def write_atomically(path: Path, data: bytes, *, mode: int = FILE_MODE) -> bool:
    """Make `path` hold `data`, as the old content or the new one at every moment.

    Returns False, and touches nothing, where it held them already. A symlink is replaced, never
    followed. Raises OSError and leaves no temporary file behind.
    """
    if holds(path, data):
        return False
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{_TEMPORARY_SUFFIX}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return True


def remove_unfinished(path: Path) -> None:
    """Delete what was left beside a file by who was killed while writing it; for its one writer."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\{_TEMPORARY_SUFFIX}")
    for beside in path.parent.iterdir():
        if unfinished.fullmatch(beside.name):
            beside.unlink(missing_ok=True)


def create_atomically(path: Path, data: bytes, *, mode: int = FILE_MODE) -> bool:
    """Make `path` hold `data` unless it is there already; nobody ever sees a part of it.

    Of several processes at once, one makes the file and the others get False. Raises OSError and
    leaves no temporary file behind; on Linux not even when it is killed.
    """
    try:
        fd = os.open(path.parent, os.O_WRONLY | os.O_CLOEXEC | _NAMELESS, mode)
    except OSError:  # this file system has none of them, or the named one fails as well
        return _create_by_name(path, data, mode)
    try:
        _write_all(fd, data)
        os.fchmod(fd, mode)  # an umask may have left less than the owner needs
        os.fsync(fd)
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    except FileExistsError:
        return False
    finally:
        os.close(fd)
    sync_directory(path.parent)
    return True


def _create_by_name(path: Path, data: bytes, mode: int) -> bool:
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{_TEMPORARY_SUFFIX}")
    try:
        write_new(temporary, [data])
        temporary.chmod(mode)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def holds(path: Path, data: bytes) -> bool:
    """Say whether `path` is a file, no symlink, with exactly this content that can be read."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != len(data):
            return False
        return path.read_bytes() == data
    except OSError:
        return False


def replace_file(source: Path, target: Path) -> None:
    """Put a finished file in the place of another, durably: sync, rename, sync the directory."""
    _sync_file(source)
    os.replace(source, target)
    sync_directory(target.parent)


def place_file(staged: Path, target: Path) -> None:
    """Give a finished file its name, durably, and never in the place of another.

    Raises OSError where anything has the name; `staged` is left then, and may be after a crash.
    """
    _sync_file(staged)
    try:
        os.link(staged, target)
        os.unlink(staged)
    except OSError:
        if os.path.lexists(target):
            raise
        os.rename(staged, target)  # no hard links here, so that only that look is left
    sync_directory(target.parent)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        close_read(fd)


def write_new(path: Path, pieces: Iterable[bytes]) -> None:
    """Make a file that nobody has yet, piece by piece, and return when its bytes are on the disk.

    Its name is durable only after its directory was synced. Raises OSError; a part may be left.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, FILE_MODE)
    try:
        for piece in pieces:
            _write_all(fd, piece)
        sync_data(fd)
    finally:
        os.close(fd)


def place_directory(staged: Path, target: Path) -> None:
    """Give a finished directory its name, durably, and never in the place of another.

    The name is taken first, as an empty directory, which the rename then replaces: whoever asks
    for it at the same time gets another one. A crash in between leaves that empty directory.
    Raises FileExistsError where anything has the name.
    """
    sync_directory(staged)
    target.mkdir(mode=DIRECTORY_MODE)
    os.rename(staged, target)
    sync_directory(target.parent)


def rename_directory(source: Path, target: Path) -> None:
    """Give a directory another name beside it, which nobody else may want.

    It is durable after the directory of both was synced, so that many can be renamed for one sync.
    """
    os.rename(source, target)


def try_lock(fd: int, *, is_shared: bool = False) -> bool:
    """Take the lock of an open file without waiting; False while another process has it.

    Raises OSError on a file system that has no locks.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def overwrite(fd: int, data: bytes) -> None:
    """Make an open file hold these bytes and no others, neither at once nor durably."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)
