"""Rebuilding: replay every log into a new database, and put it in the place of the old one.

The new database is made beside the old one. Where the old one holds nothing but our tables, the
file is replaced by a rename; where it holds tables of somebody else, ours are swapped inside one
transaction. Killed at any point, the old or the new content is there, whole (invariant C2).
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from projections import layout
from projections.archived import Away
from projections.daemon_state import state_path
from projections.database import WAIT_S, connect, wal_of
from projections.definitions import INCIDENTS, TABLES
from projections.dump import differing_rows, dump_tables
from projections.freshness import NOTHING_TO_REFRESH, Refreshed, refresh_files
from projections.incidents import Incident
from projections.loading import write_incidents
from projections.work import Projector, Tally
from provenance_log import files, lock_files
from provenance_log.errors import DatabaseCorrupt, NotADatabase, ProvlogError
from provenance_log.store import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from projections.database import Connection
    from projections.work import OnProgress
    from provenance_log.store import Store

__all__ = ["RebuildAbandoned", "RebuildReport", "dump_tables", "rebuild"]

_SIDE = ".rebuild-"


class RebuildAbandoned(Exception):
    """The caller asked to stop; the old database is as it was, and nothing is left beside it."""


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did."""

    tally: Tally
    problems: tuple[str, ...]
    """Logs that could not be read, a sentence each; they are not in the new tables."""
    is_compared: bool = False
    """False without `verify`, and when there was no old content to compare with."""
    differences: Mapping[str, int] = field(default_factory=dict)
    """Tables whose old content was not what the logs say, with the number of rows."""
    is_swapped: bool = True
    """False when the old database was left as it is."""
    set_aside: Path | None = None
    """Where a database that could not be read was moved to."""
    kept_tables: tuple[str, ...] = ()
    """Copies of older tables of the same names that held rows."""
    derived: Refreshed = NOTHING_TO_REFRESH


@dataclass(frozen=True, slots=True)
class _Old:
    """What was found at the database's path before the rebuild."""

    is_readable: bool = False
    is_comparable: bool = False
    foreign: tuple[str, ...] = ()
    incidents: tuple[Incident, ...] = ()
    limits: Mapping[str, int] | None = None
    """Where each log's checkpoint stood."""


def rebuild(
    store: Store,
    *,
    verify: bool = False,
    swap: bool = False,
    wait_s: float = WAIT_S,
    on_progress: OnProgress | None = None,
) -> RebuildReport:
    """Make every `provenance_*` table anew from the logs, and then the derived files.

    With `verify`, the old tables are first brought up to date and then compared with the new
    ones. Where they differ the old database is left as it is, for somebody to look at, unless
    `swap` says otherwise; a caller reports `differences` and fails.

    Incidents that tell of the past are carried over. A database at the store's own path that can't
    be read is set aside under another name. Anywhere else it is refused, as it may hold more than
    our tables: raises `DatabaseCorrupt` or `NotADatabase`. Also raises `LockHeld`,
    `DatabaseHeld`, `DatabaseNewer`, and `ProvlogError` for a full disk. Logs are never changed.
    """
    with lock_files.exclusive_lock(store.projector_lock, wait_s=wait_s), named_errors(store):
        return rebuild_locked(
            store, verify=verify, swap=swap, wait_s=wait_s, on_progress=on_progress
        )


def rebuild_locked(
    store: Store,
    *,
    verify: bool = False,
    swap: bool = False,
    is_damaged: bool = False,
    wait_s: float = WAIT_S,
    on_progress: OnProgress | None = None,
    is_stopped: Callable[[], bool] | None = None,
) -> RebuildReport:
    """Rebuild like `rebuild`, for a caller that holds `store.projector_lock`.

    A database that `is_damaged` is set aside also if it opens, unless it holds foreign tables.
    Raises `RebuildAbandoned` when `is_stopped`, which is asked between batches and once more
    before the new tables take the place of the old ones, says so. After that it runs to its end.
    """
    store.session_directories()
    remove_leftovers(store)
    database = _file_of(store)
    old = _look_at_old(store, verify=verify, wait_s=wait_s)
    side = database.with_name(f"{database.name}{_SIDE}{os.getpid()}")
    try:
        report = _build(store, side, old, on_progress, is_stopped)
        if verify and old.is_comparable:
            with connect(side, read_only=True) as connection:
                differences = differing_rows(connection, store.database)
            report = replace(report, is_compared=True, differences=differences)
        if report.differences and not swap:
            return replace(report, is_swapped=False)
        if is_stopped is not None and is_stopped():
            raise RebuildAbandoned
        report = _swap(store, side, old, report, is_damaged=is_damaged, wait_s=wait_s)
    finally:
        remove_leftovers(store)
    return replace(report, derived=_refresh(store, wait_s=wait_s))


def _refresh(store: Store, *, wait_s: float) -> Refreshed:
    try:
        with connect(store.database, read_only=False, wait_s=wait_s) as connection:
            return refresh_files(store, connection)
    except ProvlogError as error:  # the tables are in place; the next run tries again
        return Refreshed(problem=str(error))


@contextmanager
def named_errors(store: Store) -> Iterator[None]:
    """Raise what the system refuses as a `ProvlogError` with the path and the next command."""
    try:
        yield
    except OSError as error:
        hint = "free some space or mend the permissions, then run the command again"
        path = error.filename or store.database
        raise ProvlogError(error.strerror or str(error), path=path, hint=hint) from error


