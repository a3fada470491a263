"""Write batches into the tables: rows, quarantine, sessions and checkpoints in one transaction.

After any kill the tables are a function of a beginning of each log, and the checkpoints say of
which beginning (invariant B2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from projections.arriving import fed_tables
from projections.batch import BATCH_FIELDS, QUARANTINE_FIELDS, refuse_row
from projections.checkpoints import CHECKPOINT_FIELDS, Checkpoint
from projections.columns import make_columns
from projections.definitions import (
    ACTION_TABLES,
    CHECKPOINTS,
    INCIDENTS,
    QUARANTINE,
    SESSIONS,
    load_sql,
)
from projections.incidents import INCIDENT_FIELDS, Incident
from projections.refusals import MemoryShort, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from projections.batch import Row
    from projections.columns import Columns, Fields
    from projections.database import Connection

SQL_ERROR = "sql_error"
"""The quarantine's reason for a line that no table's SQL could take."""

SESSIONS_PER_SELECT = 1000
"""Sessions whose rows are selected together; each time the ids of all events are looked at."""

_SESSION_IDS: Fields = (("session_id", "text"),)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The complete list of a session's other logs and of its incidents, to replace the old one."""

    session_id: str
    others: tuple[Checkpoint, ...]
    incidents: tuple[Incident, ...]
    observed: tuple[Incident, ...]


@dataclass(slots=True)
class Batch:
    """Decoded lines of one or more sessions, and what else has to change with them."""

    rows: list[Row] = field(default_factory=list)
    columns: Columns | None = None
    """The rows as columns, where they are not in `rows`."""
    refused: list[Row] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    """Sessions of which nothing that is in the tables stays."""
    settlements: list[Settlement] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def session_ids(self) -> set[str]:
        """The sessions whose rows or checkpoints change."""
        touched = {checkpoint.session_id for checkpoint in self.checkpoints}
        touched.update(self.cleared)
        touched.update(settlement.session_id for settlement in self.settlements)
        return touched

    @property
    def line_count(self) -> int:
        """How many lines there are, decoded or refused."""
        in_columns = 0 if self.columns is None else self.columns.length
        return len(self.rows) + in_columns + len(self.refused)

    def in_columns(self) -> Batch:
        """Return the batch with its rows as columns: smaller, and quicker to hand over."""
        return replace(self, rows=[], columns=make_columns(BATCH_FIELDS, self.rows))

    def in_rows(self) -> Batch:
        """Return the batch with its rows as values of Python."""
        if self.columns is None:
            return self
        return replace(self, rows=self.columns.rows(), columns=None)

    def without_lines(self) -> Batch:
        """Return what remains to be known of a batch when its lines are in the tables."""
        return replace(self, rows=[], columns=None, refused=[])

    def refusing(self, culprits: Mapping[tuple[str, int], str]) -> Batch:
        """Return the batch with these lines, by session and number, in the quarantine."""
        if self.session_ids.isdisjoint(session_id for session_id, _ in culprits):
            return self
        batch = self.in_rows()
        rows = [row for row in batch.rows if _place(row) not in culprits]
        refused = [
            refuse_row(row, SQL_ERROR, culprits[_place(row)])
            for row in batch.rows
            if _place(row) in culprits
        ]
        return replace(batch, rows=rows, refused=[*self.refused, *refused])


def write_all(connection: Connection, batches: Callable[[], Iterable[Batch]]) -> int:
    """Write batches in one transaction; `batches` may be called again to start over.

    When SQL can't take a batch, the lines that it can't take are found, and everything is written
    again with those in the quarantine (invariant B3: no line stops the projector). Where DuckDB
    has too little memory, everything is written again with as much as it takes by default; raises
    `MemoryShort` where that is too little as well. Returns how many lines were refused.
    """
    culprits: dict[tuple[str, int], str] = {}
    while True:
        try:
            more = _try_to_write(connection, batches(), culprits)
        except MemoryShort:
            if not connection.take_more_memory():
                raise
            continue
        if not more:
            return len(culprits)
        culprits.update(more)


def _try_to_write(
    connection: Connection, batches: Iterable[Batch], culprits: Mapping[tuple[str, int], str]
) -> dict[tuple[str, int], str]:
    """Write batches in one transaction, or return the lines that keep it from being written."""
    batch = Batch()
    touched: set[str] = set()
    try:
        with connection.transaction():
            for found in batches:
                batch = found.refusing(culprits)
                _write(connection, batch)
                touched |= batch.session_ids
            batch = Batch()
            _refresh_sessions(connection, touched)
    except StatementRefused:
        more = _find_refused(connection, batch.in_rows().rows)
        if not more:
            raise
        return more
    return {}


