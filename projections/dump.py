"""The content of the tables, and where two databases differ in it.

Content is what follows from the logs. Inodes, times and generations of checkpoints are left out,
and so are incidents that tell of the past: a database that was rebuilt has the same content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from projections.definitions import (
    CONTENT_TABLES,
    DERIVED_INCIDENTS,
    INCIDENTS,
    LINE_TABLES,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from projections.database import Connection


def dump_tables(connection: Connection) -> dict[str, bytes]:
    """Return the content of every table, by name, as bytes that are equal for equal content.

    The first line has the names of the columns, every other line one row, with each value as its
    text; the rows are in the order of the table's key, and of all columns where that leaves a
    choice. Holds a whole table in memory.
    """
    names = _content_columns(connection)
    return {table.name: _dump(connection, table, names[table.name]) for table in CONTENT_TABLES}


def differing_rows(connection: Connection, other: Path) -> dict[str, int]:
    """Compare an open database with another one, table by table.

    Returns the tables whose content differs, with the number of rows: of rows that only the one
    has and rows that only the other has, whichever is more. A table that the other lacks, or has
    with other columns, differs by all its rows.
    """
    with connection.attached(other, "other"):
        return differing_rows_of_other(connection)


def differing_rows_of_other(connection: Connection) -> dict[str, int]:
    """Compare as `differing_rows` does, with a database that is attached as `other`."""
    ours, theirs = _content_columns(connection), _content_columns(connection, "other")
    counts = {
        table.name: _count_differing(connection, table, ours[table.name], theirs[table.name])
        for table in CONTENT_TABLES
    }
    return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True, slots=True)
class Difference:
    """A table that holds other rows of a session than another database does."""

    session_id: str
    table: str
    row_count: int
    line_number: int | None
    """The first line that a differing row was made of, where the table says."""
    line_offset: int | None


def differing_sessions(
    connection: Connection, other: Path, session_ids: Collection[str]
) -> list[Difference]:
    """Compare what an open database and another one hold of these sessions, table by table."""
    found: list[Difference] = []
    with connection.attached(other, "other"):
        names = _content_columns(connection)
        for table in CONTENT_TABLES:
            found += _differing_sessions(connection, table, names[table.name], list(session_ids))
    return found


def _differing_sessions(
    connection: Connection, table: Table, names: list[str], session_ids: list[str]
) -> list[Difference]:
    ours, theirs = (
        f"SELECT {', '.join(names)} "  # noqa: S608 - no log's text
        f"FROM {prefix}{table.name}{_condition(table)} "
        f"{'AND' if _condition(table) else 'WHERE'} list_contains($1, session_id)"
        for prefix in ("", "other.")
    )
    places = "min(line_number), min(line_offset)"
    if table not in LINE_TABLES:
        places = "NULL, NULL"
    rows = connection.execute(
        f"SELECT session_id, max(n), min(line_number), min(line_offset) FROM ("  # noqa: S608
        f" SELECT session_id, count(*) AS n, {places} FROM ({ours} EXCEPT ALL {theirs}) GROUP BY 1"
        f" UNION ALL"
        f" SELECT session_id, count(*) AS n, {places} FROM ({theirs} EXCEPT ALL {ours}) GROUP BY 1"
        f") AS sides (session_id, n, line_number, line_offset) GROUP BY 1 ORDER BY 1",
        [session_ids],
    )
    return [Difference(row[0], table.name, *row[1:]) for row in rows]


def _dump(connection: Connection, table: Table, names: list[str]) -> bytes:
    texts = ", ".join(f"CAST({name} AS VARCHAR)" for name in names)
    order = ", ".join([table.key, *names])
    sql = f"SELECT {texts} FROM {table.name}{_condition(table)} ORDER BY {order}"  # noqa: S608
    lines = [orjson.dumps([name.strip('"') for name in names])]
    lines.extend(orjson.dumps(row) for row in connection.stream(sql))
    return b"\n".join(lines) + b"\n"


def _count_differing(
    connection: Connection, table: Table, columns: list[str], other_columns: list[str]
) -> int:
    if columns != other_columns:
        return max(1, connection.count(table.name))
    ours, theirs = (
        f"SELECT {', '.join(columns)} FROM {prefix}{table.name}{_condition(table)}"  # noqa: S608
        for prefix in ("", "other.")
    )
    # A sum of hashes needs one pass and no memory; rows are compared only where it differs.
    names = ", ".join(columns)
    digest = f"SELECT count(*), sum(hash({names})::HUGEINT) FROM"
    if connection.execute(f"{digest} ({ours})") == connection.execute(f"{digest} ({theirs})"):
        return 0
    missing, extra = (
        connection.count(f"({left} EXCEPT ALL {right})")
        for left, right in ((ours, theirs), (theirs, ours))
    )
    return max(missing, extra)


def _content_columns(connection: Connection, database: str | None = None) -> dict[str, list[str]]:
    """Return the columns that are content, quoted, of every table; of one that is missing, none.

    For all tables at once: what tells of columns looks at all there are each time.
    """
    sql = (
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = coalesce(?, current_database()) AND schema_name = 'main' "
        "ORDER BY column_index"
    )
    found: dict[str, list[str]] = {table.name: [] for table in CONTENT_TABLES}
    volatile = {table.name: table.volatile for table in CONTENT_TABLES}
    for table_name, name in connection.execute(sql, [database]):
        if table_name in found and name not in volatile[table_name]:
            found[table_name].append(f'"{name}"')
    return found


def _condition(table: Table) -> str:
    if table is not INCIDENTS:
        return ""
    kinds = ", ".join(f"'{kind}'" for kind in DERIVED_INCIDENTS)
    return f" WHERE kind IN ({kinds})"
