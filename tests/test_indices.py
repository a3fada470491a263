"""The indices: one line for every session, tool and file, for jq."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from projections.database import connect
from projections.indices import render_indices
from projections.projector import catch_up
from provenance_log.recording import SessionHeader, start_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provenance_log.store import Store


def record(store: Store, session_id: str, hour: int, actions: Sequence[Mapping[str, Any]]) -> None:
    moment = datetime(2026, 1, 11, hour, tzinfo=UTC)
    header = SessionHeader("Agent", f"question {session_id}", session_id, model="m-1")
    recording = start_session(store, header, started_at=moment)
    times = (f"2026-01-11T{hour:02}:00:{second:02}Z" for second in range(1, 60))
    recording.append_many(
        [{"timestamp": time, **action} for time, action in zip(times, actions, strict=False)]
    )
    recording.close()


def call(kind: str, tool: str, status: str = "success", **more: Any) -> dict[str, Any]:
    details = {key: more.pop(key) for key in ("call_id", "cache_hit") if key in more}
    return {
        "type": kind,
        "tool": tool,
        "status": status,
        "event_type": "tool_call",
        "details": details,
        **more,
    }


def indices_of(store: Store) -> dict[str, list[dict[str, Any]]]:
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        rendered = render_indices(connection)
    on_disk = {path.name: path.read_bytes() for path in store.indices_dir.glob("*.jsonl")}
    assert on_disk == rendered
    return {
        name: [orjson.loads(line) for line in content.splitlines()]
        for name, content in rendered.items()
    }


def test_sessions_come_in_the_order_of_their_start(store: Store) -> None:
    record(store, "later", 15, [call("read", "Read"), call("execute", "Bash", "failure")])
    record(store, "earlier", 9, [])
    log = store.sessions_dir / "2026-01-11-15-00" / "actions.jsonl"

    earlier, later = indices_of(store)["sessions.jsonl"]

    assert earlier["session_id"] == "earlier"
    head = later.pop("log_head")
    assert len(head) == len("0" * 64)
    assert later == {
        "session_id": "later",
        "log": "2026-01-11-15-00",
        "agent_type": "Agent",
        "model": "m-1",
        "project": None,
        "query": "question later",
        "start_time": "2026-01-11T15:00:00Z",
        "end_time": None,
        "last_time": "2026-01-11T15:00:02Z",
        "duration_ms": None,
        "state": "open",
        "success": None,
        "parent_session_id": None,
        "depth": 0,
        "action_count": 3,
        "tool_call_count": 2,
        "decision_count": 0,
        "failure_count": 1,
        **dict.fromkeys(("input_tokens", "output_tokens"), 0),
        **dict.fromkeys(("cache_creation_tokens", "cache_read_tokens"), 0),
        "log_lines": 3,
        "log_bytes": log.stat().st_size,
        "unchained_count": 0,
        "quarantined_count": 0,
    }


def test_tools_are_counted_over_all_sessions(store: Store) -> None:
    record(
        store,
        "one",
        9,
        [
            call("read", "Read", duration_ms=10),
            call("read", "Read", duration_ms=25, cache_hit=True),
            call("execute", "Bash", "failure"),
        ],
    )
    record(store, "two", 10, [call("read", "Read", "failure")])

    assert indices_of(store)["tools.jsonl"] == [
        {
            "tool": "Bash",
            "calls": 1,
            "failures": 1,
            "cache_hits": 0,
            "sessions": 1,
            "duration_total_ms": 0,
            "duration_max_ms": 0,
            "duration_mean_ms": None,
        },
        {
            "tool": "Read",
            "calls": 3,
            "failures": 1,
            "cache_hits": 1,
            "sessions": 2,
            "duration_total_ms": 35,
            "duration_max_ms": 25,
            "duration_mean_ms": 17.5,
        },
    ]


def test_call_of_several_lines_counts_once_with_its_last_line(store: Store) -> None:
    record(
        store,
        "one",
        9,
        [
            call("execute", "Bash", "partial", call_id="c1", duration_ms=1),
            call("execute", "Bash", call_id="c2", duration_ms=3),
            call("execute", "Bash", "failure", call_id="c1", duration_ms=2),
        ],
    )
    record(store, "two", 10, [call("execute", "Bash", call_id="c1", duration_ms=5)])

    (bash,) = indices_of(store)["tools.jsonl"]
    assert (bash["calls"], bash["failures"], bash["duration_total_ms"]) == (3, 1, 10)


def test_files_are_counted_by_what_was_done_to_them(store: Store) -> None:
    record(
        store,
        "one",
        9,
        [
            call("read", "Read", files_affected=["é.py", "a.py"]),
            call("modify", "Edit", files_affected=["a.py"]),
            call("modify", "Edit", "failure", files_affected=["a.py"]),
            call("execute", "Bash", files_affected=["a.py"]),
        ],
    )
    record(store, "two", 10, [call("create", "Write", files_affected=["a.py"])])

    assert indices_of(store)["files.jsonl"] == [
        {
            "path": "a.py",
            "reads": 1,
            "writes": 2,
            "actions": 4,
            "sessions": 2,
            "first_time": "2026-01-11T09:00:01Z",
            "last_time": "2026-01-11T10:00:01Z",
        },
        {
            "path": "é.py",
            "reads": 1,
            "writes": 0,
            "actions": 1,
            "sessions": 1,
            "first_time": "2026-01-11T09:00:01Z",
            "last_time": "2026-01-11T09:00:01Z",
        },
    ]


def test_what_is_counted_follows_every_change_of_a_session(store: Store) -> None:
    """C1: added up from the counts of each session is what all rows together give."""
    for number in range(3):
        record(store, f"s{number}", 9 + number, [call("read", "Read", files_affected=["a", "b"])])
    first = indices_of(store)
    logs = sorted(store.sessions_dir.glob("*/actions.jsonl"))
    with logs[0].open("ab") as log:
        log.write(logs[1].read_bytes().splitlines(keepends=True)[1])
    logs[1].write_bytes(logs[1].read_bytes().splitlines(keepends=True)[0])
    shutil.rmtree(logs[2].parent)

    assert [one["sessions"] for one in first["files.jsonl"]] == [3, 3]
    last = indices_of(store)
    (a, b), (tool,) = last["files.jsonl"], last["tools.jsonl"]
    assert (a, b["actions"], b["sessions"]) == ({**b, "path": "a"}, 2, 1)
    assert (tool["tool"], tool["calls"], tool["sessions"]) == ("Read", 2, 1)


def test_indices_of_an_empty_store_are_empty(store: Store) -> None:
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        rendered = render_indices(connection)

    assert rendered == {"sessions.jsonl": b"", "tools.jsonl": b"", "files.jsonl": b""}
