"""Where a copy is put: staged beside the sessions, renamed, and noted in `copies.jsonl`.

Everything here happens under one lock of the destination, `copying.lock`. A session is made in a
directory whose name readers pass over, and appears with one rename. What is about to happen is
written down before, so that the next run knows whether it did (invariant D5).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from provenance_log import files, lock_files
from provenance_log.blobs import BLOBS_DIRECTORY
from provenance_log.copy_source import SourceRefused, end_of_lines
from provenance_log.errors import LogUnsafe, ProvlogError
from provenance_log.marker import ownership_reason
from provenance_log.reader import START, open_for_reading, read_chunk
from provenance_log.store import (
    LOG_NAME,
    SessionDirectory,
    is_safe_name,
    next_free_name,
    read_session_id,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from provenance_log.copy_source import PlainFile, SourceTree
    from provenance_log.reader import ReadPosition
    from provenance_log.store import Store

COPIES_NAME = "copies.jsonl"
LOCK_NAME = "copying.lock"
LOCK_WAIT_S = 10.0

_PENDING_NAME = ".copy-pending.json"
_LEFTOVER = re.compile(r"\.copy-[0-9a-f]{8}|\.\.copy-pending\.json\.[0-9a-f]{8}\.tmp")


class Placing:
    """Puts sessions into one store; used while its lock is held, by `placing`."""

    def __init__(self, store: Store) -> None:
        """Look at what the store has."""
        self.store = store
        self._names: set[str] = set()
        self._holders: dict[str, list[SessionDirectory]] = {}
        for directory in store.session_directories():
            session_id = read_session_id(directory)
            if session_id is not None:
                self._holders.setdefault(session_id, []).append(directory)

    def holders(self, session_id: str) -> list[SessionDirectory]:
        """Return the directories that hold a session, those copied now last."""
        return list(self._holders.get(session_id, ()))

    def next_name(self, wanted: str) -> str:
        """Return `wanted`, or the first of `wanted-2`, `wanted-3` … that nothing has."""
        sessions_dir = self.store.sessions_dir
        return next_free_name(
            wanted, lambda name: name in self._names or os.path.lexists(sessions_dir / name)
        )

    def claim(self, session_id: str, directory: SessionDirectory) -> None:
        """Remember what was copied; after a dry run it is still where it was."""
        self._names.add(directory.name)
        self._holders.setdefault(session_id, []).append(directory)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a directory that readers pass over; what is left of it afterwards is removed."""
        stage = self.store.sessions_dir / f".copy-{secrets.token_hex(4)}"
        files.make_directory(stage)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def place(self, stage: Path, wanted: str, record: dict[str, Any]) -> str:
        """Give a staged session its name and note where it came from; return the name."""
        while True:
            name = self.next_name(wanted)
            record["directory"] = name
            self.note_beforehand(record)
            try:
                files.place_directory(stage, self.store.sessions_dir / name)
            except FileExistsError:
                continue  # a session that has just started took the name
            self.note(record)
            return name

    def note_beforehand(self, record: Mapping[str, Any]) -> None:
        """Write down what is about to be done, for the run that comes after a crash."""
        files.write_atomically(self.store.sessions_dir / _PENDING_NAME, _encoded(record))

    def note(self, record: Mapping[str, Any]) -> None:
        """Append where a session came from to `copies.jsonl`, once and durably."""
        _append_once(self.store, _encoded(record))
        self.forget()

    def forget(self) -> None:
        """Take back what was written down beforehand."""
        (self.store.sessions_dir / _PENDING_NAME).unlink()


@contextmanager
def placing(store: Store) -> Iterator[Placing]:
    """Hold the store's lock of copies, and finish what an interrupted copy left.

    Raises `LockHeld`, and `LogUnsafe` where `sessions/` is a symlink: what is written stays below
    the root of the store.
    """
    if store.sessions_dir.is_symlink():
        raise LogUnsafe("a symlink, not a directory", path=store.sessions_dir)
    with lock_files.exclusive_lock(store.root / LOCK_NAME, wait_s=LOCK_WAIT_S):
        _finish_interrupted(store)
        yield Placing(store)


