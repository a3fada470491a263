"""The lock of the archive, and the last step of archiving: the directory goes, and only then.

A directory is first renamed to a name that readers pass over; then it is looked at once more, as
nobody can find it any more by its name; only one that is still what was packed gets the name of
what is to be deleted. A killed run leaves one of these names, which says how far it had come.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from provenance_log import files, lock_files
from provenance_log.archive_comparing import is_equal
from provenance_log.archive_files import read_part
from provenance_log.archive_index import mark_of_index, read_index, write_index
from provenance_log.archive_trees import look_at
from provenance_log.errors import ArchiveDamaged, ArchiveRefused, LogUnsafe
from provenance_log.store import (
    SessionDirectory,
    index_entry_name,
    is_safe_name,
    next_free_name,
    read_session_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from provenance_log.archive_index import ArchivedSession
    from provenance_log.archive_trees import Tree
    from provenance_log.store import Store

LOCK_NAME = "archiving.lock"
LOCK_WAIT_S = 10.0
PENDING_NAME = ".restore-pending"

_HIDDEN = ".archiving-"
_DOOMED = ".archived-"
_TEMPORARY = re.compile(r"\.(?:index\.jsonl|(?:\d{4}-\d\d|undated)\.tar\.xz)\.[0-9a-f]{8}\.tmp")
_STAGE = re.compile(r"\.restore-[0-9a-f]{8}|\.\.restore-pending\.[0-9a-f]{8}\.tmp")


@contextmanager
def archive_lock(store: Store) -> Iterator[None]:
    """Hold the lock of the archive, and finish what an interrupted run left.

    Raises `LockHeld`, and `LogUnsafe` where a directory of the store is a symlink: what is written
    or deleted stays below the root of the store.
    """
    for directory in (store.sessions_dir, store.archive_dir):
        if directory.is_symlink():
            raise LogUnsafe("a symlink, not a directory", path=directory)
    with lock_files.exclusive_lock(store.root / LOCK_NAME, wait_s=LOCK_WAIT_S):
        files.make_directories(store.archive_dir)
        finish_interrupted(store)
        if mark_of_index(store) is None:
            # From now on an index that is missing beside month files is one that was lost.
            write_index(store, ())
        yield


def doom_directory(store: Store, tree: Tree) -> Path:
    """Give a directory that is in the archive the name of what is to be deleted; return that.

    Raises `ArchiveRefused`, and puts it back, where it is not what was packed any more. Sync
    `sessions/` before anything in it is deleted: a power cut must not bring back half of it.
    """
    name = tree.path.name
    hidden = tree.path.with_name(f"{_HIDDEN}{name}")
    files.rename_directory(tree.path, hidden)
    try:
        is_same = look_at(hidden).marks == tree.marks
    except ArchiveRefused:
        is_same = False
    if not is_same:
        place_under_free_name(store, hidden, name)
        message = "was changed while it was archived, so it stays"
        raise ArchiveRefused(message, path=tree.path, hint="archive it again")
    return _doomed(hidden)


def delete_doomed(store: Store, doomed: Path, entry: ArchivedSession) -> str | None:
    """Delete a directory that has that name; return what could not be deleted, if anything."""
    name = doomed.name.removeprefix(_DOOMED)
    reason = delete_tree(doomed)
    by_id = store.by_id_dir / index_entry_name(entry.session_id)
    with suppress(OSError, UnicodeDecodeError):  # an index that is wrong is healed by its readers
        if by_id.read_text("utf-8").strip() == name:
            by_id.unlink()
    return reason


def finish_interrupted(store: Store) -> None:
    """Finish or clean up what a killed run left; needs the lock of the archive."""
    entries = read_index(store)
    _finish_placing(store)
    for name in os.listdir(store.archive_dir):  # noqa: PTH208 - names are what is looked at
        if _TEMPORARY.fullmatch(name):
            (store.archive_dir / name).unlink()
    for name in sorted(os.listdir(store.sessions_dir)):  # noqa: PTH208 - as above
        path = store.sessions_dir / name
        is_directory = path.is_dir() and not path.is_symlink()
        if _STAGE.fullmatch(name):
            if is_directory:
                delete_tree(path)
            else:
                path.unlink()
        elif name.startswith(_DOOMED) and is_directory:
            delete_tree(path)
        elif name.startswith(_HIDDEN) and is_directory:
            _finish_hidden(store, path, entries)


def delete_tree(path: Path) -> str | None:
    """Delete a directory with all that is below it; return the reason where that can't be."""
    try:
        for directory, _, _ in os.walk(path):
            os.chmod(directory, files.DIRECTORY_MODE)  # noqa: PTH101 - a directory of ours
        shutil.rmtree(path)
    except OSError as error:
        return f"{error.filename or path}: {error.strerror or error}"
    return None


def _doomed(hidden: Path) -> Path:
    doomed = hidden.with_name(f"{_DOOMED}{hidden.name.removeprefix(_HIDDEN)}")
    files.rename_directory(hidden, doomed)
    return doomed


def _finish_hidden(store: Store, hidden: Path, entries: Mapping[str, ArchivedSession]) -> None:
    """Delete a hidden directory that is archived as it is; give any other its name back."""
    name = hidden.name.removeprefix(_HIDDEN)
    entry = entries.get(read_session_id(SessionDirectory(hidden.name, hidden)) or "")
    try:
        is_archived = entry is not None and is_equal(read_part(store, entry), look_at(hidden))
    except (ArchiveDamaged, ArchiveRefused):
        is_archived = False
    if is_archived and entry is not None:
        doomed = _doomed(hidden)
        files.sync_directory(store.sessions_dir)
        delete_doomed(store, doomed, entry)
    elif is_safe_name(name):
        place_under_free_name(store, hidden, name)


def place_under_free_name(store: Store, staged: Path, wanted: str) -> str:
    """Give a directory the name wanted, or the next one that is free; return it.

    The name is written down beforehand, so that a crash leaves no empty directory behind.
    """
    pending = store.sessions_dir / PENDING_NAME
    while True:
        name = next_free_name(wanted, lambda one: os.path.lexists(store.sessions_dir / one))
        files.write_atomically(pending, name.encode())
        try:
            files.place_directory(staged, store.sessions_dir / name)
        except FileExistsError:
            continue  # a session that has just started took the name
        finally:
            pending.unlink(missing_ok=True)
        return name


def _finish_placing(store: Store) -> None:
    """Remove the empty directory whose name was taken for a session that was not placed."""
    pending = store.sessions_dir / PENDING_NAME
    try:
        name = pending.read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        return
    if is_safe_name(name):
        with suppress(OSError):  # only an empty directory goes
            (store.sessions_dir / name).rmdir()
    pending.unlink()
