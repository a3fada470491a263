"""Each table: lines in, rows out."""

from typing import Any

import orjson
import pytest
from projecting import Log, cleared_tables, project, rows_of, session_end, time_of

from projections.database import Connection
from projections.definitions import ACTION_TABLES, TABLES
from provenance_log.store import Store

SCHEMA_1_0_0 = {
    "sessions": """session_id VARCHAR, agent_type VARCHAR, agent_version VARCHAR, query VARCHAR,
        kwargs JSON, user_context JSON, start_time TIMESTAMP, end_time TIMESTAMP,
        duration_ms INTEGER, success BOOLEAN, result_summary JSON, error_message VARCHAR,
        python_version VARCHAR, dependencies JSON, db_path VARCHAR, parent_session_id VARCHAR,
        depth INTEGER, created_at TIMESTAMP""",
    "events": """event_id VARCHAR, session_id VARCHAR, event_type VARCHAR, event_name VARCHAR,
        timestamp TIMESTAMP, sequence_number INTEGER, details JSON, duration_ms INTEGER,
        related_event_id VARCHAR""",
    "tool_calls": """call_id VARCHAR, session_id VARCHAR, event_id VARCHAR, tool_type VARCHAR,
        tool_name VARCHAR, input_params JSON, output_data JSON, output_size_bytes INTEGER,
        call_time TIMESTAMP, duration_ms INTEGER, cache_hit BOOLEAN, cache_key VARCHAR,
        cache_source VARCHAR, rate_limit_delay_ms INTEGER, retry_count INTEGER, success BOOLEAN,
        error_type VARCHAR, error_message VARCHAR""",
    "decisions": """decision_id VARCHAR, session_id VARCHAR, event_id VARCHAR,
        decision_type VARCHAR, decision_point VARCHAR, input_values JSON,
        condition_evaluated VARCHAR, branch_taken VARCHAR, branches_available JSON,
        reason VARCHAR, timestamp TIMESTAMP""",
    "transformations": """transformation_id VARCHAR, session_id VARCHAR, event_id VARCHAR,
        transformation_type VARCHAR, transformation_name VARCHAR, input_schema JSON,
        input_sample JSON, input_size INTEGER, output_schema JSON, output_sample JSON,
        output_size INTEGER, method VARCHAR, parameters JSON, timestamp TIMESTAMP,
        duration_ms INTEGER""",
    "entity_links": """link_id INTEGER, session_id VARCHAR, event_id VARCHAR,
        entity_table VARCHAR, entity_id VARCHAR, link_type VARCHAR, timestamp TIMESTAMP""",
}
INDEXES_1_0_0 = {
    "idx_prov_sessions_agent",
    "idx_prov_events_session",
    "idx_prov_tools_session",
    "idx_prov_decisions_session",
    "idx_prov_transformations_session",
    "idx_prov_entity_links_entity",
}


@pytest.fixture
def tables() -> Connection:
    return cleared_tables()


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store, "2026-01-02-03-04", "s1")


@pytest.mark.parametrize("table", SCHEMA_1_0_0)
def test_the_columns_of_schema_1_0_0_come_first_with_their_names_and_types(
    tables: Connection, table: str
) -> None:
    columns = [tuple(item.split()) for item in SCHEMA_1_0_0[table].split(",")]
    found = tables.execute(f"SELECT column_name, column_type FROM (DESCRIBE provenance_{table})")
    assert found[: len(columns)] == columns


def test_the_six_indexes_of_schema_1_0_0_are_there_and_no_constraint_is(
    tables: Connection,
) -> None:
    indexes = tables.execute("SELECT index_name FROM duckdb_indexes()")
    assert {name for (name,) in indexes} == INDEXES_1_0_0
    assert tables.execute("FROM duckdb_constraints()") == []


def test_no_index_has_one_column_alone_which_duckdb_would_search(tables: Connection) -> None:
    """Such an index has lacked rows after a replay of the write-ahead log."""
    tables.execute(
        "INSERT INTO provenance_events (session_id) SELECT 's' || i FROM range(9999) t(i)"
    )
    query = "FROM provenance_events WHERE session_id = 's7'"
    columns = tables.execute("SELECT len(expressions::VARCHAR[]) FROM duckdb_indexes()")
    assert columns == [(2,)] * 6
    assert "INDEX_SCAN" not in str(tables.execute(f"EXPLAIN {query}")).upper().replace(" ", "_")


