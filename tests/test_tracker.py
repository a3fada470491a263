"""A tracker's calls become lines, and the lines become rows."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from log_cases import read_all

from projections.database import connect
from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log import tracker as tracker_module
from provenance_log.errors import ProvlogError
from provenance_log.samples import SAMPLE_MEMBERS
from provenance_log.store import CONFIG_NAME, Store
from provenance_log.tracker import ProvenanceTracker, get_tracker

PATHWAY = {"id": "map00010", "name": "Glycolysis", "genes": ["hxk", "pfk"]}


@pytest.fixture
def tracker(store: Store) -> ProvenanceTracker:
    return ProvenanceTracker(manifest_dir=store.root, is_strict=True)


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        return connection.rows(sql)


def record_everything(tracker: ProvenanceTracker) -> str:
    """What the predecessor's own test did, and what it left out."""
    session_id = tracker.start_session("TestAgent", "which media?", {"test": True})
    tracker.record_event("lifecycle", "agent_start", {"message": "started"})
    tracker.record_event("log", "log_info", {"message": "working", "level": "INFO"})
    tracker.record_tool_call(
        *("api", "kegg.get_pathway", {"pathway": "map00010"}),
        output_data=PATHWAY,
        duration_ms=12.4,
        cache_hit=True,
        cache_key="k1",
        cache_source="disk",
        retry_count=2,
        rate_limit_delay_ms=50,
    )
    tracker.record_decision(
        decision_type="route",
        decision_point="query_type",
        input_values={"query": "q"},
        branch_taken="test_mode",
        branches_available=["test_mode", "production_mode"],
        reason="Running in test mode",
        condition_evaluated="mode == 'test'",
    )
    tracker.record_transformation(
        *("aggregate", "mean_ph", [7.1, 7.3, 7.2, 7.4], {"mean": 7.25}, "numpy.mean"),
        parameters={"axis": 0},
        duration_ms=3,
    )
    tracker.link_entity("ingredients", "CHEBI:17234", "used")
    tracker.end_session(success=True, result={"status": "success"})
    return session_id


def test_every_table_has_its_rows_and_the_values_that_were_given(
    tracker: ProvenanceTracker, store: Store
) -> None:
    """The predecessor stored none in four of its six tables."""
    session_id = record_everything(tracker)

    (session,) = rows(store, "FROM provenance_sessions")
    assert {
        key: session[key]
        for key in ("session_id", "agent_type", "query", "success", "state", "depth")
    } == {
        "session_id": session_id,
        "agent_type": "TestAgent",
        "query": "which media?",
        "success": True,
        "state": "success",
        "depth": 0,
    }
    assert orjson.loads(session["kwargs"]) == {"test": True}
    assert orjson.loads(session["result_summary"]) == {"status": "success"}

    (call,) = rows(store, "FROM provenance_tool_calls")
    assert orjson.loads(call["input_params"]) == {"pathway": "map00010"}
    assert orjson.loads(call["output_data"]) == PATHWAY
    assert call["output_size_bytes"] == len(orjson.dumps(PATHWAY))
    assert [
        call[key]
        for key in (
            *("tool_type", "tool_name", "tool", "action_type", "duration_ms", "success"),
            *("cache_hit", "cache_key", "cache_source", "retry_count", "rate_limit_delay_ms"),
        )
    ] == [
        *("api", "kegg.get_pathway", "KEGGPathwayAPI", "query", 12, True),
        *(True, "k1", "disk", 2, 50),
    ]

    (decision,) = rows(store, "FROM provenance_decisions")
    assert [
        decision[key]
        for key in ("decision_type", "decision_point", "branch_taken", "condition_evaluated")
    ] == ["route", "query_type", "test_mode", "mode == 'test'"]
    assert decision["reason"] == "Running in test mode"
    assert orjson.loads(decision["branches_available"]) == ["test_mode", "production_mode"]

    (made,) = rows(store, "FROM provenance_transformations")
    assert [made[key] for key in ("input_size", "output_size", "method", "duration_ms")] == [
        *(4, 1, "numpy.mean", 3),
    ]
    assert orjson.loads(made["input_schema"]) == {
        "type": "list",
        "element_type": "float",
        "count": 4,
    }
    assert orjson.loads(made["input_sample"]) == [7.1, 7.3, 7.2]

    (link,) = rows(store, "FROM provenance_entity_links")
    assert [link[key] for key in ("entity_table", "entity_id", "link_type")] == [
        *("ingredients", "CHEBI:17234", "used"),
    ]
    linked = rows(store, "FROM provenance_events WHERE event_type = 'entity_link'")
    assert link["event_id"] == linked[0]["event_id"]
    assert linked[0]["related_event_id"] == made["event_id"]
    assert len(rows(store, "FROM provenance_events")) == 8


