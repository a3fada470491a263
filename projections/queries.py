"""The queries of the predecessor's `ProvenanceQueries`, under the same names.

    >>> from projections.queries import ProvenanceQueries
    >>> queries = ProvenanceQueries()
    >>> for row in queries.get_recent_sessions(limit=3): print(row["session_id"], row["success"])
    >>> queries.get_agent_statistics(days=30).df()

Where the predecessor returned a pandas frame, `Rows` is returned, and `.df()` makes the frame.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from projections import questions
from projections.database import WAIT_S
from projections.looking import open_database
from projections.selection import find_session
from provenance_log.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projections.database import Connection
    from projections.questions import Comparison, SessionTrace
    from projections.rows import Rows


class ProvenanceQueries:
    """Questions about what is projected; each opens the database, reads, and closes it.

    So nobody keeps others out between two questions, and each sees what is projected by then.
    Nothing here projects: what was appended since the last `provlog project` is not in the answer.

    A session is named as for the commands: its id, the beginning of it, its directory, or
    `latest`. `days` counts back from now, None for all time. Every method raises `NoDatabaseYet`,
    `DatabaseStale`, `DatabaseHeld` when the database stays in use for `wait_s` seconds, and
    `SessionNotFound` for a session that is not there.
    """

    def __init__(
        self, db_path: Store | Path | str | None = None, *, wait_s: float = WAIT_S
    ) -> None:
        """Take a store, the path of a database, or nothing for the store here or above."""
        source = open_store() if db_path is None else db_path
        self._store = source if isinstance(source, Store) else None
        self._wait_s = wait_s
        self.db_path = source.database if isinstance(source, Store) else Path(source)

    def get_session_trace(self, session_id: str) -> SessionTrace:
        """Return a session, and its events, tool calls, decisions, transformations and links.

        A dictionary with the keys `session` (the row of the session), `events`, `tool_calls`,
        `decisions`, `transformations` and `entity_links` (`Rows`, in the order of the log).
        """
        with self._opened() as connection:
            return questions.session_trace(connection, self._find(connection, session_id))

    def get_agent_statistics(self, agent_type: str | None = None, days: float | None = 7) -> Rows:
        """Return one row per agent type, the one with most sessions first.

        Columns: agent_type, executions, avg_duration_ms, max_duration_ms, min_duration_ms,
        successful, failed. A session that is open counts as neither successful nor failed.
        """
        with self._opened() as connection:
            return questions.agent_statistics(connection, agent_type=agent_type, days=days)

    def find_entity_provenance(self, entity_table: str, entity_id: str) -> Rows:
        """Return the sessions that touched an entity, one row per link, newest first.

        Columns: session_id, agent_type, query, start_time, duration_ms, success, link_type,
        timestamp.
        """
        with self._opened() as connection:
            return questions.entity_provenance(connection, entity_table, entity_id)

    def get_tool_call_statistics(self, days: float | None = 7) -> Rows:
        """Return one row per tool, the one with most calls first.

        Columns: tool_type, tool_name, call_count, avg_duration_ms, cache_hits, cache_misses,
        successful, failed. A call of which several lines tell counts once, as the last one says.
        """
        with self._opened() as connection:
            return questions.tool_call_statistics(connection, days=days)

    def get_decision_patterns(self, agent_type: str | None = None, days: float | None = 7) -> Rows:
        """Return how often each branch was taken, the most frequent first.

        Columns: agent_type, decision_type, branch_taken, count.
        """
        with self._opened() as connection:
            return questions.decision_patterns(connection, agent_type=agent_type, days=days)

    def get_session_hierarchy(self, root_session_id: str) -> Rows:
        """Return a session and all that it started, they started, and so on, to any depth.

        Columns: session_id, agent_type, query, parent_session_id, depth, duration_ms, success,
        level; ordered by level and session_id. `depth` is what the session says of itself, and
        `level` is counted from the session asked for. Each session comes once, also where the
        parents that sessions name make a cycle.
        """
        with self._opened() as connection:
            root_id = self._find(connection, root_session_id)
            return questions.session_hierarchy(connection, root_id)

    def compare_sessions(self, session_id_1: str, session_id_2: str) -> Comparison:
        """Return what differs between two sessions; a difference is the first minus the second.

        A dictionary with the keys inputs_differ (query or kwargs), agent_types_match,
        duration_diff_ms (None while one of the two is open), both_successful, event_count_diff,
        tool_call_count_diff, decision_count_diff, session_1 and session_2.
        """
        with self._opened() as connection:
            first = self._find(connection, session_id_1)
            second = self._find(connection, session_id_2)
            return questions.compare_sessions(connection, first, second)

    def get_recent_sessions(self, agent_type: str | None = None, limit: int | None = 10) -> Rows:
        """Return the newest sessions first; `limit` None returns all.

        Columns: session_id, agent_type, query, start_time, end_time, duration_ms, success,
        error_message.
        """
        with self._opened() as connection:
            return questions.recent_sessions(connection, agent_type=agent_type, limit=limit)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        with open_database(self.db_path, wait_s=self._wait_s) as connection:
            yield connection

    def _find(self, connection: Connection, given: str) -> str:
        return find_session(self._store, connection, given)
