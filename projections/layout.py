"""The tables in a database: which are there, whose they are, and whether they are up to date.

Only the tables named in `definitions` are ours. Everything else in the database belongs to
somebody else, also what happens to begin with `provenance_`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.batch import BATCH_FIELDS
from projections.definitions import (
    ACTION_TABLES,
    BOOKKEEPING,
    COUNTS,
    DEFINITIONS,
    LAYOUT_VERSION,
    SESSIONS,
    TABLE_NAMES,
    fingerprints,
    index_statements,
)
from projections.refusals import StatementRefused
from provenance_log.errors import DatabaseNewer

if TYPE_CHECKING:
    from projections.columns import Fields
    from projections.database import Connection

_SESSION_IDS: Fields = (("session_id", "text"),)


def foreign_objects(connection: Connection) -> list[str]:
    """Return what is in the database and not ours, each as its kind and name."""
    return [name for (name,) in connection.query("foreign_objects", [list(TABLE_NAMES)])]


def is_ours(connection: Connection) -> bool:
    """Say whether the tables were made by this program, rather than by schema 1.0.0 or not yet."""
    return DEFINITIONS.name in connection.table_names()


def check_layout(connection: Connection) -> None:
    """Raise `DatabaseNewer` when a newer version of this program made the tables."""
    if not is_ours(connection):
        return
    found = connection.execute("SELECT max(layout_version) FROM provenance_definitions")[0][0]
    if found is not None and found > LAYOUT_VERSION:
        message = f"the tables have layout {found}, this program knows {LAYOUT_VERSION}"
        hint = "run `pip install -U provenance-log`; nothing was touched"
        raise DatabaseNewer(message, path=connection.path, hint=hint)


def are_current(connection: Connection) -> bool:
    """Say whether the tables are there, ours, and filled by the definitions of this program.

    Costs a tenth of a list of the tables, which is to be asked for, with `check_layout` and
    `stale_tables`, only where the answer is no. Not to be asked inside a transaction.
    """
    ours = [f"main.{name}" for name in TABLE_NAMES]
    selects = [f"(SELECT rowid FROM {name} LIMIT 0)" for name in ours]  # noqa: S608 - no input
    try:
        connection.execute(" UNION ALL ".join(selects))  # a view has no rowid
        stored = connection.execute("FROM main.provenance_definitions")
    except StatementRefused:
        return False
    expected = {(*item, LAYOUT_VERSION) for item in fingerprints().items()}
    return len(stored) == len(expected) and set(stored) == expected


def stale_tables(connection: Connection) -> list[str]:
    """Return the tables that are missing or were filled by another definition than ours now.

    Assumes that `is_ours`. A name that only the database knows is of a table that was dropped
    from the definitions; it is stale as well.
    """
    stored = dict(connection.execute("SELECT name, fingerprint FROM provenance_definitions"))
    expected = fingerprints()
    there = connection.table_names()
    missing = {name for name in TABLE_NAMES if name not in there}
    other = {name for name in stored.keys() | expected if stored.get(name) != expected.get(name)}
    return sorted(missing | other)


def read_everything(connection: Connection) -> None:
    """Read every value of our tables; raises `DatabaseCorrupt` for a block that is damaged.

    DuckDB opens a file of which parts are missing or overwritten, and notices when they are used.
    """
    for name in sorted(connection.table_names() & set(TABLE_NAMES)):
        connection.execute(f"SELECT max(hash(content)) FROM {name} AS content")  # noqa: S608


def create_tables(connection: Connection) -> None:
    """Make all tables, empty, and note their fingerprints; indexes are made by `create_indexes`."""
    for table in BOOKKEEPING:
        connection.execute(table.sql)
    connection.load("batch", BATCH_FIELDS, [])
    for table in ACTION_TABLES:
        connection.create(table.name, f"{table.sql} LIMIT 0")
    connection.drop("batch")
    connection.load("touched", _SESSION_IDS, [])
    for table in (SESSIONS, *COUNTS):
        connection.create(table.name, f"{table.sql} LIMIT 0")
    for name, fingerprint in sorted(fingerprints().items()):
        values = (name, fingerprint, LAYOUT_VERSION)
        connection.execute("INSERT INTO provenance_definitions VALUES (?, ?, ?)", values)


def create_indexes(connection: Connection) -> None:
    """Make the six indexes of schema 1.0.0."""
    for statement in index_statements():
        connection.execute(statement)


def set_aside_older_tables(connection: Connection) -> list[str]:
    """Make room for our tables where schema 1.0.0 (or anybody) left some of the same names.

    Assumes that not `is_ours`. Tables with rows are kept under `provenance_before_<name>`, which
    from then on are the user's; empty ones are dropped. Returns the names of those kept.
    """
    there = connection.table_names()
    # Tables that refer to others go first: in schema 1.0.0 all refer to the sessions.
    older = [name for name in TABLE_NAMES if name in there]
    kept: list[str] = []
    for name in older:
        if connection.count(name):
            copy = _free_name(f"provenance_before_{name.removeprefix('provenance_')}", there)
            connection.create(copy, f"FROM {name}")
            kept.append(copy)
        connection.drop(name)
    return kept


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
