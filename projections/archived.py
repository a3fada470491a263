"""Archived sessions, as the projector sees them: no directory, and yet nothing happened to them.

The rows of an archived session are cleared without an incident. With `keep_rows` they stay as
long as their checkpoint is what the index of the archive says; where it is not, as in a new
database, the log is unpacked outside of the store, projected under the name its directory had,
and deleted. A directory that holds the session takes precedence over what is archived of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance_log.archive_index import mark_of_index, month_path, read_index_leniently
from provenance_log.store import SessionDirectory, is_safe_name, read_session_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projections.checkpoints import Checkpoint
    from provenance_log.archive_index import ArchivedSession
    from provenance_log.store import Store

_Mark = tuple[int, ...] | None


class Archive:
    """The index of the archive, read again when it has changed, and what could not be unpacked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_whole = True
        """Whether every line of the index could be read: else nothing that is missing is gone."""
        self._mark: _Mark = None
        self._entries: Mapping[str, ArchivedSession] = {}
        self._index_problems: list[str] = []
        self._unreadable: dict[str, tuple[ArchivedSession, _Mark, str]] = {}

    def sessions(self) -> Mapping[str, ArchivedSession]:
        """Return what is archived now, by session id.

        Lines of the index that can't be read are left out, and are among the problems.
        """
        mark = mark_of_index(self._store)
        if mark is None or mark != self._mark:
            self._entries, problems = read_index_leniently(self._store)
            self._index_problems = [sentence_of(problem) for problem in problems]
            self.is_whole = not problems
            self._mark = mark
        return self._entries

    def problems(self) -> list[str]:
        """Return what could not be read, a sentence each."""
        return self._index_problems + [told for _, _, told in self._unreadable.values()]

    def note_unreadable(self, entry: ArchivedSession, error: Exception) -> None:
        """Remember that a session could not be unpacked, so that it is not tried all the time."""
        self._unreadable[entry.session_id] = (entry, self._mark_of(entry), sentence_of(error))

    def is_unreadable(self, entry: ArchivedSession) -> bool:
        """Say whether a session could not be unpacked, and nothing has changed since."""
        found = self._unreadable.get(entry.session_id)
        if found is None or found[:2] != (entry, self._mark_of(entry)):
            self._unreadable.pop(entry.session_id, None)
            return False
        return True

    def _mark_of(self, entry: ArchivedSession) -> _Mark:
        try:
            found = month_path(self._store, entry.month).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def sentence_of(error: Exception) -> str:
    """Return what is wrong, without the hint, which is about the command that met it."""
    return str(error).partition("\nhint: ")[0]


def is_projected_from(checkpoint: Checkpoint, entry: ArchivedSession) -> bool:
    """Say whether the rows that a checkpoint stands for are those of an archived log."""
    return (
        checkpoint.role == "projected"
        and checkpoint.log == entry.directory
        and checkpoint.line_number == entry.lines
        and checkpoint.line_offset == entry.bytes
        and checkpoint.line_hash == entry.head
    )


class Away:
    """Which sessions are archived, and not live in the directory that their rows name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries = read_index_leniently(store)[0]

    def holds(self, session_id: str | None, log: str) -> bool:
        """Say whether a session is archived, so that it has nothing to do with a directory."""
        if session_id not in self._entries:
            return False
        if not is_safe_name(log):
            return True
        directory = SessionDirectory(log, self._store.sessions_dir / log)
        return read_session_id(directory) != session_id

    def keeps(self, checkpoint: Checkpoint) -> bool:
        """Say whether a checkpoint is that of an archived session whose rows are kept."""
        if not self.holds(checkpoint.session_id, checkpoint.log):
            return False
        entry = self._entries[checkpoint.session_id]
        return entry.keep_rows and is_projected_from(checkpoint, entry)
