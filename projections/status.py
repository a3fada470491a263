"""What `provlog status` tells: what is behind, what is damaged, who holds what, what is odd.

Nothing is changed. The database is opened for reading if it can be; whatever can be told without
it is told all the same.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from projections.adopting import adoptable
from projections.database import connect, load_sql
from projections.holders import Holder, holders
from projections.lag import Lag, LagKind, checkpoints, count_lines, lags, status_of_log
from projections.layout import check_layout, is_ours, stale_tables
from provenance_log.errors import DatabaseHeld, ProvlogError
from provenance_log.marker import ownership_reason
from provenance_log.store import LOG_NAME, MANIFEST_NAME, SUMMARY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from projections.checkpoints import Checkpoint
    from projections.database import Connection
    from provenance_log.store import SessionDirectory, Store

_DERIVED_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LagRow:
    """A log that is not projected to its end; lines are those that are whole."""

    log: str
    kind: LagKind
    lines: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """Lines of one log that could not be read for one reason, and where the first one is."""

    log: str
    session_id: str | None
    reason: str
    line_count: int
    first_line: int
    first_offset: int


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """Something that should not happen to a log."""

    kind: str
    log: str
    session_id: str | None
    other_log: str | None
    line_number: int | None
    line_offset: int | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class DatabaseFindings:
    """What the database itself tells."""

    quarantine: tuple[QuarantineRow, ...] = ()
    incidents: tuple[IncidentRow, ...] = ()
    stale_tables: tuple[str, ...] = ()
    unrefreshed_count: int = 0
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The state of a store. `problem` is why the database could not be read, if it could not."""

    root: str
    database: str
    database_bytes: int | None
    """None where there is no database."""
    is_projected: bool
    """False where there is no database yet, or none that could be read."""
    problem: str | None
    holders: tuple[Holder, ...]
    projectors: tuple[Holder, ...]
    """Who is projecting at the moment: at most one."""
    session_count: int
    """Session directories that have a log."""
    logless_names: tuple[str, ...]
    """Session directories without a log: kept by hand, or the log is not in this clone."""
    adoptable_names: tuple[str, ...]
    """Those of them that have a manifest, which `provlog adopt` makes a log of."""
    lag: tuple[LagRow, ...]
    pending_lines: int | None
    """None, as `pending_bytes`, where the database could not be read."""
    pending_bytes: int | None
    quarantine: tuple[QuarantineRow, ...]
    incidents: tuple[IncidentRow, ...]
    stale_tables: tuple[str, ...]
    unrefreshed_count: int
    """Sessions whose manifest or summary is older than their rows."""
    handwritten: tuple[str, ...]
    """Manifests and summaries that belong to a person, below the root."""
    unsafe_names: tuple[str, ...]
    attention: tuple[str, ...] = ()
    """One sentence for each thing that needs a person; empty when all is well."""


def read_status(store: Store, *, wait_s: float) -> StatusReport:
    """Look at a store, waiting up to `wait_s` seconds for a database that somebody holds.

    Raises `StoreNotFound` or OSError where the store itself can't be read.
    """
    directories = store.session_directories()
    logless = tuple(d.name for d in directories if status_of_log(d.log) is None)
    seen_holders = holders(store.database)
    findings, problem = _read_database(store, wait_s)
    known = findings.checkpoints if findings else ()
    is_projected = findings is not None
    lag = () if problem else _lag_rows(store, lags(store, known))
    findings = findings or DatabaseFindings()
    return StatusReport(
        root=str(store.root),
        database=str(store.database),
        database_bytes=_size_of(store.database),
        is_projected=is_projected,
        problem=None if problem is None else str(problem),
        holders=holders(store.database) if isinstance(problem, DatabaseHeld) else seen_holders,
        projectors=holders(store.projector_lock),
        session_count=len(directories) - len(logless),
        logless_names=logless,
        adoptable_names=tuple(directory.name for directory in adoptable(store)),
        lag=lag,
        pending_lines=None if problem else sum(row.lines for row in lag),
        pending_bytes=None if problem else sum(row.size_bytes for row in lag),
        quarantine=findings.quarantine,
        incidents=findings.incidents,
        stale_tables=findings.stale_tables,
        unrefreshed_count=findings.unrefreshed_count,
        handwritten=tuple(_handwritten(store, directories)),
        unsafe_names=tuple(store.unsafe_names()),
        attention=tuple(_attention(findings, problem)),
    )


def _read_database(
    store: Store, wait_s: float
) -> tuple[DatabaseFindings | None, ProvlogError | None]:
    """Return what the database tells, None if there is none yet, or why it can't be read."""
    if not store.database.exists():
        return None, None
    try:
        with connect(store.database, read_only=True, wait_s=wait_s) as connection:
            return (_findings(connection) if is_ours(connection) else None), None
    except ProvlogError as error:
        return None, error


def _findings(connection: Connection) -> DatabaseFindings:
    def ask(name: str) -> list[dict[str, Any]]:
        return connection.rows(load_sql("views", name))

    check_layout(connection)
    return DatabaseFindings(
        quarantine=tuple(QuarantineRow(**row) for row in ask("looking_quarantine")),
        incidents=tuple(IncidentRow(**row) for row in ask("looking_incidents")),
        stale_tables=tuple(stale_tables(connection)),
        unrefreshed_count=ask("looking_unrefreshed")[0]["session_count"],
        checkpoints=tuple(checkpoints(connection)),
    )


def _lag_rows(store: Store, found: Sequence[Lag]) -> tuple[LagRow, ...]:
    return tuple(
        LagRow(
            lag.log,
            lag.kind,
            count_lines(store.sessions_dir / lag.log / LOG_NAME, lag.start) if lag.has_lines else 0,
            lag.pending_bytes,
        )
        for lag in found
    )


def _handwritten(store: Store, directories: Sequence[SessionDirectory]) -> list[str]:
    """Return the manifests and summaries that carry no marker of ours, or were edited since."""
    return [
        str(path.relative_to(store.root))
        for directory in directories
        for path in (directory.path / MANIFEST_NAME, directory.path / SUMMARY_NAME)
        if _is_handwritten(path)
    ]


def _is_handwritten(path: Path) -> bool:
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode) or status.st_size > _DERIVED_BYTES_MAX:
            return True
        return stat.S_ISREG(status.st_mode) and ownership_reason(path.read_bytes()) is not None
    except OSError:
        return False


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _attention(findings: DatabaseFindings, problem: ProvlogError | None) -> Iterator[str]:
    if problem is not None:
        yield problem.message + (f"; {problem.hint}" if problem.hint else "")
    if findings.stale_tables:
        names = ", ".join(findings.stale_tables)
        yield f"filled by another definition: {names}; run `provlog project`"
    if findings.quarantine:
        lines = _counted(sum(row.line_count for row in findings.quarantine), "line")
        logs = _counted(len({row.log for row in findings.quarantine}), "log")
        yield f"{lines} in {logs} could not be read"
    if findings.incidents:
        yield _counted(len(findings.incidents), "incident")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
