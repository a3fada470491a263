"""The store that sessions are copied from: read as it stands, and nothing in it trusted.

Every name is opened relative to the directory that was looked at, without following a symlink,
and must be a plain file with one name (invariant D4): so nothing outside the store is read, and
nothing is waited for. No lock is taken and nothing is written there (invariant D3).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance_log.blobs import BLOBS_DIRECTORY
from provenance_log.errors import READ_HINT, LineInvalid, ProvlogError
from provenance_log.format import decode, timestamp_us
from provenance_log.marker import ownership_reason
from provenance_log.reader import START, first_line, read_chunk, session_id_of_log
from provenance_log.store import LOG_NAME, MANIFEST_NAME, SUMMARY_NAME, is_safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provenance_log.reader import RawLine, ReadPosition
    from provenance_log.store import Store

PIECE_BYTES = 1024 * 1024
HAND_FILE_BYTES_MAX = 16 * 1024 * 1024

_BLOB_NAME = re.compile(r"[0-9a-f]{64}")
_KINDS = (
    (stat.S_ISLNK, "a symlink"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


class SourceRefused(ProvlogError):
    """Something in the source can't be copied safely; nothing of that session was copied."""


@dataclass(frozen=True, slots=True)
class SourceSession:
    """A session of the source, as its first line describes it."""

    name: str
    """Of its directory."""
    session_id: str
    agent_type: str | None
    started_us: int | None
    """Microseconds since 1970; None where the first line is no action."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """What is no session: refused where it may be meant to be one, ignored otherwise."""

    name: str
    reason: str
    is_refused: bool


class PlainFile:
    """An open file of the source, of which a part may be read any number of times."""

    def __init__(self, fd: int, path: Path) -> None:
        """Own the descriptor."""
        self.fd = fd
        self.path = path

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)

    def size_bytes(self) -> int:
        """Return how long the file is now."""
        with _reading(self.path):
            return os.fstat(self.fd).st_size

    def first_line(self) -> RawLine | None:
        """Return the first whole line that is not blank."""
        with _reading(self.path):
            return first_line(self.fd)

    def whole_lines(self) -> ReadPosition:
        """Return the end of the last whole line that is there now, with its number and hash."""
        with _reading(self.path):
            return end_of_lines(self.fd)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end`, cut after a newline where a piece has one.

        Raises `SourceRefused` where the file has become shorter.
        """
        while start < end:
            with _reading(self.path):
                piece = os.pread(self.fd, min(PIECE_BYTES, end - start), start)
            if not piece:
                raise SourceRefused("became shorter while it was copied", path=self.path)
            if start + len(piece) < end:
                piece = piece[: piece.rfind(b"\n") + 1] or piece
            yield piece
            start += len(piece)


