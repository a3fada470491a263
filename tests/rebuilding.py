"""What the tests of rebuilding share: filled stores, and databases that hold more than ours."""

from pathlib import Path

import duckdb
from projecting import Log

from projections.database import connect
from projections.dump import dump_tables
from projections.projector import catch_up
from provenance_log.store import Store, open_store

FOREIGN_OBJECTS = """
CREATE TABLE media (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
INSERT INTO media SELECT i, 'medium ' || i FROM range(5000) t(i);
CREATE INDEX media_name ON media(name);
CREATE TABLE ingredients (id INTEGER, medium INTEGER REFERENCES media(id));
INSERT INTO ingredients SELECT i, i % 5000 FROM range(9000) t(i);
CREATE TABLE provenance_notes (text VARCHAR);
INSERT INTO provenance_notes VALUES ('mine, whatever its name');
CREATE VIEW busy AS SELECT session_id, count(*) AS calls FROM provenance_tool_calls GROUP BY ALL;
CREATE SEQUENCE counter START 7;
CREATE MACRO twice(x) AS x * 2;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE SCHEMA lab;
CREATE TABLE lab.provenance_events (a INTEGER);
INSERT INTO lab.provenance_events VALUES (1);
"""


def filled(store: Store, *, sessions: int = 3, lines: int = 4) -> Store:
    for number in range(sessions):
        log = Log(store, f"2026-01-0{number + 1}", f"s{number}")
        for _ in range(lines):
            log.add(
                details={"call_id": "c", "decision_point": "p"},
                entity_links=[{"entity_id": "e"}],
            )
        log.add_bytes(b"garbage\n")
    return store


def content(store: Store) -> dict[str, bytes]:
    with connect(store.database, read_only=True) as connection:
        return dump_tables(connection)


def foreign_content(path: Path) -> list[object]:
    with connect(path, read_only=True) as connection:
        return [
            *connection.execute("FROM media ORDER BY ALL"),
            *connection.execute("FROM ingredients ORDER BY ALL"),
            *connection.execute("FROM provenance_notes"),
            *connection.execute("FROM lab.provenance_events"),
            *connection.execute("SELECT twice(4), 'good'::mood"),
            *connection.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'busy'"),
            *connection.execute("SELECT start_value FROM duckdb_sequences()"),
            *connection.execute(
                "SELECT index_name FROM duckdb_indexes() WHERE table_name = 'media'"
            ),
            *connection.execute(
                "SELECT table_name, constraint_text FROM duckdb_constraints() ORDER BY ALL"
            ),
        ]


def shared_store(store: Store, folder: Path) -> Store:
    """A store whose database also holds what somebody else put there."""
    path = folder / "microgrow.duckdb"
    shared = filled(open_store(store.root, path))
    catch_up(shared)
    with duckdb.connect(str(path)) as connection:
        connection.execute(FOREIGN_OBJECTS)
    return shared


def beside(store: Store) -> list[str]:
    """The database and whatever else begins with its name."""
    return sorted(path.name for path in store.database.parent.glob(f"{store.database.name}*"))
