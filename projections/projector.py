"""Catching up: bring the tables up to what the logs say, once.

A daemon does the same in a loop with a `work.Projector` of its own, opening the database for each
batch only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections import layout, rebuild
from projections.database import WAIT_S
from projections.directories import check_directories
from projections.freshness import NOTHING_TO_REFRESH, Refreshed, refresh_files
from projections.work import OnProgress, Projector, Tally
from provenance_log import lock_files

if TYPE_CHECKING:
    from projections.database import Connection
    from provenance_log.store import Store

__all__ = ["CatchUpReport", "Projector", "catch_up", "prepare_tables"]


@dataclass(frozen=True, slots=True)
class CatchUpReport:
    """What one catching up did."""

    lines: int
    """New lines, those in the quarantine among them."""
    quarantined: int
    incidents: int
    size_bytes: int
    session_ids: tuple[str, ...]
    """The sessions whose rows changed, in order."""
    problems: tuple[str, ...] = ()
    """Logs that could not be read, a sentence each; their rows are what they were."""
    rebuilt: tuple[str, ...] = ()
    """Tables that another definition had filled, so that all of them were made anew."""
    kept_tables: tuple[str, ...] = ()
    """Copies of older tables of the same names that held rows."""
    derived: Refreshed = NOTHING_TO_REFRESH

    @property
    def sessions(self) -> int:
        """How many sessions changed."""
        return len(self.session_ids)


def catch_up(
    store: Store, *, wait_s: float = WAIT_S, on_progress: OnProgress | None = None
) -> CatchUpReport:
    """Project every complete new line of every log, and refresh the derived files.

    Makes the database and its tables where there are none. Tables that another definition filled
    are made anew from the logs. Waits up to `wait_s` seconds for another projector, and as long
    again for the database.

    Raises `LockHeld` or `DatabaseHeld`, naming who holds it, `DatabaseNewer`, `DatabaseCorrupt`,
    `NotADatabase`, and `StoreNotFound` when the directory of sessions is not there. What was
    committed before stays committed.
    """
    with (
        lock_files.exclusive_lock(store.projector_lock, wait_s=wait_s),
        rebuild.named_errors(store),
    ):
        check_directories(store)
        rebuild.remove_leftovers(store)
        with rebuild.open_database(store, wait_s=wait_s) as connection:
            kept, stale = _prepare(connection)
            if not stale:
                report = _catch_up(store, connection, kept, on_progress)
                connection.empty_leftover_log()
                return report
        made = rebuild.rebuild_locked(store, wait_s=wait_s, on_progress=on_progress)
        return _report(made.tally, made.problems, made.derived, tuple(stale), made.kept_tables)


def _prepare(connection: Connection) -> tuple[tuple[str, ...], list[str]]:
    """Return the copies that `prepare_tables` made, and the tables that are stale."""
    if layout.are_current(connection):
        return (), []
    kept = prepare_tables(connection)
    return kept, layout.stale_tables(connection)


def prepare_tables(connection: Connection) -> tuple[str, ...]:
    """Make our tables where there are none; raises `DatabaseNewer`.

    Returns the copies of older tables of the same names that held rows.
    """
    layout.check_layout(connection)
    if layout.is_ours(connection):
        return ()
    with connection.transaction():
        kept = layout.set_aside_older_tables(connection)
        layout.create_tables(connection)
        layout.create_indexes(connection)
    return tuple(kept)


def _catch_up(
    store: Store,
    connection: Connection,
    kept: tuple[str, ...],
    on_progress: OnProgress | None,
) -> CatchUpReport:
    projector = Projector(store)
    tally = projector.run(connection, on_progress)
    refreshed = refresh_files(store, connection)
    return _report(tally, tuple(projector.problems), refreshed, (), kept)


def _report(
    tally: Tally,
    problems: tuple[str, ...],
    refreshed: Refreshed,
    rebuilt: tuple[str, ...],
    kept: tuple[str, ...],
) -> CatchUpReport:
    return CatchUpReport(
        lines=tally.lines,
        quarantined=tally.quarantined,
        incidents=tally.incidents,
        size_bytes=tally.size_bytes,
        session_ids=tuple(sorted(tally.session_ids)),
        problems=problems,
        rebuilt=rebuilt,
        kept_tables=kept,
        derived=refreshed,
    )
