"""The indices of a store: one JSON object per line for every session, tool and file.

For `jq` and for people without DuckDB. Unlike a manifest they are about all sessions, so they
are selected anew from whole tables: their cost grows with the history, by about 40 ms for
`tools.jsonl` and 60 ms for `files.jsonl` per million actions on two cores. Whoever refreshes
often does it without them, and with them when there is quiet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from projections.database import load_sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projections.database import Connection
    from projections.facts import Row

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def render_indices(connection: Connection) -> dict[str, bytes]:
    """Return the content of each index by its file name.

    Sessions come in the order of their start, tools and files in bytewise order of their names.
    Times are RFC 3339 in UTC, durations milliseconds. A tool call of several lines counts once,
    with its last line; what failed or was skipped touched no file.
    """
    tools = map(_tool, _rows(connection, "tools"))
    return {
        "sessions.jsonl": _sessions(connection),
        "tools.jsonl": _lines(tools),
        "files.jsonl": _lines(_rows(connection, "files")),
    }


def _sessions(connection: Connection) -> bytes:
    # Made in SQL: there may be many thousands, and all change with one of them.
    ((text,),) = connection.query("index_sessions")
    return (text or "").encode()


def _rows(connection: Connection, name: str) -> list[Row]:
    return connection.rows(load_sql("views", f"index_{name}"))


def _lines(rows: Iterable[Row]) -> bytes:
    return b"".join(orjson.dumps(row, option=_OPTIONS) for row in rows)


def _tool(row: Row) -> dict[str, Any]:
    timed = row["timed_calls"]
    mean_ms = round(row["duration_total_ms"] / timed, 1) if timed else None
    shown = {key: value for key, value in row.items() if key != "timed_calls"}
    return {**shown, "duration_mean_ms": mean_ms}
