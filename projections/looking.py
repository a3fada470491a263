"""Questions about the projected sessions, answered as plain values.

Each question is one SQL file of `views/` and one dataclass whose fields are that file's columns.
Nothing here writes, prints or waits; the commands do the printing.
A column that counts rows `before the limit` tells how many a limit has left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from projections.database import StatementRefused, connect, load_sql
from projections.definitions import LAYOUT_VERSION, fingerprints
from projections.layout import check_layout, is_ours, stale_tables
from provenance_log.errors import ProvlogError, SessionNotFound

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from projections.database import Connection

SHORT_ID_LENGTH = 8
_JSON_COLUMNS = ("kwargs", "user_context", "result_summary", "dependencies", "goals", "source")

_Row = TypeVar("_Row")


class NoDatabaseYet(ProvlogError):
    """Nothing was projected yet; `provlog project` makes the database."""


class DatabaseStale(ProvlogError):
    """Other definitions than ours filled the tables; `provlog project` makes them anew."""


@dataclass(frozen=True, slots=True)
class Some(Generic[_Row]):
    """The first rows of an answer, and how many rows the whole answer has."""

    rows: tuple[_Row, ...]
    count: int


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session in a list; times are UTC."""

    session_id: str
    log: str | None
    start_time: datetime | None
    agent_type: str | None
    model: str | None
    project: str | None
    state: str | None
    action_count: int | None
    tool_call_count: int | None
    failure_count: int | None
    quarantined_count: int | None
    duration_ms: int | None
    last_time: datetime | None
    input_tokens: int | None
    output_tokens: int | None
    cache_creation_tokens: int | None
    cache_read_tokens: int | None
    parent_session_id: str | None
    query: str | None

    @property
    def token_count(self) -> int:
        """All tokens of the session: read, written, and those that a cache served."""
        parts = (
            self.input_tokens,
            self.output_tokens,
            self.cache_creation_tokens,
            self.cache_read_tokens,
        )
        return sum(part or 0 for part in parts)


@dataclass(frozen=True, slots=True)
class ChildRow:
    """A session that another one started."""

    session_id: str
    agent_type: str | None
    state: str | None
    tool_call_count: int | None
    query: str | None


@dataclass(frozen=True, slots=True)
class ToolRow:
    """The calls of one tool; the durations are of those calls that have one."""

    tool: str | None
    call_count: int
    failure_count: int
    duration_p50_ms: int | None
    duration_p95_ms: int | None
    duration_total_ms: int | None