def test_a_line_is_an_event(store: Store, tables: Connection, log: Log) -> None:
    line = log.add(
        duration_ms=5,
        details={"related_event_id": "event-1", "agent_id": "a1", "input_params": {"p": 1}},
        files_affected=["x.py"],
        context={"git_branch": "main"},
        read_only=True,
    )
    project(store, tables)
    row = rows_of(tables, "events", "* EXCLUDE line_hash")[1]
    assert row == {
        "event_id": "event-2",
        "session_id": "s1",
        "event_type": "tool_call",
        "event_name": "Read",
        "timestamp": time_of(2),
        "sequence_number": 2,
        "details": '{"related_event_id":"event-1","agent_id":"a1"}',
        "duration_ms": 5,
        "related_event_id": "event-1",
        "action_type": "read",
        "tool": "Read",
        "status": "success",
        "read_only": True,
        "files_affected": '["x.py"]',
        "context": '{"git_branch":"main"}',
        "error": None,
        "agent_id": "a1",
        "chained": True,
        "line_number": 2,
        "line_offset": len(log.lines[0]) + 1,
    }
    assert log.lines[1] == line


def test_a_tool_call_has_its_input_and_output(store: Store, tables: Connection, log: Log) -> None:
    details = {
        "call_id": "c1",
        "tool_type": "api",
        "tool_name": "PubMed",
        "input_params": {"term": "x"},
        "output_data": {"hits": 3},
        "output_size_bytes": 10,
        "cache_hit": True,
        "cache_key": "k",
        "cache_source": "disk",
        "rate_limit_delay_ms": 4,
        "retry_count": 1,
        "agent_id": "a1",
        "agent_type": "searcher",
        "model": "m",
        "message_id": "msg",
    }
    log.add(type="query", tool="PubMed", duration_ms=7, details=details)
    project(store, tables)
    assert rows_of(tables, "tool_calls") == [
        details
        | {
            "input_params": '{"term":"x"}',
            "output_data": '{"hits":3}',
            "session_id": "s1",
            "event_id": "event-2",
            "call_time": time_of(2),
            "duration_ms": 7,
            "success": True,
            "error_type": None,
            "error_message": None,
            "status": "success",
            "action_type": "query",
            "tool": "PubMed",
            "sequence_number": 2,
        }
    ]


def test_a_failed_call_has_the_error_of_its_line(
    store: Store, tables: Connection, log: Log
) -> None:
    log.add(status="failure", error={"code": "exit_1", "message": "no such file"})
    log.add(status="failure", error={"code": "exit_2"}, details={"error_type": "timeout"})
    project(store, tables)
    assert tables.execute(
        "SELECT success, error_type, error_message FROM provenance_tool_calls ORDER BY ALL"
    ) == [(False, "exit_1", "no such file"), (False, "timeout", None)]


def test_a_call_of_schema_1_0_0_has_its_details_as_input(
    store: Store, tables: Connection, log: Log
) -> None:
    """Issue 2, item 8: old lines are projected and reported as unchained."""
    old = {
        "timestamp": "2026-01-11T07:08:27.821049",
        "action_id": 9,
        "type": "query",
        "tool": "KEGG",
        "status": "success",
        "details": {"query": "co2"},
    }
    log.add_bytes(orjson.dumps(old) + b"\n")
    project(store, tables)
    row = rows_of(tables, "tool_calls", "tool_type, tool_name, input_params, sequence_number")[0]
    assert row == {
        "tool_type": "query",
        "tool_name": "KEGG",
        "input_params": '{"query":"co2"}',
        "sequence_number": 9,
    }
    assert tables.execute("SELECT unchained_count FROM provenance_sessions") == [(1,)]


def test_a_decision_is_a_row_with_its_branches(store: Store, tables: Connection, log: Log) -> None:
    details = {
        "decision_id": "d1",
        "decision_type": "routing",
        "decision_point": "which database",
        "input_values": {"n": 1},
        "condition_evaluated": "n > 0",
        "branch_taken": "local",
        "branches_available": ["local", "remote"],
        "reason": "closer",
        "agent_id": "a1",
    }
    log.add(type="decision", tool="Planner", event_type="decision", details=details)
    project(store, tables)
    assert rows_of(tables, "decisions") == [
        details
        | {
            "input_values": '{"n":1}',
            "branches_available": '["local","remote"]',
            "session_id": "s1",
            "event_id": "event-2",
            "timestamp": time_of(2),
            "sequence_number": 2,
            "status": "success",
        }
    ]
    assert rows_of(tables, "tool_calls") == []


