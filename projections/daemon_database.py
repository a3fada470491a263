"""The daemon's database between two batches: closed, and known by what it looked like when closed.

Nothing here looks into the file except through `database`, and a file is looked at by its status
only while this process has it closed: DuckDB's locks would be lost otherwise.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from projections import layout, rebuild
from projections.daemon_notices import Notice
from projections.database import connect
from projections.projector import prepare_tables
from projections.work import Projector
from provenance_log.errors import DatabaseCorrupt, NotADatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from projections.database import Connection
    from provenance_log.store import Store

_BATCH_BYTES = 4 * 1024 * 1024
_HELD_WAIT_S = 1.0
"""How long somebody else may have the database before it is worth a word."""

_Signature = tuple[tuple[int, ...] | None, ...]


class DatabaseChanged(Exception):
    """Somebody deleted, replaced or wrote to the database since it was looked at: look again."""


class ClosedDatabase:
    """The database between two batches: closed, and what we know of it."""

    def __init__(
        self, store: Store, tell: Callable[[Notice], None], is_stopped: Callable[[], bool]
    ) -> None:
        self.projector = Projector(store, batch_bytes=_BATCH_BYTES)
        self.doubt: str | None = None
        """Why it has to be made anew."""
        self._store = store
        self._tell = tell
        self._is_stopped = is_stopped
        self._left: _Signature | None = None
        """How we left it; None when it has to be looked at again."""
        self._was_ours = False

    @contextmanager
    def opened(self) -> Iterator[Connection]:
        """Open the database for the block; raises `DatabaseHeld` after a moment.

        Raises `DatabaseChanged` where it is not as we left it: its checkpoints may be others than
        those that are known, or it may be a new and empty file.
        """
        if self._left is not None and _signature(self._store.database) != self._left:
            self._left = None
            raise DatabaseChanged
        with rebuild.open_database(self._store, wait_s=_HELD_WAIT_S) as connection:
            self._left = None
            before = _identity(self._store.database)
            yield connection
        # One that was deleted or replaced under our hands is not the one we wrote to.
        if before is not None and before == _identity(self._store.database):
            self._left = _signature(self._store.database)

    def opened_for_reading(self) -> Connection:
        """Open the database beside other readers; raises `DatabaseHeld` after a moment."""
        return connect(self._store.database, read_only=True, wait_s=_HELD_WAIT_S)

    def make_sure(self) -> bool:
        """Return when the tables are ours, current, and their checkpoints known.

        True if they were looked at, so that the checkpoints may be others than before.

        Opens the database only if it is not as we left it. One that is gone, was cut, can't be
        read or was filled by another definition is made anew from the logs. Damage that was done
        while we had it open, or without a change of size and time, shows when it is next used.
        Raises `RebuildAbandoned` when the daemon is stopped meanwhile.
        """
        if self.doubt is None:
            found = _signature(self._store.database)
            if found == self._left:
                return False
            left, self._left = self._left, None
            self.doubt = self._look_inside(is_cut=_is_shorter(found, left))
        if self.doubt is not None:
            self._left = None
            self._rebuild(self.doubt)
        return True

    def _look_inside(self, *, is_cut: bool) -> str | None:
        """Take the checkpoints, and return None; or why the tables have to be made anew."""
        if self._was_ours and not self._store.database.exists():
            return "the database is gone"
        if is_cut:  # DuckDB may open it all the same, and miss the rest only much later
            return "the database became shorter while nobody here wrote to it"
        try:
            with self.opened() as connection:
                if self._was_ours and not layout.is_ours(connection):
                    return "the database lost its tables"
                prepare_tables(connection)
                stale = layout.stale_tables(connection)
                if stale:
                    return f"tables that another definition filled: {len(stale)}"
                self.projector.remember(connection)
        except (DatabaseCorrupt, NotADatabase) as error:
            return error.message.partition(";")[0]
        self._was_ours = True
        return None

    def _rebuild(self, reason: str) -> None:
        self._tell(Notice("warning", "rebuilding", reason))
        report = rebuild.rebuild_locked(
            self._store, wait_s=_HELD_WAIT_S, is_stopped=self._is_stopped
        )
        with self.opened() as connection:
            self.projector.remember(connection)
        self.doubt = None
        self._was_ours = True
        aside = f"; the old one is {report.set_aside}" if report.set_aside else ""
        self._tell(Notice("info", "rebuilt", f"{report.tally.lines} lines replayed{aside}"))


def _signature(database: Path) -> _Signature:
    """Return what tells whether anybody wrote to the database, without opening it."""
    return tuple(map(_status, (database, database.with_name(f"{database.name}.wal"))))


def _is_shorter(found: _Signature, left: _Signature | None) -> bool:
    """Say whether it is the same file, and was cut."""
    now, before = found[0], left[0] if left else None
    if now is None or before is None:
        return False
    return now[:2] == before[:2] and now[2] < before[2]


def _identity(database: Path) -> tuple[int, ...] | None:
    status = _status(database)
    return None if status is None else status[:2]


def _status(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
