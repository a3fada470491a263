"""The daemon's part in the derived files: those of touched sessions soon, the indices when quiet.

The database keeps a note of every session until its files and the indices were written (see
`freshness`), so a kill at any time only delays them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from projections import derived
from projections.freshness import refresh_files

if TYPE_CHECKING:
    from collections.abc import Collection

    from projections.daemon_database import ClosedDatabase
    from projections.daemon_notices import Complaints
    from provenance_log.store import Store

QUIET_S = 2.0
"""So long without a change, and it is quiet."""

_PAUSE_S = 1.0
_DELAY_MAX_S = 30.0
_SESSIONS_AT_ONCE_MAX = 50
"""The files of more sessions than this are left for when it is quiet."""


class DerivedFiles:
    """Knows which files are behind the rows, and writes them when it is their time.

    Under load, the files of a session are at most a second behind, and the indices half a minute.
    """

    def __init__(self, store: Store, database: ClosedDatabase, complaints: Complaints) -> None:
        self.is_due = True
        """Whether the database may hold notes."""
        self._store = store
        self._database = database
        self._complaints = complaints
        self._touched: set[str] = set()
        self._due_since = time.monotonic()
        self._last_written = 0.0

    def touch(self, session_ids: Collection[str]) -> None:
        """Take note that the rows of these sessions changed."""
        self._touched.update(session_ids)
        if not self.is_due:
            self.is_due, self._due_since = True, time.monotonic()

    def refresh(self, *, is_idle: bool, is_quiet: bool) -> None:
        """Write what it is time for: `is_idle` if no change is waiting, `is_quiet` for a while."""
        now = time.monotonic()
        if self._touched and (is_idle or now - self._last_written > _PAUSE_S):
            self._write_touched()
            self._last_written = time.monotonic()
        if self.is_due and (is_quiet or now - self._due_since > _DELAY_MAX_S):
            self._write_noted()

    def _write_touched(self) -> None:
        session_ids, self._touched = sorted(self._touched), set()
        if len(session_ids) > _SESSIONS_AT_ONCE_MAX:
            return
        with self._database.opened_for_reading() as connection:
            expected = list(
                derived.expected_files(connection, session_ids, with_indices=False),
            )
        # What fails is tried again when it is quiet.
        self._complain(derived.write_files(self._store, expected), is_all=False)

    def _write_noted(self) -> None:
        with self._database.opened() as connection:
            refreshed = refresh_files(self._store, connection)
        self._due_since = time.monotonic()
        if refreshed.problem is None:
            self.is_due = self._complain(refreshed.report)
        else:
            self._complaints.about("files", [refreshed.problem])

    def _complain(self, report: derived.DerivedReport | None, *, is_all: bool = True) -> bool:
        failed = () if report is None else report.failed
        problems = [f"{item.path}: {item.reason}" for item in failed]
        self._complaints.about("files", problems, is_all=is_all)
        return report is not None and bool(report.failed or report.gone)
