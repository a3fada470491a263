"""Ways to run out of something that is there again later, for as long as a block takes."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attacks.effort import Impossible

_SIZE = "size=48m,nr_inodes=600"


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a small disk in memory; raises `Impossible` where that is not allowed."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", _SIZE, "none", str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Impossible(f"nothing can be mounted: {error}") from error
    if done.returncode != 0:
        raise Impossible(f"no tmpfs can be mounted: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        if subprocess.run(["umount", str(directory)], capture_output=True, check=False).returncode:
            subprocess.run(["umount", "-l", str(directory)], check=True)
        directory.rmdir()


@contextmanager
def space(disk: Path, left: int) -> Iterator[None]:
    """Leave so many pages of the disk and no more."""
    ballast = disk / "ballast"
    status = os.statvfs(disk)
    size_bytes = (status.f_bavail - left) * status.f_bsize
    with ballast.open("wb") as file:
        if size_bytes > 0:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def inodes(disk: Path, left: int) -> Iterator[None]:
    """Leave so many files that may be made, and no more."""
    ballast = disk / "ballast"
    ballast.mkdir()
    names = [ballast / str(n) for n in range(os.statvfs(disk).f_favail - left)]
    for name in names:
        name.touch()
    try:
        yield
    finally:
        for name in names:
            name.unlink()
        ballast.rmdir()


@contextmanager
def writing(disk: Path, _left: int) -> Iterator[None]:
    """Let nothing be written to the disk; nobody may have a file of it open to write."""
    _remount(disk, "ro")
    try:
        yield
    finally:
        _remount(disk, "rw")


def _remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True, capture_output=True)


@contextmanager
def descriptors(_disk: Path, left: int) -> Iterator[None]:
    """Let this process open so many files more, and no more; those that are open stay so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A limit is on the number itself, so gaps below the highest one have to be filled first.
    highest = max(int(link.name) for link in Path("/proc/self/fd").iterdir())
    gaps: list[int] = []
    with suppress(OSError):
        while not gaps or gaps[-1] < highest:
            gaps.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max([*gaps, highest]) + 1 + left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in gaps:
            os.close(fd)