@dataclass(frozen=True, slots=True)
class FailureRow:
    """An action that failed."""

    action_id: int | None
    happened_at: datetime | None
    tool: str | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision that an agent or its user took."""

    action_id: int | None
    happened_at: datetime | None
    decision_type: str | None
    decision_point: str | None
    branch_taken: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file and the actions that name it; a change is one of type modify or create."""

    path: str
    action_count: int
    change_count: int
    session_count: int


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One action on one line; `subject` is the path, command, query or decision it is about."""

    action_id: int | None
    happened_at: datetime | None
    event_type: str | None
    action_type: str | None
    tool: str | None
    status: str | None
    duration_ms: int | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class AgentRow:
    """The sessions of one agent type."""

    agent_type: str | None
    session_count: int
    failed_session_count: int
    tool_call_count: int
    failure_count: int
    duration_total_ms: int | None


@dataclass(frozen=True, slots=True)
class ActionTypeRow:
    """The actions of one type."""

    action_type: str | None
    action_count: int
    failure_count: int


@dataclass(frozen=True, slots=True)
class ModelRow:
    """The tokens of one model."""

    model: str | None
    message_count: int
    input_tokens: int | None
    output_tokens: int | None
    cache_creation_tokens: int | None
    cache_read_tokens: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What the whole store holds."""

    session_count: int
    open_count: int
    failed_session_count: int
    first_time: datetime | None
    last_time: datetime | None
    action_count: int
    tool_call_count: int
    decision_count: int
    failure_count: int
    unchained_count: int
    quarantined_count: int
    input_tokens: int
    output_tokens: int
    cache_creation_tokens: int
    cache_read_tokens: int
    log_lines: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class SessionView:
    """Everything `provlog show` tells of one session."""

    session: dict[str, Any]
    """The row of `provenance_sessions`, its JSON columns decoded."""
    children: tuple[ChildRow, ...]
    tools: tuple[ToolRow, ...]
    failures: Some[FailureRow]
    decisions: Some[DecisionRow]
    files: Some[FileRow]
    actions: tuple[ActionRow, ...]


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Everything `provlog stats` tells of the store."""

    totals: Totals
    tools: tuple[ToolRow, ...]
    agents: tuple[AgentRow, ...]
    action_types: tuple[ActionTypeRow, ...]
    models: tuple[ModelRow, ...]
    files: Some[FileRow]


def open_database(database: Path, *, wait_s: float) -> Connection:
    """Open a database for reading, waiting up to `wait_s` seconds for whoever holds it.

    Raises `NoDatabaseYet` where nothing was projected, `DatabaseStale` where the answers could be
    wrong, and what `connect` and `check_layout` raise.
    """
    if not database.exists():
        raise _no_database(database)
    connection = connect(database, read_only=True, wait_s=wait_s)
    try:
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: Connection) -> None:
    """Ask once whether the tables are ours and up to date; if not, ask what they are instead."""
    try:
        found = connection.rows(load_sql("views", "looking_definitions"))
    except StatementRefused:
        if is_ours(connection):
            raise
        raise _no_database(connection.path) from None
    stored = {row["name"]: row["fingerprint"] for row in found}
    if stored == fingerprints() and {row["layout_version"] for row in found} == {LAYOUT_VERSION}:
        return
    check_layout(connection)
    stale = ", ".join(stale_tables(connection))
    hint = "run `provlog project`: it makes the tables anew from the logs"
    raise DatabaseStale(f"another version filled {stale}", path=connection.path, hint=hint)


def _no_database(database: Path) -> NoDatabaseYet:
    hint = "run `provlog project` to make it"
    return NoDatabaseYet("no database yet", path=database, hint=hint)


def sessions(
    connection: Connection,
    *,
    agent: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> Some[SessionRow]:
    """Return the newest sessions first; `since` is naive UTC, `limit` None returns all."""
    rows = connection.rows(load_sql("views", "looking_sessions"), (agent, state, since, limit))
    return _some(SessionRow, rows)


def short_ids(connection: Connection, session_ids: tuple[str, ...]) -> dict[str, str]:
    """Return for each id its shortest beginning, of eight characters or more, that is unique."""
    parameters = (list(session_ids), SHORT_ID_LENGTH)
    alike = connection.rows(load_sql("views", "looking_alike"), parameters)
    every = [row["session_id"] for row in alike]
    return {session_id: _shortest(session_id, every) for session_id in session_ids}


def _shortest(session_id: str, others: list[str]) -> str:
    rivals = [other for other in others if other != session_id]
    for length in range(SHORT_ID_LENGTH, len(session_id)):
        start = session_id[:length]
        rivals = [rival for rival in rivals if rival.startswith(start)]
        if not rivals:
            return start
    return session_id


def session_view(
    connection: Connection,
    session_id: str,
    *,
    action_limit: int,
    from_start: bool = False,
    row_limit: int = 20,
) -> SessionView:
    """Return one session: the last actions, or with `from_start` the first, and its figures.

    At most `row_limit` failures, decisions and files each. Raises `SessionNotFound`.
    """

    def ask(name: str, *parameters: object) -> list[dict[str, Any]]:
        return connection.rows(load_sql("views", name), parameters)

    found = ask("looking_session", session_id)
    if not found:
        raise SessionNotFound(f"no session {session_id}")
    return SessionView(
        session={key: _decoded(key, value) for key, value in found[0].items()},
        children=_all(ChildRow, ask("looking_session_children", session_id)),
        tools=_all(ToolRow, ask("looking_tools", session_id)),
        failures=_some(FailureRow, ask("looking_session_failures", session_id, row_limit)),
        decisions=_some(DecisionRow, ask("looking_session_decisions", session_id, row_limit)),
        files=_some(FileRow, ask("looking_files", session_id, row_limit)),
        actions=_all(ActionRow, ask("looking_actions", session_id, action_limit, from_start)),
    )


def store_figures(connection: Connection, *, file_limit: int = 15) -> StoreFigures:
    """Return the figures of the whole store, with the `file_limit` busiest files."""

    def ask(name: str, *parameters: object) -> list[dict[str, Any]]:
        return connection.rows(load_sql("views", name), parameters)

    return StoreFigures(
        totals=Totals(**ask("looking_totals")[0]),
        tools=_all(ToolRow, ask("looking_tools", None)),
        agents=_all(AgentRow, ask("looking_agents")),
        action_types=_all(ActionTypeRow, ask("looking_action_types")),
        models=_all(ModelRow, ask("looking_models")),
        files=_some(FileRow, ask("looking_files", None, file_limit)),
    )


def _decoded(column: str, value: Any) -> Any:
    """Return a JSON column as a value; what is beyond orjson's numbers stays text."""
    if column not in _JSON_COLUMNS or not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _all(row_type: type[_Row], rows: list[dict[str, Any]]) -> tuple[_Row, ...]:
    return tuple(row_type(**row) for row in rows)


def _some(row_type: type[_Row], rows: list[dict[str, Any]]) -> Some[_Row]:
    """Take the count before the limit, the same in every row, out of the rows."""
    count = rows[0]["matching_count"] if rows else 0
    kept = [{k: v for k, v in row.items() if k != "matching_count"} for row in rows]
    return Some(_all(row_type, kept), count)
