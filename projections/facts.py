"""What a manifest and a summary tell about a session, read from the tables for many at once.

Every list is bounded where it is read, so that one session of a million actions costs no more
memory than any other, and carries the count of what it leaves out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from projections.database import load_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from projections.database import Connection

ENTRIES_MAX = 50
"""Entries of one list, such as the files that a session read."""
SLOWEST_MAX = 10
SESSIONS_PER_READ = 200
"""Sessions that are read together: enough to make the queries' own cost small."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """The first entries of a list, and how many there are in all."""

    entries: tuple[Row, ...] = ()
    total: int = 0

    @property
    def omitted(self) -> int:
        """How many entries were left out."""
        return self.total - len(self.entries)


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One session: its row of provenance_sessions and the bounded lists about it.

    `files` has the keys read, modified, created and other; `subjects` the types of action search
    (patterns) and execute (commands); `annotations` the names finding, goal and so on; `links`
    the tables that are linked to.
    """

    session: Row
    tools: tuple[Row, ...]
    files: dict[str, Listed]
    subjects: dict[str, Listed]
    annotations: dict[str, Listed]
    failures: Listed
    slowest: Listed
    decisions: Listed
    transformations: tuple[Row, ...]
    links: dict[str, Listed]


def read_facts(connection: Connection, session_ids: Collection[str]) -> Iterator[SessionFacts]:
    """Yield what the tables tell about these sessions, in bytewise order of their ids.

    Ids without a row in provenance_sessions are passed over. A dozen queries serve up to
    `SESSIONS_PER_READ` sessions; they make temporary tables, for which a read-only connection is
    enough.
    """
    ordered = sorted(set(session_ids), key=str.encode)
    for start in range(0, len(ordered), SESSIONS_PER_READ):
        yield from _read_some(connection, ordered[start : start + SESSIONS_PER_READ])


def _read_some(connection: Connection, session_ids: list[str]) -> Iterator[SessionFacts]:
    def rows(view: str, *params: object) -> dict[str, list[Row]]:
        return _by_session(connection.rows(load_sql("views", view), list(params)))

    for view in ("touched_events", "touched_calls"):
        connection.execute(load_sql("views", view), [session_ids])
    sessions = connection.rows(load_sql("views", "facts_session"), [session_ids])
    tools = rows("facts_tools")
    files = rows("facts_files", ENTRIES_MAX)
    subjects = rows("facts_subjects", ENTRIES_MAX)
    annotations = rows("facts_annotations", ENTRIES_MAX)
    failures = rows("facts_failures", ENTRIES_MAX)
    slowest = rows("facts_slowest", SLOWEST_MAX)
    decisions = rows("facts_decisions", session_ids, ENTRIES_MAX)
    transformations = rows("facts_transformations", session_ids)
    links = rows("facts_links", session_ids, ENTRIES_MAX)
    for session in sessions:
        key = session["session_id"]
        yield SessionFacts(
            session=session,
            tools=tuple(tools[key]),
            files=_lists(files[key], "use"),
            subjects=_lists(subjects[key], "action_type"),
            annotations=_lists(annotations[key], "kind"),
            failures=_list(failures[key]),
            slowest=_list(slowest[key]),
            decisions=_list(decisions[key]),
            transformations=tuple(transformations[key]),
            links=_lists(links[key], "entity_table"),
        )


def _by_session(rows: list[Row]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["session_id"]].append(row)
    return found


def _list(rows: Sequence[Row]) -> Listed:
    return _listed(rows[0]) if rows else Listed()


def _lists(rows: Sequence[Row], key: str) -> dict[str, Listed]:
    return {row[key]: _listed(row) for row in rows}


def _listed(row: Row) -> Listed:
    entries = tuple(row["entries"])
    return Listed(entries, row.get("total", len(entries)))