def test_a_failed_call_keeps_its_error_and_its_kind(
    tracker: ProvenanceTracker, store: Store
) -> None:
    tracker.start_session("a")
    tracker.record_tool_call("api", "kegg", {}, success=False, error=TimeoutError("too slow"))
    tracker.record_event("validation", "check_ph", {"success": False, "error": "pH 15"})
    tracker.record_event("database_query", "duckdb_query", {"status": "partial"})
    tracker.end_session(success=False, error="gave up")

    (call,) = rows(store, "FROM provenance_tool_calls")
    assert (call["success"], call["error_type"], call["error_message"]) == (
        *(False, "TimeoutError", "too slow"),
    )
    events = rows(store, "FROM provenance_events ORDER BY sequence_number")
    assert [event["status"] for event in events] == [
        *("success", "failure", "failure", "partial", "failure"),
    ]
    (session,) = rows(store, "FROM provenance_sessions")
    assert (session["state"], session["error_message"]) == ("failure", "gave up")


class Rows(list[int]):
    """A list with more than a few items."""


@pytest.mark.parametrize(
    ("detail_level", "of_list", "of_mapping"),
    [
        ("minimal", {"type": "Rows"}, {"type": "dict"}),
        ("standard", [0, 1, 2], {str(n): n for n in range(SAMPLE_MEMBERS)}),
        ("full", list(range(9)), {str(n): n for n in range(9)}),
    ],
)
def test_detail_level_says_how_much_of_an_output_is_kept(
    store: Store, detail_level: Any, of_list: object, of_mapping: object
) -> None:
    (store.root / CONFIG_NAME).write_text(f"detail_level: {detail_level}\n")
    tracker = ProvenanceTracker(manifest_dir=store.root, is_strict=True)
    tracker.start_session("a")
    tracker.record_tool_call("f", "g", {}, Rows(range(9)))
    tracker.record_tool_call("f", "g", {}, {str(n): n for n in range(9)})

    calls = rows(store, "FROM provenance_tool_calls ORDER BY sequence_number")
    assert [orjson.loads(call["output_data"]) for call in calls] == [of_list, of_mapping]
    assert [call["output_size_bytes"] for call in calls] == [19, 55]


def test_surroundings_are_looked_up_and_not_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The predecessor wrote a fixed user and model."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-qb", "trunk", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ada")
    tracker = ProvenanceTracker(is_strict=True)

    def commit() -> str:
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    before = commit()
    tracker.start_session("a")
    after = commit()
    tracker.end_session(success=True)

    assert tracker.store.root == tmp_path / ".claude" / "provenance"
    (session,) = rows(tracker.store, "FROM provenance_sessions")
    context = orjson.loads(session["user_context"])
    expected = {
        "user": "ada",
        "working_directory": str(tmp_path),
        "git_branch": "trunk",
        "git_commit": before,
    }
    assert {key: context[key] for key in expected} == expected
    assert context["dependencies"]["orjson"] == orjson.__version__
    assert session["python_version"] == sys.version
    assert (session["git_commit_after"], session["model"]) == (after, None)


def test_database_of_a_store_that_is_made_now_is_the_one_that_was_given(tmp_path: Path) -> None:
    """A project of the predecessor changes one import, and keeps its database."""
    path = tmp_path / "data" / "microgrow.duckdb"
    tracker = ProvenanceTracker(path, tmp_path / ".claude" / "provenance", is_strict=True)
    tracker.start_session("a", "q", {})
    tracker.end_session(True, {"n": 1})

    assert tracker.store.database == path
    path.parent.mkdir()
    assert [row["db_path"] for row in rows(tracker.store, "FROM provenance_sessions")] == [
        str(path)
    ]


def test_without_a_session_nothing_is_recorded_and_nothing_raised(
    tracker: ProvenanceTracker, store: Store
) -> None:
    assert tracker.record_event("log", "x") is None
    with tracker.track_tool_call("a", "b", {}) as call:
        call.set_result(1)
    tracker.end_session(success=True)

    assert (tracker.current_session, list(store.sessions_dir.iterdir())) == (None, [])


def test_block_is_a_call_with_its_result_or_its_exception(
    tracker: ProvenanceTracker, store: Store
) -> None:
    tracker.start_session("a")
    with tracker.track_tool_call("api", "one", {"n": 1}) as call:
        call.set_result({"found": 3})
        call.note(cache_hit=True, retry_count=1, files_affected=["a.csv"])
    with pytest.raises(KeyError), tracker.track_tool_call("api", "two", {}):
        raise KeyError("x")
    with pytest.raises(KeyboardInterrupt), tracker.track_tool_call("api", "three", {}):
        raise KeyboardInterrupt

    calls = rows(store, "FROM provenance_tool_calls ORDER BY sequence_number")
    assert [(c["tool_name"], c["status"], c["error_type"], c["retry_count"]) for c in calls] == [
        ("one", "success", None, 1),
        ("two", "failure", "KeyError", None),
        ("three", "partial", "KeyboardInterrupt", None),
    ]
    assert orjson.loads(calls[0]["output_data"]) == {"found": 3}
    events = rows(store, "FROM provenance_events WHERE tool = 'api.one'")
    assert orjson.loads(events[0]["files_affected"]) == ["a.csv"]


