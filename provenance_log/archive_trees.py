"""The directory of a session as a tree of plain files, and the digest that commits to all of it.

Whatever is not a plain file of its own or a directory is refused: nothing outside the directory
is ever read, and nothing is waited for (invariants A12, D4).
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance_log.errors import ArchiveRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PIECE_BYTES = 1024 * 1024
DEPTH_MAX = 32
_PERMISSIONS = 0o777

Mark = tuple[int, ...]
"""What the status of a file says of its content."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file or directory, as it is archived."""

    name: str
    """Its path below the session's directory; empty for that directory itself."""
    is_directory: bool
    mode: int
    mtime_ns: int
    size_bytes: int
    """0 for a directory."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What is in a directory, the directory itself first, in bytewise order of the names."""

    path: Path
    members: tuple[Member, ...]
    marks: Mapping[str, Mark]
    """Differ when anything in the directory was written, made, renamed or removed since."""

    @property
    def files(self) -> list[Member]:
        """The plain files."""
        return [member for member in self.members if not member.is_directory]

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(member.size_bytes for member in self.members)


def look_at(directory: Path) -> Tree:
    """Return the tree of a directory; raises `ArchiveRefused`, also for what can't be read."""
    found: list[tuple[Member, Mark]] = []
    try:
        status = os.lstat(directory)
        if not stat.S_ISDIR(status.st_mode):
            raise ArchiveRefused("not a directory", path=directory)
        # Renaming the directory changes its own ctime, which is therefore left out.
        found.append((_member("", status), (status.st_dev, status.st_ino, status.st_mtime_ns)))
        found += _below(directory, "", 1)
    except OSError as error:
        path = error.filename or directory
        raise ArchiveRefused(error.strerror or str(error), path=path) from error
    found.sort(key=lambda pair: os.fsencode(pair[0].name))
    members = tuple(member for member, _ in found)
    return Tree(directory, members, {member.name: mark for member, mark in found})


def pieces_of(tree: Tree, member: Member) -> Iterator[bytes]:
    """Yield the content of a file, exactly as many bytes as it had when it was looked at.

    Raises `ArchiveRefused` where it is another file now, or shorter, or longer.
    """
    path = tree.path / member.name
    changed = ArchiveRefused("was changed while it was archived", path=path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _mark(os.fstat(fd)) != tree.marks[member.name]:
                raise changed
            left = member.size_bytes
            while piece := os.read(fd, min(PIECE_BYTES, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise changed
                yield piece
            if left:
                raise changed
        finally:
            os.close(fd)
    except OSError as error:
        raise ArchiveRefused(error.strerror or str(error), path=path) from error


class TreeDigest:
    """Commits to the members of a tree and their content, added in the order of the tree."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self.file_count = 0
        self.size_bytes = 0

    def add(self, member: Member, sha256: str) -> None:
        """Take a member in; the hash of a directory is empty."""
        kind = "directory" if member.is_directory else "file"
        text = f"{kind} {member.mode:o} {member.mtime_ns} {member.size_bytes} {sha256} "
        self._hasher.update(text.encode() + os.fsencode(member.name) + b"\0")
        self.file_count += not member.is_directory
        self.size_bytes += member.size_bytes

    def hexdigest(self) -> str:
        """Return the digest of what was added so far."""
        return self._hasher.hexdigest()


def _below(directory: Path, prefix: str, depth: int) -> Iterator[tuple[Member, Mark]]:
    if depth > DEPTH_MAX:
        raise ArchiveRefused(f"directories are nested deeper than {DEPTH_MAX}", path=directory)
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        path = directory / name
        status = os.lstat(path)
        yield _member(f"{prefix}{name}", status, path), _mark(status)
        if stat.S_ISDIR(status.st_mode):
            yield from _below(path, f"{prefix}{name}/", depth + 1)


def _member(name: str, status: os.stat_result, path: Path | None = None) -> Member:
    is_directory = stat.S_ISDIR(status.st_mode)
    if not is_directory:
        if not stat.S_ISREG(status.st_mode):
            raise ArchiveRefused("neither a plain file nor a directory", path=path)
        if status.st_nlink > 1:
            message = f"the file has {status.st_nlink} names (hard links)"
            hint = "copy it to a file of its own, in the place of this one"
            raise ArchiveRefused(message, path=path, hint=hint)
    size_bytes = 0 if is_directory else status.st_size
    mode = status.st_mode & _PERMISSIONS
    return Member(name, is_directory, mode, status.st_mtime_ns, size_bytes)


def _mark(status: os.stat_result) -> Mark:
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size if stat.S_ISREG(status.st_mode) else 0,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
