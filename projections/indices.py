"""The indices of a store: one JSON object per line for every session, tool and file.

For `jq` and for people without DuckDB. Unlike a manifest they are about all sessions. What each
session adds to `tools.jsonl` and `files.jsonl` is counted in two tables, so that who writes these
files after a change counts the calls and files of the changed sessions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from projections.database import load_sql
from projections.definitions import SESSION_FILES, SESSION_TOOLS
from projections.loading import SESSIONS_PER_SELECT, load_touched

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from projections.database import Connection
    from projections.definitions import Table
    from projections.facts import Row

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def count_sessions(connection: Connection, session_ids: Collection[str]) -> None:
    """Count anew what these sessions add to the indices; none is left of those that are gone.

    To be called for every session noted in provenance_unrefreshed before the note is taken back:
    what is counted of the others stays as it is. In transactions of its own, by the thousand.
    """
    ordered = sorted(session_ids)
    for start in range(0, len(ordered), SESSIONS_PER_SELECT):
        load_touched(connection, ordered[start : start + SESSIONS_PER_SELECT])
        with connection.transaction():
            for table in (SESSION_TOOLS, SESSION_FILES):
                connection.delete_sessions(table.name, "touched")
                connection.insert(table.name, table.sql)


def render_indices(connection: Connection, *, are_counted: bool = False) -> dict[str, bytes]:
    """Return the content of each index by its file name.

    Sessions come in the order of their start, tools and files in bytewise order of their names.
    Times are RFC 3339 in UTC, durations milliseconds. A tool call of several lines counts once,
    with its last line; what failed or was skipped touched no file.

    Where the sessions `are_counted`, all that are noted as unrefreshed among them, the cost of
    tools and files grows with the sessions and what is in each; else with the actions.
    """
    if not are_counted:
        connection.execute(load_sql("schema", "touch_everything"))
    tools = map(_tool, _rows(connection, "tools", SESSION_TOOLS, are_counted=are_counted))
    paths = _rows(connection, "files", SESSION_FILES, are_counted=are_counted)
    return {
        "sessions.jsonl": _sessions(connection),
        "tools.jsonl": _lines(tools),
        "files.jsonl": _lines(paths),
    }


def _sessions(connection: Connection) -> bytes:
    # Made in SQL: there may be many thousands, and all change with one of them.
    ((text,),) = connection.query("index_sessions")
    return (text or "").encode()


def _rows(connection: Connection, name: str, table: Table, *, are_counted: bool) -> list[Row]:
    counts = f"FROM {table.name}" if are_counted else table.sql
    view = load_sql("views", f"index_{name}")
    return connection.rows(f"WITH counts AS (\n{counts}\n)\n{view}")


def _lines(rows: Iterable[Row]) -> bytes:
    return b"".join(orjson.dumps(row, option=_OPTIONS) for row in rows)


def _tool(row: Row) -> dict[str, Any]:
    timed = row["timed_calls"]
    mean_ms = round(row["duration_total_ms"] / timed, 1) if timed else None
    shown = {key: value for key, value in row.items() if key != "timed_calls"}
    return {**shown, "duration_mean_ms": mean_ms}
