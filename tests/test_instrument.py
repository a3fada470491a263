"""Decorated functions behave as they did, and what they did is recorded."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import orjson
import pytest

from projections.database import connect
from projections.projector import catch_up
from provenance_log.agent import BaseAgent
from provenance_log.instrument import track_agent, track_tool
from provenance_log.store import Store
from provenance_log.tracker import ProvenanceTracker


@pytest.fixture
def tracker(store: Store) -> ProvenanceTracker:
    return ProvenanceTracker(manifest_dir=store.root, is_strict=True)


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        found = connection.rows(f"FROM provenance_{table}")
    key = "sequence_number" if table == "tool_calls" else "depth"
    return sorted(found, key=lambda row: (row[key], str(row.get("query"))))


def calls(store: Store) -> list[tuple[Any, ...]]:
    return [
        (
            row["tool_name"].rpartition(".")[2],
            row["status"],
            orjson.loads(row["input_params"]),
            None if row["output_data"] is None else orjson.loads(row["output_data"]),
        )
        for row in rows(store, "tool_calls")
    ]


def test_function_of_any_kind_is_one_call_with_its_arguments_by_name(
    tracker: ProvenanceTracker, store: Store
) -> None:
    class Lab:
        @track_tool(tracker=tracker)
        def measure(self, sample: str, *, times: int = 2) -> list[int]:
            return [len(sample)] * times

        @track_tool(tracker=tracker)
        async def fetch(self, name: str) -> dict[str, str]:
            await asyncio.sleep(0)
            return {"name": name}

        @track_tool(tracker=tracker)
        def count(self, to: int) -> Iterator[int]:
            yield from range(to)

        @track_tool(tracker=tracker)
        async def stream(self, to: int) -> AsyncIterator[int]:
            for number in range(to):
                yield number

    async def all_of(stream: AsyncIterator[int]) -> list[int]:
        return [number async for number in stream]

    lab = Lab()
    tracker.start_session("a")
    assert lab.measure("abc", times=1) == [3]
    assert asyncio.run(lab.fetch("x")) == {"name": "x"}
    assert list(lab.count(5)) == [0, 1, 2, 3, 4]
    assert asyncio.run(all_of(lab.stream(4))) == [0, 1, 2, 3]
    tracker.end_session(success=True)

    assert calls(store) == [
        ("measure", "success", {"sample": "abc", "times": 1}, [3]),
        ("fetch", "success", {"name": "x"}, {"name": "x"}),
        ("count", "success", {"to": 5}, {"yielded": 5, "sample": [0, 1, 2]}),
        ("stream", "success", {"to": 4}, {"yielded": 4, "sample": [0, 1, 2]}),
    ]


def test_decorated_function_keeps_its_kind_name_and_exceptions(
    tracker: ProvenanceTracker, store: Store
) -> None:
    @track_tool(tool_type="api", tool_name="kegg", tracker=tracker)
    def fails(reason: str) -> None:
        """Says why."""
        raise LookupError(reason)

    @track_tool(tracker=tracker)
    async def waits() -> None:
        await asyncio.sleep(30)

    async def cancelled() -> None:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        await task

    assert (fails.__name__, fails.__doc__) == ("fails", "Says why.")
    assert inspect.iscoroutinefunction(waits)
    tracker.start_session("a")
    with pytest.raises(LookupError, match="gone"):
        fails("gone")
    with pytest.raises(TypeError):
        fails()  # type: ignore[call-arg]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())

    found = [(row["status"], row["error_type"]) for row in rows(store, "tool_calls")]
    assert found == [
        ("failure", "LookupError"),
        ("failure", "TypeError"),
        ("partial", "CancelledError"),
    ]


def test_generator_takes_what_is_sent_and_thrown_and_returns_what_it_returned(
    tracker: ProvenanceTracker, store: Store
) -> None:
    @track_tool(tracker=tracker)
    def echo() -> Generator[str, str, str]:
        heard = yield "ready"
        try:
            yield f"heard {heard}"
        except ValueError as error:
            yield f"caught {error}"
        return "over"

    def consume() -> Generator[str, str, str]:
        return (yield from echo())

    tracker.start_session("a")
    talk = consume()
    assert next(talk) == "ready"
    assert talk.send("you") == "heard you"
    assert talk.throw(ValueError("no")) == "caught no"
    with pytest.raises(StopIteration) as end:
        next(talk)
    assert end.value.value == "over"
    early = echo()
    next(early)
    early.close()

    assert [(status, output) for _, status, _, output in calls(store)] == [
        (
            "success",
            {"yielded": 3, "sample": ["ready", "heard you", "caught no"], "returned": "over"},
        ),
        ("partial", {"yielded": 1, "sample": ["ready"]}),
    ]


def test_async_generator_takes_what_is_sent_and_thrown_and_closes(
    tracker: ProvenanceTracker, store: Store
) -> None:
    closed = []

    @track_tool(tracker=tracker)
    async def echo() -> Any:
        try:
            heard = yield "ready"
            try:
                yield f"heard {heard}"
            except ValueError as error:
                yield f"caught {error}"
        finally:
            closed.append(True)

    async def consume() -> list[Any]:
        talk = echo()
        said = [await anext(talk), await talk.asend("you"), await talk.athrow(ValueError("no"))]
        await talk.aclose()
        return said

    tracker.start_session("a")
    assert asyncio.run(consume()) == ["ready", "heard you", "caught no"]
    assert closed == [True]
    assert [(c[1], c[3]["yielded"]) for c in calls(store)] == [("partial", 3)]


def test_agent_is_a_session_and_its_agents_are_children(
    tracker: ProvenanceTracker, store: Store
) -> None:
    @track_agent(agent_type="inner", tracker=tracker)
    def inner(query: str) -> str:
        tracker.record_tool_call("f", "g", {})
        return query.upper()

    @track_agent(agent_type="outer", tracker=tracker)
    async def outer(query: str, limit: int = 3) -> list[str]:
        await asyncio.sleep(0)
        return [inner("sub " + query) for _ in range(limit)]

    @track_agent(agent_type="failing", tracker=tracker)
    def failing(question: str) -> None:
        raise LookupError(question)

    assert asyncio.run(outer("q", limit=2)) == ["SUB Q", "SUB Q"]
    with pytest.raises(LookupError):
        failing("nothing")
    assert tracker.current_session is None

    found = rows(store, "sessions")
    by_type = {row["agent_type"]: row for row in found}
    assert [(row["agent_type"], row["query"], row["state"]) for row in found] == [
        ("failing", "nothing", "failure"),
        ("outer", "q", "success"),
        ("inner", "sub q", "success"),
        ("inner", "sub q", "success"),
    ]
    assert orjson.loads(by_type["outer"]["kwargs"]) == {"limit": 2}
    assert by_type["failing"]["error_message"] == "LookupError: nothing"
    parents = {row["parent_session_id"] for row in found if row["agent_type"] == "inner"}
    assert parents == {by_type["outer"]["session_id"]}


def test_agent_that_yields_is_current_only_while_it_runs(
    tracker: ProvenanceTracker, store: Store
) -> None:
    @track_agent(agent_type="steps", tracker=tracker)
    def steps(query: str) -> Iterator[int]:
        for number in range(3):
            tracker.record_tool_call("f", f"step_{number}", {"query": query})
            yield number

    @track_agent(agent_type="async steps", tracker=tracker)
    async def async_steps(query: str) -> AsyncIterator[int]:
        for number in range(3):
            tracker.record_tool_call("f", f"step_{number}", {"query": query})
            yield number

    async def interleaved() -> None:
        first, second = async_steps("third"), async_steps("fourth")
        for _ in range(3):
            await anext(first)
            assert tracker.current_session is None
            await anext(second)
        await first.aclose()  # type: ignore[attr-defined]
        assert [number async for number in second] == []

    one, two = steps("first"), steps("second")
    for _ in range(3):
        next(one)
        assert tracker.current_session is None
        next(two)
    assert (list(one), list(two)) == ([], [])
    asyncio.run(interleaved())

    found = rows(store, "sessions")
    names = ("first", "second", "third", "fourth")
    counted = {row["query"]: (row["tool_call_count"], row["state"]) for row in found}
    assert counted == dict.fromkeys(names, (3, "success"))


class Doubling(BaseAgent):
    def run(self, query: str, **kwargs: Any) -> dict[str, Any]:
        self.log("working")
        if kwargs.get("fail"):
            raise ValueError(query)
        return {"answer": query * 2, **kwargs}


class Waiting(BaseAgent):
    async def run(self, query: str, **kwargs: Any) -> str:
        await asyncio.sleep(0)
        return query + "".join(kwargs)


def test_execute_is_tracked_and_run_is_not(
    tracker: ProvenanceTracker, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = Doubling(tracker=tracker)
    assert agent.execute("ab", n=1) == agent.run("ab", n=1) == {"answer": "abab", "n": 1}
    with pytest.raises(ValueError, match="cd"):
        agent.execute("cd", fail=True)
    assert asyncio.run(Waiting(tracker=tracker).execute("ef")) == "ef"
    silent = Doubling(enable_provenance=False)
    assert silent.execute("gh") == {"answer": "ghgh"}
    assert silent.tracker is None

    assert capsys.readouterr().out.count("[Doubling] [INFO] working\n") == 4
    found = rows(store, "sessions")
    assert [(row["agent_type"], row["query"], row["state"]) for row in found] == [
        ("Doubling", "ab", "success"),
        ("Doubling", "cd", "failure"),
        ("Waiting", "ef", "success"),
    ]
    assert orjson.loads(found[0]["result_summary"]) == {"answer": "abab", "n": 1}
    assert [row["action_count"] for row in found] == [3, 3, 2]


def test_recording_that_fails_changes_nothing_for_the_agent(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = ProvenanceTracker(manifest_dir=store.root)
    store.sessions_dir.rmdir()
    store.sessions_dir.write_bytes(b"")

    assert Doubling(tracker=tracker).execute("ab") == {"answer": "abab"}
    assert capsys.readouterr().err.count("not recorded") == 1