def _finish_interrupted(store: Store) -> None:
    """Remove what a killed copy left behind, and note what it did but could not note."""
    pending = store.sessions_dir / _PENDING_NAME
    for entry in list(os.scandir(store.sessions_dir)):
        if not _LEFTOVER.fullmatch(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            pending.with_name(entry.name).unlink()
    record = _read_pending(pending)
    if record is None:
        return
    directory = SessionDirectory(record["directory"], pending.parent / record["directory"])
    if _holds(directory, record):
        _append_once(store, _encoded(record))
    else:
        with suppress(OSError):  # only the empty directory that was to be replaced goes
            directory.path.rmdir()
    pending.unlink()


def stage_session(
    tree: SourceTree, log: PlainFile, end: ReadPosition, stage: Path
) -> tuple[int, list[str]]:
    """Fill a staged directory; return how many blobs came along, and what did not.

    The bytes are read back: they are the lines up to `end`, or `SourceRefused` is raised.
    """
    files.write_new(stage / LOG_NAME, log.pieces(0, end.offset))
    fd = open_for_reading(stage / LOG_NAME)
    try:
        if end_of_lines(fd) != end:
            raise SourceRefused("was changed while it was copied", path=log.path)
    finally:
        os.close(fd)
    blob_count, notes = stage_blobs(tree, stage)
    hand_files, more_notes = tree.hand_files()
    for name, content in hand_files.items():
        files.write_new(stage / name, [content])
    return blob_count, notes + more_notes


def stage_blobs(
    tree: SourceTree, stage: Path, known: Collection[str] = ()
) -> tuple[int, list[str]]:
    """Copy the blobs that are not known; return how many, and why others stay behind."""
    count = 0
    directory = stage / BLOBS_DIRECTORY
    with tree.blobs() as blobs:
        notes = list(blobs.notes)
        for name in blobs.names:
            if name in known:
                continue
            directory.mkdir(mode=files.DIRECTORY_MODE, exist_ok=True)
            try:
                files.write_new(directory / name, blobs.pieces(name))
            except SourceRefused as error:
                (directory / name).unlink(missing_ok=True)
                notes.append(f"{BLOBS_DIRECTORY}/{name}: {error.message}")
            else:
                count += 1
    if count:
        files.sync_directory(directory)
    elif directory.exists():
        directory.rmdir()
    return count, notes


def bring_along(
    place: Placing, tree: SourceTree, directory: SessionDirectory
) -> tuple[int, list[str]]:
    """Put blobs and hand-written files beside a log that is there; see `stage_blobs`.

    Blobs come before the lines that name them, and a file that a person wrote here stays. Raises
    `LogUnsafe` where `blobs` is a symlink.
    """
    target = directory.path / BLOBS_DIRECTORY
    if target.is_symlink():
        raise LogUnsafe("the directory of blobs is a symlink", path=target)
    known = {path.name for path in target.iterdir()} if target.is_dir() else set[str]()
    with place.staging() as stage:
        count, notes = stage_blobs(tree, stage, known)
        if count:
            files.make_directories(target)
            for blob in sorted((stage / BLOBS_DIRECTORY).iterdir()):
                files.replace_file(blob, target / blob.name)
        hand_files, more_notes = tree.hand_files()
        for name, content in hand_files.items():
            standing = _standing(directory.path / name)
            if standing is None or ownership_reason(standing) is None:
                files.write_new(stage / name, [content])
                files.replace_file(stage / name, directory.path / name)
            elif standing != content:
                more_notes.append(f"{name}: {directory.name} has one of its own")
    return count, notes + more_notes


def _standing(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none, nothing for what is no plain file."""
    try:
        is_plain = stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return None
    return path.read_bytes() if is_plain else b""


def append_missing(log: PlainFile, end: ReadPosition, directory: SessionDirectory) -> bool:
    """Append the bytes that a copy lacks, durably and under the lock of its log.

    Compares again first, as somebody may have appended since: False, and nothing is written,
    where the copy is no longer a beginning of the source. Raises `AppendNotWritten`, and
    `LogUnsafe` where somebody wrote without the lock.
    """
    fd, _ = files.open_log(directory.path, LOG_NAME)
    try:
        files.lock(fd, directory.log)
        start = os.fstat(fd).st_size
        if not os.path.samestat(os.lstat(directory.log), os.fstat(fd)) or start > end.offset:
            return False
        if first_difference(log, fd, start) is not None:
            return False
        for piece in log.pieces(start, end.offset):
            after = files.append_bytes(fd, piece, start, directory.log)
            if after != start + len(piece):
                raise LogUnsafe("somebody wrote to it without its lock", path=directory.log)
            start = after
        files.sync_data(fd)
        return True
    finally:
        os.close(fd)


def first_difference(log: PlainFile, fd: int, limit: int) -> int | None:
    """Return the first line in which a copy differs from the source before `limit`, or None."""
    line_number, offset = 1, 0
    for ours in log.pieces(0, limit):
        theirs = os.pread(fd, len(ours), offset)
        if ours != theirs:
            pairs = zip(ours, theirs, strict=False)
            same = next((i for i, (a, b) in enumerate(pairs) if a != b), len(theirs))
            return line_number + ours.count(b"\n", 0, same)
        line_number += ours.count(b"\n")
        offset += len(ours)
    return None


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _read_pending(path: Path) -> dict[str, Any] | None:
    """Return what was about to be done; None for no such file, and for one that is not ours."""
    try:
        record = json.loads(path.read_bytes())
        if is_safe_name(record["directory"]) and isinstance(record["lines"], int):
            return dict(record)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass  # written atomically, so somebody else wrote this
    path.unlink()
    return None


def _holds(directory: SessionDirectory, record: Mapping[str, Any]) -> bool:
    """Say whether the log in a directory has the line that a record names as its head."""
    try:
        fd = open_for_reading(directory.log)
    except (OSError, ProvlogError):
        return False
    try:
        position = START
        while True:
            chunk = read_chunk(fd, position)
            for raw in chunk.lines:
                if raw.line_number == record["lines"]:
                    return bool(raw.hash == record["head"])
            position = chunk.end
            if chunk.at_end or not chunk.lines:
                return False
    finally:
        os.close(fd)


def _append_once(store: Store, line: bytes) -> None:
    path = store.root / COPIES_NAME
    fd, _ = files.open_log(store.root, COPIES_NAME)
    try:
        files.lock(fd, path)
        size_bytes = os.fstat(fd).st_size
        last = os.pread(fd, len(line) + 1, max(0, size_bytes - len(line) - 1))
        if last[-len(line) :] != line:
            is_torn = bool(last) and not last.endswith(b"\n")
            files.append_bytes(fd, b"\n" * is_torn + line, size_bytes, path)
        files.sync_data(fd)
    finally:
        os.close(fd)
    files.sync_directory(store.root)
