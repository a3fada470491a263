"""The one table that is aggregated: what a session's row says, and when it changes."""

from typing import Any

import orjson
import pytest
from projecting import Log, cleared_tables, project, session_end, session_start, time_of

from projections.database import Connection
from provenance_log.store import Store


@pytest.fixture
def tables() -> Connection:
    return cleared_tables()


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store, "2026-01-02-03-04", "s1")


def test_a_session_has_what_its_first_line_says(store: Store, tables: Connection, log: Log) -> None:
    header: dict[str, Any] = {
        "agent_version": "2.1",
        "kwargs": {"a": 1},
        "user_context": {
            "python_version": "3.11",
            "dependencies": {"duckdb": "2.0"},
            "db_path": "x.duckdb",
        },
        "parent_session_id": "s1",
        "depth": 1,
        "model": "m",
        "project": "p",
        "goals": ["g"],
    }
    child = Log(store, "2026-01-02-03-04-2")
    child.add(**session_start("s2", **header))
    child.add()
    project(store, tables)
    row = tables.rows("SELECT * EXCLUDE log_head FROM provenance_sessions WHERE depth = 1")[0]
    assert row == {
        "session_id": "s2",
        "agent_type": "example",
        "agent_version": "2.1",
        "query": "why?",
        "kwargs": '{"a":1}',
        "user_context": orjson.dumps(header["user_context"]).decode(),
        "start_time": time_of(1),
        "end_time": None,
        "duration_ms": None,
        "success": None,
        "result_summary": None,
        "error_message": None,
        "python_version": "3.11",
        "dependencies": '{"duckdb":"2.0"}',
        "db_path": "x.duckdb",
        "parent_session_id": "s1",
        "depth": 1,
        "created_at": time_of(1),
        "log": "2026-01-02-03-04-2",
        "model": "m",
        "project": "p",
        "goals": '["g"]',
        "source": None,
        "state": "open",
        "last_time": time_of(2),
        "action_count": 2,
        "tool_call_count": 1,
        "decision_count": 0,
        "failure_count": 0,
        "unchained_count": 0,
        "quarantined_count": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_tokens": 0,
        "cache_read_tokens": 0,
        "log_lines": 2,
        "log_bytes": child.path.stat().st_size,
        "git_commit_after": None,
    }


ENDINGS: dict[str, tuple[list[dict[str, Any]], tuple[Any, ...]]] = {
    "success": ([session_end(success=True)], ("success", True, 2)),
    "failure": ([session_end(success=False, error_message="no")], ("failure", False, 2)),
    "annotated": (
        [session_end(success=True), {"event_type": "annotation", "details": {"text": "x"}}],
        ("success", True, 2),
    ),
    "reopened": ([session_end(success=True), {"tool": "Read"}], ("open", None, None)),
    "ended twice": (
        [session_end(success=True), {"tool": "Read"}, session_end(success=False)],
        ("failure", False, 4),
    ),
    "ended without a verdict": ([session_end()], ("failure", None, 2)),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_state_of_a_session_follows_from_its_last_end(
    store: Store, tables: Connection, log: Log, ending: str
) -> None:
    lines, (state, success, end_line) = ENDINGS[ending]
    for line in lines:
        log.add(**line)
        project(store, tables)
    end_time = end_line and time_of(end_line)
    assert tables.execute("SELECT state, success, end_time FROM provenance_sessions") == [
        (state, success, end_time)
    ]


def test_an_imported_session_without_an_end_says_so(store: Store, tables: Connection) -> None:
    log = Log(store, "a")
    log.add(**session_start("s1", source={"kind": "claude-code"}))
    project(store, tables)
    assert tables.execute("SELECT state, source FROM provenance_sessions") == [
        ("imported", '{"kind":"claude-code"}')
    ]


def test_tokens_are_counted_once_per_message_with_its_last_usage(
    store: Store, tables: Connection, log: Log
) -> None:
    for message, tokens in (("m1", 1), ("m2", 10), ("m1", 5), (None, 100), (None, 1000)):
        usage = {"input_tokens": tokens, "output_tokens": 2, "cache_read_input_tokens": 3}
        details = {"message_id": message, "usage": usage}
        log.add(event_type="log", event_name="assistant_message", details=details)
        project(store, tables)
    names = "input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens"
    assert tables.execute(f"SELECT {names} FROM provenance_sessions") == [(1115, 8, 0, 12)]


def test_the_model_of_the_first_message_stands_in_for_one_that_the_first_line_lacks(
    store: Store, tables: Connection, log: Log
) -> None:
    log.add(event_type="log", details={"text": "no usage, no model"})
    for model in ("first", "second"):
        details = {"model": model, "usage": {"input_tokens": 1}}
        log.add(event_type="log", event_name="assistant_message", details=details)
    project(store, tables)
    assert tables.execute("SELECT model FROM provenance_sessions") == [("first",)]


def test_a_log_without_a_session_line_is_a_session_of_unknown_agent(
    store: Store, tables: Connection
) -> None:
    log = Log(store, "2026-01-01-00-00")
    log.add(event_type=None)
    log.add(event_type=None, status="failure")
    project(store, tables)
    names = "agent_type, query, state, action_count, failure_count, log"
    assert tables.execute(f"SELECT {names} FROM provenance_sessions") == [
        ("unknown", "", "open", 2, 1, "2026-01-01-00-00")
    ]


def test_a_log_of_which_no_line_could_be_decoded_is_still_a_session(
    store: Store, tables: Connection
) -> None:
    log = Log(store, "bad")
    log.add_bytes(b"nonsense\n{}\n")
    project(store, tables)
    names = "agent_type, start_time, action_count, quarantined_count, log_lines"
    assert tables.execute(f"SELECT {names} FROM provenance_sessions") == [
        ("unknown", None, 0, 2, 2)
    ]


def test_a_call_in_several_lines_is_counted_once(
    store: Store, tables: Connection, log: Log
) -> None:
    for call_id in ("c1", "c2", "c1"):
        log.add(details={"call_id": call_id})
    project(store, tables)
    assert tables.execute("SELECT tool_call_count, action_count FROM provenance_sessions") == [
        (2, 4)
    ]
