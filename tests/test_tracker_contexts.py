"""Threads, tasks, nested agents and processes each see their own current session."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from projections.database import connect
from projections.projector import catch_up
from provenance_log.store import Store
from provenance_log.tracker import ProvenanceTracker


@pytest.fixture
def tracker(store: Store) -> ProvenanceTracker:
    return ProvenanceTracker(manifest_dir=store.root, is_strict=True)


def sessions(store: Store) -> dict[str, dict[str, Any]]:
    """The sessions by what they were asked."""
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        rows = connection.rows("FROM provenance_sessions")
    return {row["query"]: row for row in rows}


def work(tracker: ProvenanceTracker, name: str, calls: int = 3) -> str:
    session_id = tracker.start_session("worker", name)
    for number in range(calls):
        assert tracker.current_session is not None
        assert tracker.current_session["query"] == name
        tracker.record_tool_call("f", f"call_{number}", {"of": name})
    tracker.end_session(success=True)
    return session_id


def test_sixteen_threads_each_record_into_their_own_session(
    tracker: ProvenanceTracker, store: Store
) -> None:
    tracker.start_session("main", "main")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: work(tracker, f"thread {n}"), range(16)))
    tracker.end_session(success=True)

    found = sessions(store)
    assert set(found) == {"main", *(f"thread {n}" for n in range(16))}
    assert {row["tool_call_count"] for name, row in found.items() if name != "main"} == {3}
    assert found["main"]["tool_call_count"] == 0
    assert {row["parent_session_id"] for row in found.values()} == {None}, "a thread is no child"


def test_fifty_tasks_are_children_of_the_session_they_were_started_in(
    tracker: ProvenanceTracker, store: Store
) -> None:
    async def task(number: int) -> None:
        tracker.start_session("worker", f"task {number}")
        for turn in range(3):
            await asyncio.sleep(0)
            tracker.record_tool_call("f", f"turn_{turn}", {"of": number})
        tracker.end_session(success=True)

    async def main() -> None:
        await asyncio.gather(*(task(number) for number in range(50)))
        assert tracker.current_session is not None
        assert tracker.current_session["query"] == "main"

    root = tracker.start_session("main", "main")
    asyncio.run(main())
    tracker.end_session(success=True)

    found = sessions(store)
    children = [row for name, row in found.items() if name != "main"]
    assert len(children) == 50
    assert {(row["parent_session_id"], row["depth"]) for row in children} == {(root, 1)}
    assert {row["tool_call_count"] for row in children} == {3}


def test_nested_sessions_know_parent_and_depth_and_give_way_when_they_end(
    tracker: ProvenanceTracker, store: Store
) -> None:
    ids = [tracker.start_session("nested", f"depth {depth}") for depth in range(5)]
    for depth in reversed(range(5)):
        tracker.record_event("log", "leaving", {"depth": depth})
        tracker.end_session(success=True)
    assert tracker.current_session is None

    found = sessions(store)
    assert [found[f"depth {depth}"]["depth"] for depth in range(5)] == list(range(5))
    parents = [found[f"depth {depth}"]["parent_session_id"] for depth in range(5)]
    assert parents == [None, *ids[:4]]
    assert {row["action_count"] for row in found.values()} == {3}


def test_parent_that_is_named_is_looked_up_in_the_store(
    tracker: ProvenanceTracker, store: Store
) -> None:
    parent = tracker.start_session("p", "outer")
    child = tracker.start_session("c", "inner")
    tracker.end_session(success=True)
    tracker.end_session(success=True)
    again = ProvenanceTracker(manifest_dir=store.root, is_strict=True)
    again.start_session("g", "grandchild", {}, parent_session_id=child)
    again.end_session(success=True)
    again.start_session("o", "orphan", {}, parent_session_id="never there")
    again.end_session(success=True)

    found = sessions(store)
    assert [(row["parent_session_id"], row["depth"]) for row in found.values()].count(
        (child, 2)
    ) == 1
    assert found["inner"]["parent_session_id"] == parent
    assert (found["orphan"]["parent_session_id"], found["orphan"]["depth"]) == ("never there", 1)


def in_child(tracker: ProvenanceTracker, number: int) -> None:
    """Recording into what was inherited must do nothing; a session of one's own is a child."""
    if tracker.record_event("log", "by accident") is not None:
        os._exit(1)
    work(tracker, f"child {number}")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_process_never_writes_into_its_parents_session(
    tracker: ProvenanceTracker, store: Store, method: str
) -> None:
    context: Any = multiprocessing.get_context(method)
    root = tracker.start_session("main", "main")
    tracker.record_tool_call("f", "before", {})
    handed = tracker if method == "fork" else None
    children = [
        context.Process(target=run_child, args=(handed, str(store.root), number))
        for number in range(4)
    ]
    for child in children:
        child.start()
    tracker.record_tool_call("f", "meanwhile", {})
    for child in children:
        child.join()
    tracker.end_session(success=True)

    assert [child.exitcode for child in children] == [0] * 4
    found = sessions(store)
    assert set(found) == {"main", *(f"child {n}" for n in range(4))}
    assert (found["main"]["action_count"], found["main"]["state"]) == (4, "success")
    expected = (root, 1) if method == "fork" else (None, 0)
    children_rows = [row for name, row in found.items() if name != "main"]
    assert {(row["parent_session_id"], row["depth"]) for row in children_rows} == {expected}
    assert {row["unchained_count"] for row in found.values()} == {0}


def run_child(tracker: ProvenanceTracker | None, root: str, number: int) -> None:
    in_child(tracker or ProvenanceTracker(manifest_dir=Path(root), is_strict=True), number)
