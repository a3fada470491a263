"""Keep the derived files as new as the rows.

A transaction that changes a session's rows notes the session in provenance_unrefreshed; the note
is taken back when its files were written. So a kill between the two, a full disk or a directory
without permission costs a delay and nothing else: the next run tries again (invariant B10).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections import derived
from projections.definitions import load_sql
from projections.indices import count_sessions
from provenance_log.errors import ProvlogError

if TYPE_CHECKING:
    from projections.database import Connection
    from provenance_log.store import Store


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of the derived files."""

    report: derived.DerivedReport | None = None
    """None when there was nothing to do, or it could not be done."""
    problem: str | None = None
    """Why the files could not be brought up to date."""


NOTHING_TO_REFRESH = Refreshed()


def refresh_files(store: Store, connection: Connection) -> Refreshed:
    """Write the files of every session noted as unrefreshed; the projection is committed already.

    Never raises for what goes wrong with the files: the rows stay, the problem is reported.
    """
    try:
        noted = connection.execute("SELECT DISTINCT session_id FROM provenance_unrefreshed")
        if not noted:
            return Refreshed()
        session_ids = [session_id for (session_id,) in noted]
        count_sessions(connection, session_ids)
        report = derived.refresh(store, connection, session_ids, are_counted=True)
        if any(item.session_id is None for item in report.failed):
            return Refreshed(report)
        failed = sorted(report.failed_sessions)
        connection.execute(load_sql("schema", "note_refreshed"), [failed])
    except (ProvlogError, OSError) as error:
        return Refreshed(problem=str(error))
    return Refreshed(report)
