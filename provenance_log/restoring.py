"""Bring archived sessions back, byte-identical; the archive keeps its copy.

A session is unpacked into a directory that readers pass over, compared with the index, and
appears with one rename. The index alone is not trusted either: only members that archiving
writes are unpacked, never more bytes than it names, and never outside of that directory.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from provenance_log import files
from provenance_log.archive_files import read_part
from provenance_log.archive_index import ArchivedSession, read_index
from provenance_log.archive_removing import archive_lock, delete_tree, place_under_free_name
from provenance_log.blobs import BLOBS_DIRECTORY
from provenance_log.copy_source import end_of_lines
from provenance_log.errors import (
    ArchiveDamaged,
    ArchiveRefused,
    LogUnsafe,
    SessionNotFound,
    StoreNotWritable,
)
from provenance_log.reader import open_for_reading, read_log
from provenance_log.session_names import matching
from provenance_log.store import LOG_NAME, SessionDirectory, read_session_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from provenance_log.archive_trees import Member
    from provenance_log.store import Store

State = Literal["restored", "live", "refused"]


@dataclass(frozen=True, slots=True)
class SessionRestored:
    """What became of one session."""

    entry: ArchivedSession
    state: State
    directory: str | None = None
    """Where it is now."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class UnpackedSession:
    """The log and the blobs of an archived session, outside of the store."""

    entry: ArchivedSession
    directory: SessionDirectory

    @property
    def log(self) -> Path:
        """The log, whose blobs are beside it."""
        return self.directory.log


