"""What `provlog status` tells: what is behind, what is damaged, who holds what, what is odd.

Nothing is changed. The database is opened for reading if it can be; whatever can be told without
it is told all the same.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from projections.acknowledging import Acknowledged
from projections.adopting import adoptable
from projections.age import age_of
from projections.attention import attention_to_daemon, attention_to_database
from projections.daemon_state import look
from projections.database import connect, load_sql
from projections.holders import Holder, holders
from projections.lag import Lag, LagKind, checkpoints, count_lines, lags, status_of_log
from projections.layout import check_layout, is_ours, stale_tables
from provenance_log.errors import DatabaseHeld, ProvlogError
from provenance_log.marker import ownership_reason
from provenance_log.recorder_state import RecorderState, recorder_state
from provenance_log.store import LOG_NAME, MANIFEST_NAME, SUMMARY_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projections.checkpoints import Checkpoint
    from projections.daemon_hints import Mode
    from projections.daemon_state import DaemonError, Presence
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
    age_s: float | None = None
    """How long the first of the lines has waited, at most; None where no line waits."""
    quiet_s: float | None = None
    """How long nothing was done to the log."""


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """Lines of one log that could not be read for one reason, and where the first one is."""

    log: str
    session_id: str | None
    reason: str
    line_count: int
    first_line: int
    first_offset: int
    acknowledged_count: int = 0
    """How many of the lines a person has acknowledged."""


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
    is_acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """The daemon that runs, or else the last one that did; times are RFC 3339 in UTC."""

    is_running: bool
    was_killed: bool = False
    """True where the last one did not end by itself."""
    pid: int | None = None
    """None, as all the rest, where there never was a daemon."""
    since: str | None = None
    stopped: str | None = None
    mode: Mode | None = None
    """`watching`: the system tells of changes. `polling`: only the rescan finds them."""
    mode_reason: str | None = None
    rescan_s: float | None = None
    last_error: DaemonError | None = None
    errors: tuple[DaemonError, ...] = ()


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
    """Who is projecting at the moment: at most one, a daemon or not."""
    daemon: DaemonFacts
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
    pending_age_s: float | None
    """For how long the first line that is not projected has waited, at most; 0 for none."""
    quarantine: tuple[QuarantineRow, ...]
    incidents: tuple[IncidentRow, ...]
    stale_tables: tuple[str, ...]
    unrefreshed_count: int
    """Sessions whose manifest or summary is older than their rows."""
    handwritten: tuple[str, ...]
    """Manifests and summaries that belong to a person, below the root."""
    unsafe_names: tuple[str, ...]
    recorders: RecorderState = field(default_factory=RecorderState)
    """What recorders of hooks could not record, or not yet."""
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
    lag = () if problem else _lag_rows(store, lags(store, known), known)
    findings = _acknowledged(store, findings or DatabaseFindings())
    presence = look(store)
    daemon = _daemon(presence)
    recorders = recorder_state(store.root)
    return StatusReport(
        root=str(store.root),
        database=str(store.database),
        database_bytes=_size_of(store.database),
        is_projected=is_projected,
        problem=None if problem is None else str(problem),
        holders=holders(store.database) if isinstance(problem, DatabaseHeld) else seen_holders,
        projectors=() if presence.holder is None else (presence.holder,),
        daemon=daemon,
        session_count=len(directories) - len(logless),
        logless_names=logless,
        adoptable_names=tuple(directory.name for directory in adoptable(store)),
        lag=lag,
        pending_lines=None if problem else sum(row.lines for row in lag),
        pending_bytes=None if problem else sum(row.size_bytes for row in lag),
        pending_age_s=None if problem else max((row.age_s or 0.0 for row in lag), default=0.0),
        quarantine=findings.quarantine,
        incidents=findings.incidents,
        stale_tables=findings.stale_tables,
        unrefreshed_count=findings.unrefreshed_count,
        handwritten=tuple(_handwritten(store, directories)),
        unsafe_names=tuple(store.unsafe_names()),
        recorders=recorders,
        attention=(
            *attention_to_database(findings, problem),
            *attention_to_daemon(daemon, lag),
            *recorders.attention(),
        ),
    )


def _daemon(presence: Presence) -> DaemonFacts:
    state = presence.state
    if state is None:
        return DaemonFacts(is_running=False)
    is_running = presence.daemon is not None
    return DaemonFacts(
        is_running=is_running,
        was_killed=not is_running and state.stopped is None,
        pid=state.pid,
        since=state.since,
        stopped=state.stopped,
        mode=state.mode,
        mode_reason=state.mode_reason,
        rescan_s=state.rescan_s,
        last_error=state.last_error,
        errors=state.errors,
    )


def _acknowledged(store: Store, findings: DatabaseFindings) -> DatabaseFindings:
    known = Acknowledged.of(store)
    return replace(
        findings,
        quarantine=known.quarantine(findings.quarantine),
        incidents=known.incidents(findings.incidents),
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


def _lag_rows(
    store: Store, found: Sequence[Lag], known: Sequence[Checkpoint]
) -> tuple[LagRow, ...]:
    by_log = {checkpoint.log: checkpoint for checkpoint in known}
    return tuple(_lag_row(store, lag, by_log.get(lag.log)) for lag in found)


def _lag_row(store: Store, lag: Lag, checkpoint: Checkpoint | None) -> LagRow:
    path = store.sessions_dir / lag.log / LOG_NAME
    lines = count_lines(path, lag.start) if lag.has_lines else 0
    age = age_of(path, lag.start, checkpoint) if lines else None
    row = LagRow(lag.log, lag.kind, lines, lag.pending_bytes)
    return row if age is None else replace(row, age_s=age.age_s, quiet_s=age.quiet_s)


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
