"""`provlog adopt` of sessions of which the predecessor's tracker left `<session_id>.json`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from looking_cases import Provlog, make_store, run_provlog

from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log.reader import read_log
from provenance_log.store import MANIFEST_NAME, Store
from provenance_log.strict_json import parse_object

SESSION_ID = "11111111-2222-4333-8444-555555555555"
NAME = "2026-02-03-04-05"
MANIFEST = f"""\
session:
  database_session_id: {SESSION_ID}
  date_started: 2026-02-03T04:05:06Z
  date_ended: 2026-02-03T05:00:00Z
action_summary: {{decisions: {{key_decisions: [seen in the trace already]}}}}
key_findings: [pH is 7]
"""
TRACE: dict[str, Any] = {
    "session": {
        "session_id": SESSION_ID,
        "environment": {"hostname": "lab", "platform": "linux"},
        "result_summary": {"media": 3},
        "error_message": "one probe failed",
    },
    "execution_trace": [
        {
            "event_id": "e1",
            "event_type": "tool_call",
            "event_name": "api.kegg",
            "timestamp": "2026-02-03T04:06:00.000001",
            "details": {"attempt": 2},
        },
        {"event_id": "e1", "event_type": "log", "event_name": "log_info", "details": "a word"},
        {"event_id": "e3", "event_type": "transformation", "event_name": "scale"},
        "no event",
    ],
    "tool_calls": [
        {
            "call_id": "c1",
            "session_id": SESSION_ID,
            "event_id": "e1",
            "tool_type": "api",
            "tool_name": "kegg",
            "input_params": {"id": "map00010"},
            "output_data": ["C1"],
            "call_time": "2026-02-03T04:06:00",
            "duration_ms": 12.4,
            "success": False,
            "error_type": "Timeout",
            "error_message": "too slow",
        },
        {"call_id": "c2", "tool_name": "ncbi", "input_params": {}, "duration_ms": -1},
    ],
    "decisions": [],
    "transformations": [
        {"transformation_id": "t1", "transformation_name": "scale", "input_size": 3}
    ],
    "entity_links": [{"entity_table": "media", "entity_id": "m1", "link_type": "read"}],
}


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


@pytest.fixture
def left(tmp_path: Path) -> Store:
    """A store with the manifest of a session, and no log."""
    store = make_store(tmp_path)
    (store.sessions_dir / NAME).mkdir()
    (store.sessions_dir / NAME / MANIFEST_NAME).write_text(MANIFEST)
    return store


def trace_of(store: Store) -> Path:
    return store.root / f"{SESSION_ID}.json"


def lines_of(store: Store) -> list[dict[str, Any]]:
    log = store.sessions_dir / NAME / "actions.jsonl"
    raw = [line for chunk in read_log(log) for line in chunk.lines]
    return [parse_object(line.content or b"") for line in raw]


def test_every_event_and_every_row_of_a_trace_is_read(provlog: Provlog, left: Store) -> None:
    """D5: rows join their events by id or name; what no event tells of follows on its own."""
    trace_of(left).write_text(json.dumps(TRACE))

    done = provlog(left, "adopt", "--all")

    assert done.out.splitlines()[0] == (
        f"read {NAME}: 9 lines, session {SESSION_ID}, from {SESSION_ID}.json"
    )
    start, call, log, scaled, lone_call, link, finding, manifest, end = lines_of(left)
    assert start["details"]["session"]["user_context"] == {"host": "lab", "platform": "linux"}
    assert start["details"]["session"]["source"]["trace"]["name"] == trace_of(left).name
    assert {key: call[key] for key in ("timestamp", "status", "duration_ms", "error")} == {
        "timestamp": "2026-02-03T04:06:00.000001Z",
        "status": "failure",
        "duration_ms": 12,
        "error": {"code": "Timeout", "message": "too slow"},
    }
    assert call["details"] == {
        "call_id": "c1",
        "tool_type": "api",
        "tool_name": "kegg",
        "input_params": {"id": "map00010"},
        "output_data": ["C1"],
        "error_type": "Timeout",
        "error_message": "too slow",
        "attempt": 2,
    }
    assert (call["database_event_id"], log["details"]) == ("e1", {"value": "a word"})
    assert log["database_event_id"] != "e1", "an id that is there twice is one event's only"
    assert scaled["details"]["transformation_id"] == "t1"
    assert (lone_call["details"]["call_id"], "duration_ms" in lone_call) == ("c2", False)
    assert link["entity_links"] == TRACE["entity_links"]
    assert (finding["details"], manifest["event_name"]) == ({"text": "pH is 7"}, "manifest")
    assert end["details"] == {"result_summary": {"media": 3}, "error_message": "one probe failed"}


def test_a_trace_fills_the_tables_and_a_rebuild_gives_the_same(
    provlog: Provlog, left: Store
) -> None:
    """C1: every table has what the trace told."""
    trace_of(left).write_text(json.dumps(TRACE))
    provlog(left, "adopt", NAME)
    catch_up(left)
    counts = {
        table: provlog(
            left, "query", "--json", f"SELECT count(*) AS n FROM provenance_{table}"
        ).json[0]["n"]
        for table in ("events", "tool_calls", "decisions", "transformations", "entity_links")
    }
    assert counts == {
        "events": 9,
        "tool_calls": 2,
        "decisions": 0,
        "transformations": 1,
        "entity_links": 1,
    }
    assert rebuild(left, verify=True).differences == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "no JSON that can be kept"),
        (b'{"session": {"session_id": "other"}}', "not the trace of the session it is named after"),
        (b"[]", "no JSON that can be kept"),
        (None, "it is no plain file"),
    ],
)
def test_a_trace_that_cannot_be_read_is_named_and_nothing_is_made(
    provlog: Provlog, left: Store, content: bytes | None, told: str
) -> None:
    """D5: rather than a log without the events that are there."""
    if content is None:
        trace_of(left).symlink_to(left.root / "README.md")
    else:
        trace_of(left).write_bytes(content)

    done = provlog(left, "adopt", "--all")

    assert done.code == 1
    assert str(trace_of(left)) in done.err
    assert told in done.err
    assert not (left.sessions_dir / NAME / "actions.jsonl").exists()