def load_touched(connection: Connection, session_ids: Collection[str]) -> None:
    """Make the relation `touched`, of which the tables that are selected from others are."""
    connection.load("touched", _SESSION_IDS, [(item,) for item in session_ids])


def _refresh_sessions(connection: Connection, session_ids: Collection[str]) -> None:
    """Select the rows of these sessions anew, and note that their files are out of date.

    So many at a time that the memory for their events does not grow with the history.
    """
    ordered = sorted(session_ids)
    for start in range(0, len(ordered), SESSIONS_PER_SELECT):
        some = ordered[start : start + SESSIONS_PER_SELECT]
        load_touched(connection, some)
        connection.delete_sessions(SESSIONS.name, "touched")
        connection.insert(SESSIONS.name, SESSIONS.sql)
        connection.execute(load_sql("schema", "note_unrefreshed"))


def _write(connection: Connection, batch: Batch) -> None:
    if batch.cleared:
        _clear(connection, batch.cleared)
    if batch.settlements:
        _settle(connection, batch.settlements)
    if batch.rows or batch.columns is not None:
        _insert_actions(connection, batch)
    if batch.refused:
        connection.load("refused", QUARANTINE_FIELDS, batch.refused)
        connection.insert(QUARANTINE.name, "FROM refused")
    if batch.checkpoints:
        _write_checkpoints(connection, batch.checkpoints)
    if batch.settlements:
        connection.execute(load_sql("schema", "move_quarantine"))


def _insert_actions(connection: Connection, batch: Batch) -> None:
    columns = batch.columns or make_columns(BATCH_FIELDS, batch.rows)
    selects = {table.name: table.sql for table in fed_tables(batch.rows)}
    connection.insert_columns("batch", columns, selects)


def _clear(connection: Connection, session_ids: Collection[str]) -> None:
    connection.load("cleared", _SESSION_IDS, [(item,) for item in session_ids])
    for table in (*ACTION_TABLES, SESSIONS, QUARANTINE):
        connection.delete_sessions(table.name, "cleared")


def _settle(connection: Connection, settlements: Collection[Settlement]) -> None:
    connection.load("settled", _SESSION_IDS, [(item.session_id,) for item in settlements])
    connection.delete_sessions(CHECKPOINTS.name, "settled")
    connection.execute(load_sql("schema", "forget_relations"))
    others = [other for settlement in settlements for other in settlement.others]
    if others:
        _write_checkpoints(connection, others)
    incidents = [
        incident
        for settlement in settlements
        for incident in (*settlement.incidents, *settlement.observed)
    ]
    write_incidents(connection, incidents)


def write_incidents(connection: Connection, incidents: Collection[Incident]) -> None:
    """Add incidents to those that are there."""
    if incidents:
        rows = [incident.as_row() for incident in incidents]
        connection.load("arrived_incidents", INCIDENT_FIELDS, rows)
        connection.insert(INCIDENTS.name, "FROM arrived_incidents")


def _write_checkpoints(connection: Connection, checkpoints: Collection[Checkpoint]) -> None:
    connection.load("arrived_checkpoints", CHECKPOINT_FIELDS, list(checkpoints))
    connection.execute(load_sql("schema", "replace_checkpoints"))
    connection.insert(CHECKPOINTS.name, "FROM arrived_checkpoints")


def _find_refused(connection: Connection, rows: list[Row]) -> dict[tuple[str, int], str]:
    """Return the lines that some table's SQL can't take, with its message, by halving."""
    message = _why_refused(connection, rows)
    if message is None:
        return {}
    if len(rows) == 1:
        return {_place(rows[0]): message}
    middle = len(rows) // 2
    return {
        **_find_refused(connection, rows[:middle]),
        **_find_refused(connection, rows[middle:]),
    }


def _why_refused(connection: Connection, rows: list[Row]) -> str | None:
    if not rows:
        return None
    connection.load("batch", BATCH_FIELDS, rows)
    try:
        for table in ACTION_TABLES:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE probe AS {table.sql}")
    except StatementRefused as error:
        return f"{table.name}: {error.message}"
    finally:
        connection.drop("batch")
    return None


def _place(row: Row) -> tuple[str, int]:
    return row[0], row[2]
