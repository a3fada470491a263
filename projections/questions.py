"""The questions of the predecessor, asked over an open connection.

Each is one SQL file `views/ask_<name>.sql`, whose columns and meaning are those of the method of
the predecessor; what was wrong there is right here: ties are broken, a call of several lines
counts once, JSON is compared as a value, a cycle of parents ends. `queries` opens the database
for one of them and closes it; `provlog ask` prints what they return.
Session ids are whole here, and times naive UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from projections.database import load_sql
from projections.rows import Rows
from provenance_log.errors import SessionNotFound

if TYPE_CHECKING:
    from projections.database import Connection


class SessionTrace(TypedDict):
    """All that is recorded of one session: its row, and its rows of the other tables."""

    session: dict[str, Any]
    events: Rows
    tool_calls: Rows
    decisions: Rows
    transformations: Rows
    entity_links: Rows


class ComparedSession(TypedDict):
    """One of the two sessions of a comparison."""

    session_id: str
    agent_type: str
    duration_ms: int | None
    success: bool | None


class Comparison(TypedDict):
    """What differs between two sessions; a difference is the first minus the second."""

    inputs_differ: bool
    agent_types_match: bool
    duration_diff_ms: int | None
    """None where a session is open."""
    both_successful: bool
    event_count_diff: int
    tool_call_count_diff: int
    decision_count_diff: int
    session_1: ComparedSession
    session_2: ComparedSession


def session_trace(connection: Connection, session_id: str) -> SessionTrace:
    """Return everything about a session, in the order of its log; raises `SessionNotFound`."""
    return {
        "session": _only(_ask(connection, "looking_session", session_id), session_id),
        "events": _ask(connection, "ask_trace_events", session_id),
        "tool_calls": _ask(connection, "ask_trace_tool_calls", session_id),
        "decisions": _ask(connection, "ask_trace_decisions", session_id),
        "transformations": _ask(connection, "ask_trace_transformations", session_id),
        "entity_links": _ask(connection, "ask_trace_entity_links", session_id),
    }


def agent_statistics(
    connection: Connection, *, agent_type: str | None = None, days: float | None = None
) -> Rows:
    """Return one row per agent type: its sessions, their durations and outcomes."""
    return _ask(connection, "ask_agents", agent_type, _days_ago(days))


def entity_provenance(connection: Connection, entity_table: str, entity_id: str) -> Rows:
    """Return the links of sessions to one entity, newest first."""
    return _ask(connection, "ask_entity", entity_table, entity_id)


def tool_call_statistics(connection: Connection, *, days: float | None = None) -> Rows:
    """Return one row per tool: its calls, their durations, cache hits and outcomes."""
    return _ask(connection, "ask_tools", _days_ago(days))


def decision_patterns(
    connection: Connection, *, agent_type: str | None = None, days: float | None = None
) -> Rows:
    """Return how often which agent type took which branch of which type of decision."""
    return _ask(connection, "ask_decisions", agent_type, _days_ago(days))


def session_hierarchy(connection: Connection, root_session_id: str) -> Rows:
    """Return a session and all below it, by level and id; a cycle of parents ends at the root."""
    return _ask(connection, "ask_hierarchy", root_session_id)


def compare_sessions(connection: Connection, session_id_1: str, session_id_2: str) -> Comparison:
    """Return what differs between two sessions; raises `SessionNotFound`."""
    one, two = (
        _only(_ask(connection, "ask_compare", session_id), session_id)
        for session_id in (session_id_1, session_id_2)
    )
    durations = (one["duration_ms"], two["duration_ms"])
    return {
        "inputs_differ": (one["query"], one["kwargs"]) != (two["query"], two["kwargs"]),
        "agent_types_match": one["agent_type"] == two["agent_type"],
        "duration_diff_ms": None if None in durations else durations[0] - durations[1],
        "both_successful": bool(one["success"] and two["success"]),
        "event_count_diff": one["action_count"] - two["action_count"],
        "tool_call_count_diff": one["tool_call_count"] - two["tool_call_count"],
        "decision_count_diff": one["decision_count"] - two["decision_count"],
        "session_1": _compared(one),
        "session_2": _compared(two),
    }


def recent_sessions(
    connection: Connection, *, agent_type: str | None = None, limit: int | None = 10
) -> Rows:
    """Return the newest sessions first; `limit` None returns all."""
    return _ask(connection, "ask_recent", agent_type, limit)


def _ask(connection: Connection, name: str, *parameters: object) -> Rows:
    return Rows(*connection.table(load_sql("views", name), parameters))


def _only(rows: Rows, session_id: str) -> dict[str, Any]:
    if not rows:
        raise SessionNotFound(f"no session {session_id}")
    return rows[0]


def _compared(session: dict[str, Any]) -> ComparedSession:
    return {
        "session_id": session["session_id"],
        "agent_type": session["agent_type"],
        "duration_ms": session["duration_ms"],
        "success": session["success"],
    }


def _days_ago(days: float | None) -> datetime | None:
    """Return the time so many days ago; None, which is all of time, also where there is none."""
    if days is None:
        return None
    try:
        return datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)
    except OverflowError:
        return None
