"""The daemon's database between two batches: closed, and known by what it looked like when closed.

Nothing here looks into the file except through `database`, and a file is looked at by its status
only while this process has it closed: DuckDB's locks would be lost otherwise.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections import layout, rebuild
from projections.daemon_notices import Notice
from projections.database import connect, wal_of
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

_SWAP_WAIT_S = 10.0
"""How long a rebuild waits: what it replayed would be thrown away, and replayed again."""

_Signature = tuple[tuple[int, ...] | None, ...]


class DatabaseChanged(Exception):
    """Somebody deleted, replaced or wrote to the database since it was looked at: look again."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why the tables have to be made anew."""

    reason: str
    is_damaged: bool = False
    """True where the file may be worth a look, and is kept."""


class ClosedDatabase:
    """The database between two batches: closed, and what we know of it."""

    def __init__(
        self, store: Store, tell: Callable[[Notice], None], is_stopped: Callable[[], bool]
    ) -> None:
        self.projector = Projector(store, batch_bytes=_BATCH_BYTES)
        self.doubt: Doubt | None = None
        self._store = store
        self._tell = tell
        self._is_stopped = is_stopped
        self._left: _Signature | None = None
        """How we left it; None when its checkpoints have to be read again."""
        self._known: _Signature | None = None
        """How it was when we last wrote to it, whatever came of that, or read all of it."""
        self._was_ours = False

    @contextmanager
    def opened(self, found: _Signature | None = None) -> Iterator[Connection]:
        """Open the database for the block; raises `DatabaseHeld` after a moment.

        Raises `DatabaseChanged` where it is not as it was found, or else as we left it: its
        checkpoints may be others than those that are known, or it may be a new and empty file.
        """
        expected, self._left = found or self._left, None
        if expected is not None and _signature(self._store.database) != expected:
            raise DatabaseChanged
        before = None
        try:
            with rebuild.open_database(self._store, wait_s=_HELD_WAIT_S) as connection:
                # It may have been cut while we waited for whoever had it, and DuckDB opens it all
                # the same. Opening changes nothing of the file.
                file = None if expected is None else expected[0]
                if file is not None and _status(self._store.database) != file:
                    raise DatabaseChanged
                before = _identity(self._store.database)
                yield connection
                connection.empty_leftover_log()
        finally:
            # One that was deleted or replaced under our hands is not the one we wrote to.
            is_same = before is not None and before == _identity(self._store.database)
            if is_same:
                self._known = _signature(self._store.database)
        if is_same:
            self._left = self._known

    def opened_for_reading(self) -> Connection:
        """Open the database beside other readers; raises `DatabaseHeld` after a moment."""
        return connect(self._store.database, read_only=True, wait_s=_HELD_WAIT_S)

    def make_sure(self) -> bool:
        """Return when the tables are ours, current, and their checkpoints known.

        True if they were looked at, so that the checkpoints may be others than before.

        Opens the database only if it is not as we left it. One that is gone, can't be read or was
        filled by another definition is made anew from the logs. All of our tables is read where
        somebody else wrote to a database that is ours alone, or cut any. Damage that was done
        while we had it open, or without a change of size and time, shows when it is next used.
        Raises `RebuildAbandoned` when the daemon is stopped meanwhile.
        """
        if self.doubt is None:
            found = _signature(self._store.database)
            if found == self._left:
                return False
            self._left = None
            self.doubt = self._look_inside(found)
        if self.doubt is not None:
            self._left = None
            self._rebuild(self.doubt)
        return True

    def _look_inside(self, found: _Signature) -> Doubt | None:
        """Take the checkpoints, and return None; or why the tables have to be made anew.

        Raises `DatabaseChanged` where it is not as it was `found` any more.
        """
        if self._was_ours and not self._store.database.exists():
            return Doubt("the database is gone")
        try:
            if found != self._known:
                self._read_everything(found)
            with self.opened(found) as connection:
                doubt = self._doubt_of_tables(connection)
                if doubt is not None:
                    return doubt
                self.projector.remember(connection)
        except (DatabaseCorrupt, NotADatabase) as error:
            return Doubt(error.message.partition(";")[0], is_damaged=True)
        self._was_ours = True
        return None

    def _doubt_of_tables(self, connection: Connection) -> Doubt | None:
        """Make the tables in a new database; say what is wrong with those of another."""
        if layout.are_current(connection):
            return None
        if self._was_ours and not layout.is_ours(connection):
            return Doubt("the database lost its tables")
        prepare_tables(connection)
        stale = layout.stale_tables(connection)
        if stale:
            return Doubt(f"tables that another definition filled: {len(stale)}")
        return None

    def _read_everything(self, found: _Signature) -> None:
        """Look for damage where there may be some, beside whoever else reads.

        Somebody who drops tables of his own may well have made a shared database shorter.
        """
        is_there = self._store.database.exists()
        if not is_there or not (
            rebuild.is_dedicated(self._store) or _is_shorter(found, self._known)
        ):
            return
        with self.opened_for_reading() as connection:
            if layout.is_ours(connection):
                layout.read_everything(connection)
        if _signature(self._store.database) == found:
            self._known = found

    def _rebuild(self, doubt: Doubt) -> None:
        self._tell(Notice("warning", "rebuilding", doubt.reason))
        report = rebuild.rebuild_locked(
            self._store,
            is_damaged=doubt.is_damaged,
            wait_s=_SWAP_WAIT_S,
            is_stopped=self._is_stopped,
        )
        with self.opened() as connection:
            self.projector.remember(connection)
        self.doubt = None
        self._was_ours = True
        aside = f"; the old one is {report.set_aside}" if report.set_aside else ""
        self._tell(Notice("info", "rebuilt", f"{report.tally.lines} lines replayed{aside}"))


def _signature(database: Path) -> _Signature:
    """Return what tells whether anybody wrote to the database, without opening it."""
    return tuple(map(_status, (database, wal_of(database))))


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