def test_a_decision_of_schema_1_0_0_keeps_its_options_and_rationale(
    store: Store, tables: Connection, log: Log
) -> None:
    details = {"options_considered": ["a", "b"], "rationale": "cheaper", "user_input": "a"}
    log.add(type="decision", tool="Ask", event_type=None, event_name=None, details=details)
    project(store, tables)
    names = "decision_point, branches_available, branch_taken, reason, input_values"
    assert rows_of(tables, "decisions", names) == [
        {
            "decision_point": "Ask",
            "branches_available": '["a","b"]',
            "branch_taken": "a",
            "reason": "cheaper",
            "input_values": "{}",
        }
    ]


def test_a_tool_call_that_decides_is_a_row_of_both_tables(
    store: Store, tables: Connection, log: Log
) -> None:
    details = {"call_id": "c", "input_params": {"q": 1}, "decision_point": "plan"}
    log.add(type="decision", tool="ExitPlanMode", details=details)
    project(store, tables)
    assert rows_of(tables, "tool_calls", "call_id") == [{"call_id": "c"}]
    assert rows_of(tables, "decisions", "decision_point, input_values") == [
        {"decision_point": "plan", "input_values": '{"q":1}'}
    ]


def test_a_transformation_is_a_row_with_its_samples(
    store: Store, tables: Connection, log: Log
) -> None:
    details = {
        "transformation_id": "t1",
        "transformation_type": "filter",
        "transformation_name": "drop empty",
        "input_schema": {"a": "int"},
        "input_sample": [1, 2],
        "input_size": 2,
        "output_schema": {"a": "int"},
        "output_sample": [1],
        "output_size": 1,
        "method": "pandas",
        "parameters": {"k": None},
    }
    log.add(type="analyze", tool="T", event_type="transformation", duration_ms=3, details=details)
    project(store, tables)
    texts = {
        key: orjson.dumps(value).decode() if isinstance(value, dict | list) else value
        for key, value in details.items()
    }
    assert rows_of(tables, "transformations") == [
        texts
        | {
            "session_id": "s1",
            "event_id": "event-2",
            "timestamp": time_of(2),
            "duration_ms": 3,
            "sequence_number": 2,
            "status": "success",
        }
    ]


def test_each_entity_link_is_a_row_in_its_place(store: Store, tables: Connection, log: Log) -> None:
    links = [
        {"entity_table": "media", "entity_id": "m1", "link_type": "created"},
        {"entity_table": "media", "entity_id": 2},
    ]
    log.add(entity_links=links)
    log.add(entity_links=[])
    project(store, tables)
    names = "entity_table, entity_id, link_type, link_number, event_id, sequence_number"
    assert tables.execute(f"SELECT {names} FROM provenance_entity_links ORDER BY 4") == [
        ("media", "m1", "created", 1, "event-2", 2),
        ("media", "2", None, 2, "event-2", 2),
    ]
    ids = [row["link_id"] for row in rows_of(tables, "entity_links", "link_id")]
    assert len(set(ids)) == 2
    assert all(0 <= link_id < 2**31 for link_id in ids)


POISON: dict[str, Any] = {
    "text for a number": "abc",
    "a number beyond 32 bits": 2**40,
    "a fraction": 1e300,
    "an object": {"a": 1},
    "an array": [1],
    "true": True,
    "null": None,
    "a NUL": "a\0b",
    "an empty text": "",
}


@pytest.mark.parametrize("poison", POISON)
def test_values_of_the_wrong_type_are_null_and_stay_in_the_details(
    store: Store, tables: Connection, log: Log, poison: str
) -> None:
    """B3: a line whose optional details are odd is still a row of every table it belongs to."""
    value = POISON[poison]
    for event_type in ("tool_call", "decision", "transformation"):
        keys = ("output_size_bytes", "cache_hit", "retry_count", "input_size", "output_size")
        texts = ("call_id", "reason", "method", "message_id", "usage", "related_event_id")
        details = dict.fromkeys((*keys, *texts, "input_values", "input_schema"), value)
        log.add(event_type=event_type, details=details, entity_links=[{"entity_id": value}])
    log.add(**session_end(success=value, result_summary=value, error_message=value))
    project(store, tables)
    counts = {table: len(rows_of(tables, table)) for table in SCHEMA_1_0_0}
    assert counts == {
        "sessions": 1,
        "events": 5,
        "tool_calls": 1,
        "decisions": 1,
        "transformations": 1,
        "entity_links": 3,
    }
    assert rows_of(tables, "quarantine") == []
    kept = orjson.loads(rows_of(tables, "events", "sequence_number, details")[2]["details"])
    assert kept["input_values"] == value


def test_every_table_has_a_fingerprint_of_its_own() -> None:
    assert len({table.fingerprint for table in TABLES}) == len(TABLES)
    assert {table.short_name for table in ACTION_TABLES} | {"sessions"} == set(SCHEMA_1_0_0)