def open_database(store: Store, *, wait_s: float, read_only: bool = False) -> Connection:
    """Open the store's database; where it can't be read, the error says what to do."""
    try:
        return connect(store.database, read_only=read_only, wait_s=wait_s)
    except (NotADatabase, DatabaseCorrupt) as error:
        if is_dedicated(store):
            hint = "run `provlog rebuild`: it keeps this file aside and makes a new database"
            raise DatabaseCorrupt(error.message, path=error.path, hint=hint) from error
        raise


def remove_leftovers(store: Store) -> None:
    """Delete what a killed rebuild or daemon left half written; needs `store.projector_lock`."""
    files.remove_unfinished(state_path(store))
    database = _file_of(store)
    for path in database.parent.glob(f"{database.name}{_SIDE}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def is_dedicated(store: Store) -> bool:
    """Say whether the database is at the store's own path, where nobody else has a business."""
    return store.database == store.root / DATABASE_NAME


def _file_of(store: Store) -> Path:
    """The database's own file: a link to it must not be replaced by a file."""
    return store.database.resolve()


def _look_at_old(store: Store, *, verify: bool, wait_s: float) -> _Old:
    if not store.database.exists():
        return _Old()
    try:
        with connect(store.database, read_only=False, wait_s=wait_s) as connection:
            layout.check_layout(connection)
            foreign = tuple(layout.foreign_objects(connection))
            if not layout.is_ours(connection):
                # Tables of our names that we did not make are somebody else's as well.
                older = tuple(sorted(connection.table_names()))
                return _Old(is_readable=True, foreign=(*foreign, *older))
            is_comparable = not layout.stale_tables(connection)
            if verify and is_comparable:
                projector = Projector(store)
                projector.run(connection)
            return _Old(
                is_readable=True,
                is_comparable=is_comparable,
                foreign=foreign,
                incidents=_past_incidents(connection),
                limits=_limits(store, connection) if verify and is_comparable else None,
            )
    except (NotADatabase, DatabaseCorrupt):
        if not is_dedicated(store):
            raise
        return _Old()


def _past_incidents(connection: Connection) -> tuple[Incident, ...]:
    if INCIDENTS.name not in connection.table_names():
        return ()
    return tuple(Incident(*row) for row in connection.query("past_incidents"))


def _limits(store: Store, connection: Connection) -> dict[str, int]:
    """Return how far each log was read; archived ones are whole, and their names may be reused."""
    away = Away(store)
    found = connection.execute("SELECT log, line_offset, session_id FROM provenance_checkpoints")
    return {log: offset for log, offset, session_id in found if not away.holds(session_id, log)}


def _build(
    store: Store,
    side: Path,
    old: _Old,
    on_progress: OnProgress | None,
    is_stopped: Callable[[], bool] | None,
) -> RebuildReport:
    projector = Projector(store)

    def advance(done_bytes: int, total_bytes: int) -> None:
        if is_stopped is not None and is_stopped():
            raise RebuildAbandoned
        if on_progress is not None:
            on_progress(done_bytes, total_bytes)

    with connect(side, read_only=False) as connection:
        layout.create_tables(connection)
        projector.plan(old.limits)
        tally = projector.apply_all(connection, advance)
        write_incidents(connection, old.incidents)
        layout.create_indexes(connection)
        connection.checkpoint()
    return RebuildReport(tally, tuple(projector.problems))


def _swap(
    store: Store,
    side: Path,
    old: _Old,
    report: RebuildReport,
    *,
    is_damaged: bool,
    wait_s: float,
) -> RebuildReport:
    if old.is_readable and old.foreign:
        return _swap_inside(store, side, report, wait_s=wait_s)
    set_aside = None
    if old.is_readable:
        is_damaged |= not _empty_wal(store, wait_s=wait_s)
        side.chmod(stat.S_IMODE(store.database.stat().st_mode))
    if is_damaged or not old.is_readable:
        set_aside = _set_aside(_file_of(store))
    files.replace_file(side, _file_of(store))
    return replace(report, set_aside=set_aside)


def _empty_wal(store: Store, *, wait_s: float) -> bool:
    """Have the old database for ourselves once; False if its log can't be written into it.

    Whoever else has it open would go on with a file that has no name any more, and its log would
    be taken for that of the new file.
    """
    try:
        with connect(store.database, read_only=False, wait_s=wait_s) as connection:
            connection.checkpoint()
    except DatabaseCorrupt:
        if not is_dedicated(store):
            raise
        return False
    return True


def _swap_inside(
    store: Store, side: Path, report: RebuildReport, *, wait_s: float
) -> RebuildReport:
    kept: list[str] = []
    with connect(store.database, read_only=False, wait_s=wait_s) as connection:
        with connection.attached(side, "side"), connection.transaction():
            if not layout.is_ours(connection):
                kept = layout.set_aside_older_tables(connection)
            for table in TABLES:
                connection.drop(table.name)
                connection.create(table.name, f"FROM side.{table.name}")
            layout.create_indexes(connection)
        connection.checkpoint()
    return replace(report, kept_tables=tuple(kept))


def _set_aside(database: Path) -> Path | None:
    """Move a database that can't be read out of the way, its write-ahead log first.

    A log without its database is harmless; the other way round, a kill in between would leave a
    log that does not belong to the database that is made next.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name, number = f"{database.name}.corrupt-{moment}", 1
    while database.with_name(name).exists():
        number += 1
        name = f"{database.name}.corrupt-{moment}-{number}"
    wal = wal_of(database)
    if wal.exists():
        files.replace_file(wal, database.with_name(f"{name}.wal"))
    if not database.exists():
        return None
    files.replace_file(database, database.with_name(name))
    return database.with_name(name)