def restore_sessions(
    store: Store,
    given: Sequence[str] = (),
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[SessionRestored]:
    """Restore the sessions that are given, or all of them, each whole or not at all.

    A session that is live with the same lines, or more after them, is left alone. What is refused
    or damaged is in the report, and the others are restored all the same. `on_progress` gets
    bytes done and in all. Raises `SessionNotFound` before anything is done, `ArchiveDamaged` for
    the index, `LockHeld` and `StoreNotWritable`.
    """
    if not read_index(store):
        if given:
            raise _not_found(store, given[0], ())
        return []
    try:
        with archive_lock(store):
            chosen = chosen_entries(store, read_index(store), given)
            live = _live(store)
            total, done = sum(entry.size_bytes for entry in chosen), 0
            outcomes = []
            for entry in chosen:
                outcomes.append(_restored(store, entry, live.get(entry.session_id, [])))
                done += entry.size_bytes
                on_progress(done, total)
            return outcomes
    except OSError as error:
        message = f"can't be written: {error.strerror or error}"
        hint = "check space and permissions, then restore again: what was restored stays"
        raise StoreNotWritable(message, path=error.filename or store.root, hint=hint) from error


@contextmanager
def unpacked_session(
    store: Store, entry: ArchivedSession, *, with_blobs: bool = True
) -> Iterator[UnpackedSession]:
    """Unpack the log, and the blobs, of one session into a temporary directory for the block.

    That directory is outside of the store, and its last part is named as the session's was. The
    whole part was read and compared with the index before the block begins. Raises
    `ArchiveDamaged`, and OSError where there is no room.
    """
    prefix = f"{BLOBS_DIRECTORY}/"

    def is_wanted(member: Member) -> bool:
        is_blob = member.name == BLOBS_DIRECTORY or member.name.startswith(prefix)
        return member.name in {"", LOG_NAME} or (with_blobs and is_blob)

    with tempfile.TemporaryDirectory(prefix="provlog-archived-") as temporary:
        place = Path(temporary) / entry.directory
        place.mkdir(mode=files.DIRECTORY_MODE)
        _unpack(store, entry, place, is_wanted, is_exact=False)
        yield UnpackedSession(entry, SessionDirectory(entry.directory, place))


def _restored(
    store: Store, entry: ArchivedSession, live: Sequence[SessionDirectory]
) -> SessionRestored:
    try:
        if live:
            return _left_alone(entry, live)
        stage = store.sessions_dir / f".restore-{secrets.token_hex(4)}"
        files.make_directory(stage)
        try:
            _unpack(store, entry, stage)
            name = place_under_free_name(store, stage, entry.directory)
        finally:
            if stage.exists():
                delete_tree(stage)
    except (ArchiveDamaged, ArchiveRefused, LogUnsafe) as error:
        return SessionRestored(entry, "refused", reason=str(error))
    with suppress(StoreNotWritable):  # the index is healed by whoever looks for the session
        store.register_session(entry.session_id, name)
    return SessionRestored(entry, "restored", name)


def _left_alone(entry: ArchivedSession, live: Sequence[SessionDirectory]) -> SessionRestored:
    """Return that a session is live; raises `ArchiveRefused` where that has not all its lines."""
    for directory in live:
        for chunk in read_log(directory.log):
            for raw in chunk.lines:
                if raw.line_number == entry.lines and raw.hash == entry.head:
                    return SessionRestored(entry, "live", directory.name)
    message = f"the session is live, without the {entry.lines} lines that are archived of it"
    hint = "move this directory out of the store, then restore again"
    raise ArchiveRefused(message, path=live[0].path, hint=hint)


def _unpack(
    store: Store,
    entry: ArchivedSession,
    place: Path,
    is_wanted: Callable[[Member], bool] = lambda _member: True,
    *,
    is_exact: bool = True,
) -> None:
    """Unpack the members that are wanted below `place`, with modes and times where `is_exact`."""
    part = read_part(store, entry)
    unpacked = []
    for member, content in part.members():
        if not is_wanted(member):
            continue
        path = place / member.name
        if not member.is_directory:
            files.write_new(path, content)
        elif member.name:
            path.mkdir(mode=files.DIRECTORY_MODE)
        unpacked.append((path, member))
    _check_log(entry, place / LOG_NAME)
    # What is in a directory changes its time, and may need a mode that it does not get.
    for path, member in reversed(unpacked if is_exact else []):
        if member.is_directory:
            files.sync_directory(path)
        path.chmod(member.mode)
        os.utime(path, ns=(member.mtime_ns, member.mtime_ns))


def _check_log(entry: ArchivedSession, log: Path) -> None:
    """Raise `ArchiveRefused` unless the log ends as the index says."""
    try:
        fd = open_for_reading(log)
    except FileNotFoundError as error:
        raise ArchiveRefused("there is no log in the archived session", path=log) from error
    try:
        end = end_of_lines(fd)
    finally:
        os.close(fd)
    if (end.line_number, end.offset, end.prev) != (entry.lines, entry.bytes, entry.head):
        message = (
            f"the archived log of {entry.session_id} has {end.line_number} lines and the head "
            f"{end.prev}, and the index names {entry.lines} and {entry.head}"
        )
        hint = "bring back the index that belongs to this archive, from git for instance"
        raise ArchiveRefused(message, hint=hint)


def chosen_entries(
    store: Store, entries: Mapping[str, ArchivedSession], given: Sequence[str]
) -> list[ArchivedSession]:
    """Return the archived sessions that are meant, all without `given`, by their directories.

    Raises `SessionNotFound`.
    """
    chosen = {} if given else dict(entries)
    for one in given:
        found = matching(entries.values(), one, one.rstrip("/").rpartition("/")[2])
        if len(found) != 1:
            raise _not_found(store, one, found)
        chosen[found[0].session_id] = found[0]
    return sorted(chosen.values(), key=lambda entry: os.fsencode(entry.directory))


def _live(store: Store) -> dict[str, list[SessionDirectory]]:
    found: dict[str, list[SessionDirectory]] = {}
    for directory in store.session_directories():
        session_id = read_session_id(directory)
        if session_id is not None:
            found.setdefault(session_id, []).append(directory)
    return found


def _not_found(store: Store, given: str, found: Sequence[ArchivedSession]) -> SessionNotFound:
    if not found:
        message = f"no archived session {given}"
        return SessionNotFound(
            message, path=store.archive_dir, hint="`provlog restore --list` lists them"
        )
    ids = "".join(f"\n  {entry.session_id}" for entry in found)
    message = f"{len(found)} archived sessions were in {given}:{ids}"
    return SessionNotFound(message, hint="give the id of the session")