def test_values_that_no_line_holds_and_objects_that_fight_back_are_recorded_somehow(
    tracker: ProvenanceTracker, store: Store
) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    tracker.start_session("a", "q", {"object": Hostile()})
    tracker.record_tool_call("f", "g", {"nan": float("nan"), "set": {1}}, Hostile(), -5)
    tracker.record_transformation("t", "", None, object(), "m", duration_ms=1e30)
    tracker.end_session(success=True, result=object())

    catch_up(store)
    (log,) = store.sessions_dir.glob("*/actions.jsonl")
    assert (len(read_all(log).values), read_all(log).bad) == (4, [])


def test_failure_to_record_is_told_once_and_counted_and_the_agent_goes_on(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = ProvenanceTracker(manifest_dir=store.root)
    tracker.start_session("a", "secret question")
    (directory,) = store.sessions_dir.iterdir()
    log = directory / "actions.jsonl"
    kept = log.rename(directory / "kept")
    log.mkdir()
    for _ in range(3):
        assert tracker.record_event("log", "x", {"secret": "answer"}) is None
    log.rmdir()
    kept.rename(log)
    tracker.end_session(success=True)

    told = capsys.readouterr()
    assert (tracker.failure_count, told.out) == (3, "")
    assert told.err.count("provenance-log: not recorded: ") == 1
    assert "secret" not in told.err
    assert "answer" not in told.err
    assert read_all(log).values[-1]["details"]["recording_failures"] == 3


def test_session_that_can_not_be_started_costs_the_agent_nothing(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = ProvenanceTracker(manifest_dir=store.root)
    store.sessions_dir.rmdir()
    store.sessions_dir.write_bytes(b"")

    session_id = tracker.start_session("a")
    assert (tracker.current_session or {})["session_id"] == session_id
    assert tracker.record_event("log", "x") is None
    tracker.end_session(success=True)
    assert tracker.current_session is None
    assert tracker.failure_count == 3
    assert capsys.readouterr().err.count("not recorded") == 1


def test_strict_tracker_raises_instead(store: Store) -> None:
    store.sessions_dir.rmdir()
    store.sessions_dir.write_bytes(b"")
    with pytest.raises(ProvlogError):
        ProvenanceTracker(manifest_dir=store.root, is_strict=True).start_session("a")


def test_settings_that_can_not_be_read_are_the_defaults_and_are_told(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    (store.root / CONFIG_NAME).write_text("durability: [\n")
    tracker = ProvenanceTracker(manifest_dir=store.root)
    tracker.start_session("a")
    tracker.end_session(success=True)

    assert "config.yaml" in capsys.readouterr().err
    assert [row["state"] for row in rows(store, "FROM provenance_sessions")] == ["success"]


def test_tracker_of_the_process_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "_global", [])
    first = get_tracker("a.duckdb")

    assert get_tracker() is first
    assert first.db_path == Path("a.duckdb")


KILLED_AFTER = """if True:
    import os, signal, sys
    from provenance_log.tracker import ProvenanceTracker
    tracker = ProvenanceTracker(manifest_dir=sys.argv[1], is_strict=True)
    calls = [
        lambda: tracker.start_session("a", "q", {}),
        lambda: tracker.record_event("log", "x", {}),
        lambda: tracker.record_tool_call("f", "g", {"n": 1}, [1]),
        lambda: tracker.record_decision("d", "p", {}, "b", ["b"], "r"),
        lambda: tracker.record_transformation("t", "n", [1], [2], "m"),
        lambda: tracker.link_entity("t", "1", "used"),
        lambda: tracker.end_session(success=True),
    ]
    for call in calls[: int(sys.argv[2])]:
        call()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("call_count", range(1, 8))
def test_killed_after_any_call_everything_before_is_there_and_reads_as_unfinished(
    store: Store, call_count: int
) -> None:
    """A1; the same after a rebuild."""
    command = [sys.executable, "-c", KILLED_AFTER, str(store.root), str(call_count)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL

    for look in (catch_up, rebuild):
        look(store)
        with connect(store.database, read_only=True) as connection:
            states = connection.execute("SELECT state, action_count FROM provenance_sessions")
        assert states == [("success" if call_count == 7 else "open", call_count)]