class SourceTree:
    """The directory of one session, held open."""

    def __init__(self, fd: int, path: Path) -> None:
        """Own the descriptor."""
        self._fd = fd
        self.path = path

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def log(self) -> PlainFile:
        """Open the log; raises `SourceRefused`."""
        return _open_plain(self._fd, LOG_NAME, self.path / LOG_NAME)

    def hand_files(self) -> tuple[dict[str, bytes], list[str]]:
        """Return the manifest and summary that a person wrote, and notes on what stays behind."""
        found: dict[str, bytes] = {}
        notes: list[str] = []
        with _reading(self.path):
            names = _names(self._fd)
        for name in names:
            if name in {MANIFEST_NAME, SUMMARY_NAME}:
                try:
                    content = self._read(name)
                except SourceRefused as error:
                    notes.append(f"{name}: {error.message}")
                else:
                    if ownership_reason(content) is not None:
                        found[name] = content
            elif name not in {LOG_NAME, BLOBS_DIRECTORY}:
                is_database = ".duckdb" in name
                what = "derived, never copied" if is_database else "no part of a session"
                notes.append(f"{name}: {what}")
        return found, notes

    def _read(self, name: str) -> bytes:
        with closing(_open_plain(self._fd, name, self.path / name)) as file:
            size_bytes = file.size_bytes()
            if size_bytes > HAND_FILE_BYTES_MAX:
                raise SourceRefused(f"larger than {HAND_FILE_BYTES_MAX} bytes", path=file.path)
            return b"".join(file.pieces(0, size_bytes))

    @contextmanager
    def blobs(self) -> Iterator[BlobDirectory]:
        """Hold the directory of blobs open; where there is none that is plain, it has none."""
        path = self.path / BLOBS_DIRECTORY
        try:
            fd = _open_directory(BLOBS_DIRECTORY, path, self._fd)
        except SourceRefused as error:
            is_missing = isinstance(error.__cause__, FileNotFoundError)
            refused = () if is_missing else (f"{BLOBS_DIRECTORY}: {error.message}",)
            yield BlobDirectory(None, path, (), refused)
            return
        try:
            with _reading(path):
                names = _names(fd)
            wanted = tuple(name for name in names if _BLOB_NAME.fullmatch(name))
            others = (name for name in names if not _BLOB_NAME.fullmatch(name))
            notes = tuple(f"{BLOBS_DIRECTORY}/{name}: not named as a blob" for name in others)
            yield BlobDirectory(fd, path, wanted, notes)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class BlobDirectory:
    """What there is of blobs in the directory of a session."""

    fd: int | None
    path: Path
    names: tuple[str, ...]
    notes: tuple[str, ...]

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the content of a blob; raises `SourceRefused`, at the end for a wrong hash."""
        hasher = hashlib.sha256()
        with closing(_open_plain(self.fd, name, self.path / name)) as file:
            for piece in file.pieces(0, file.size_bytes()):
                hasher.update(piece)
                yield piece
        if hasher.hexdigest() != name:
            message = "does not have the content its name promises"
            raise SourceRefused(message, path=self.path / name)


class Source:
    """A store to copy from, its `sessions/` held open."""

    def __init__(self, store: Store) -> None:
        """Open `sessions/`, which must be no symlink; raises `SourceRefused`."""
        self.root = store.root
        self.sessions_dir = store.sessions_dir
        self._fd = _open_directory(self.sessions_dir, self.sessions_dir)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def look(self) -> tuple[list[SourceSession], list[PassedOver]]:
        """Return the sessions and what is none, each in bytewise order of the names."""
        sessions: list[SourceSession] = []
        others: list[PassedOver] = []
        with _reading(self.sessions_dir):
            names = _names(self._fd)
        for name in names:
            found = self._look_at(name)
            if isinstance(found, SourceSession):
                sessions.append(found)
            else:
                others.append(found)
        return sessions, others

    def tree(self, name: str) -> SourceTree:
        """Open the directory of a session; raises `SourceRefused`."""
        path = self.sessions_dir / name
        return SourceTree(_open_directory(name, path, self._fd), path)

    def _look_at(self, name: str) -> SourceSession | PassedOver:
        try:
            with _reading(self.sessions_dir / name):
                mode = os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode
            if stat.S_ISREG(mode):
                return PassedOver(name, "a file beside the sessions", is_refused=False)
            if not is_safe_name(name):
                # A hidden name is a copy that another process makes just now, or none of ours.
                return PassedOver(name, "its name is not safe", not name.startswith("."))
            with closing(self.tree(name)) as tree, closing(tree.log()) as log:
                first = log.first_line()
        except SourceRefused as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return PassedOver(name, "it has no log", is_refused=False)
            return PassedOver(name, error.message, is_refused=True)
        if first is None:
            return PassedOver(name, "its log has no whole line yet", is_refused=False)
        return _described(name, first)


def end_of_lines(fd: int) -> ReadPosition:
    """Return the end of the last whole line of an open log, with its number and its hash."""
    position = START
    while True:
        chunk = read_chunk(fd, position)
        position = chunk.end
        if chunk.at_end or not chunk.lines:
            return position


def _described(name: str, first: RawLine) -> SourceSession:
    session_id = session_id_of_log(first)
    try:
        value = decode(first.content or b"")
    except LineInvalid:
        return SourceSession(name, session_id, None, None)
    session = value.get("details") or {}
    session = session.get("session")
    agent_type = session.get("agent_type") if isinstance(session, dict) else None
    is_text = isinstance(agent_type, str)
    started_us = timestamp_us(value["timestamp"])
    return SourceSession(name, session_id, agent_type if is_text else None, started_us)


def _open_directory(name: str | Path, path: Path, at: int | None = None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    with _reading(path):
        mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(mode):
            raise SourceRefused(f"{_kind(mode)}, not a directory", path=path)
        return os.open(name, flags, dir_fd=at)


def _open_plain(at: int | None, name: str, path: Path) -> PlainFile:
    """Open a file that is looked at before, as opening a device may act on it, and after."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with _reading(path):
        _check_plain(os.stat(name, dir_fd=at, follow_symlinks=False), path)
        fd = os.open(name, flags, dir_fd=at)
        try:
            _check_plain(os.fstat(fd), path)
        except BaseException:
            os.close(fd)
            raise
    return PlainFile(fd, path)


def _check_plain(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SourceRefused(f"{_kind(status.st_mode)}, not a plain file", path=path)
    if status.st_nlink > 1:
        message = f"the file has {status.st_nlink} names (hard links)"
        hint = "copy it to a file of its own, in the place of this one"
        raise SourceRefused(message, path=path, hint=hint)


def _names(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return sorted((entry.name for entry in entries), key=os.fsencode)


def _kind(mode: int) -> str:
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a file")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell the errors of the source from those of the destination."""
    try:
        yield
    except OSError as error:
        message = error.strerror or str(error)
        raise SourceRefused(message, path=path, hint=READ_HINT) from error
