"""File systems of a test's own, where the system allows to mount them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(directory: Path, *arguments: str) -> Iterator[Path]:
    """A file system of its own; skips where that is not allowed."""
    directory.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(directory)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Path]:
    """A disk in memory of this size, as `256k`."""
    with mounted(directory, "-t", "tmpfs", "-o", f"size={size}", "none") as place:
        yield place


def fill(place: Path, free_bytes: int = 0) -> Path:
    """Fill a small disk up to so many bytes with a file, which is returned, to be removed."""
    ballast = place / "ballast"
    status = os.statvfs(place)
    ballast.write_bytes(b"x" * (status.f_bavail * status.f_bsize - free_bytes))
    return ballast
