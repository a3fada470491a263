"""Tables in memory, and lines to fill them with: for the model and the tests of projecting."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

import duckdb

from projections.database import Connection
from projections.definitions import DEFINITIONS, TABLES
from projections.dump import dump_tables
from projections.layout import create_indexes, create_tables
from projections.work import Projector
from provenance_log.store import Store


def empty_tables() -> Connection:
    """Our tables in a database in memory."""
    connection = Connection(Path("memory"), duckdb.connect(config={"threads": "1"}))
    create_tables(connection)
    create_indexes(connection)
    return connection


_kept: dict[str, Connection] = {}
# DuckDB complains on stderr about connections that outlive the interpreter.
atexit.register(_kept.clear)


def cleared_tables(name: str = "incremental") -> Connection:
    """Our tables, empty, in a database that all share who name it: to make one takes a while."""
    connection = _kept.get(name) or _kept.setdefault(name, empty_tables())
    for table in TABLES:
        if table is not DEFINITIONS:
            connection.execute(f"DELETE FROM {table.name}")
    return connection


def project(store: Store, connection: Connection, *, batch_bytes: int = 1 << 20) -> Projector:
    """Catch up with a projector that knows nothing but what the tables hold."""
    projector = Projector(store, batch_bytes=batch_bytes)
    projector.run(connection)
    return projector


def rebuilt(store: Store) -> dict[str, bytes]:
    """The content that the logs give when they are projected from nothing."""
    connection = cleared_tables("rebuilt")
    project(store, connection)
    return dump_tables(connection)


def session_start(session_id: str, **header: Any) -> dict[str, Any]:
    """The members of the first line of a session."""
    session = {"session_id": session_id, "agent_type": "example", "query": "why?", **header}
    return {
        "type": "execute",
        "tool": "AgentExecution",
        "event_type": "lifecycle",
        "event_name": "session_start",
        "details": {"session": session},
    }


def session_end(**details: Any) -> dict[str, Any]:
    """The members of a line that ends a session."""
    return {
        "type": "execute",
        "tool": "AgentExecution",
        "event_type": "lifecycle",
        "event_name": "session_end",
        "details": details,
    }


LINES: dict[str, dict[str, Any]] = {
    "tool call": {"details": {"call_id": "c1", "input_params": {"a": 1}, "output_data": "x"}},
    "failure": {"status": "failure", "error": {"code": "e", "message": "m"}},
    "decision": {"event_type": "decision", "details": {"decision_point": "p", "reason": "r"}},
    "transformation": {"event_type": "transformation", "details": {"input_size": 3}},
    "links": {"entity_links": [{"entity_table": "t", "entity_id": "1", "link_type": "u"}]},
    "message": {
        "event_type": "log",
        "event_name": "assistant_message",
        "details": {"message_id": "m1", "usage": {"input_tokens": 4, "output_tokens": 1}},
    },
    "annotation": {"event_type": "annotation", "event_name": "note", "details": {"text": "t"}},
    "end": session_end(success=True),
}
"""One kind of line for each table: what it has beside the members that every line has."""
