"""How each peer records one tool call: `python peer_calls.py PEER DIRECTORY LIMIT MARK…`.

This runs in the environment of the peers, which knows nothing of ours, and prints JSON: for each
mark the seconds per call of the calls just before it, and null for what was not reached within
the limit of seconds. Telemetry is off, see `PRIVATE` in `tools/bench_peers.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[[int], Any]
WINDOW = 100
INPUT = {"file_path": "src/agents/growth_media.py", "limit": 200}
OUTPUT = {"lines_count": 200, "encoding": "utf-8"}


def arcaeon(directory: Path) -> Call:
    """A hash-chained JSONL ledger: lock, read the tail, write, fsync."""
    from arcaeon.record.ledger import Ledger

    ledger = Ledger(directory / "ledger.jsonl")
    return lambda _: ledger.append({"tool": "Read", "input": INPUT, "output": OUTPUT, "ok": True})


def clawmetry(directory: Path) -> Call:
    """A DuckDB store; an event is durable once the ring in memory is flushed."""
    return _clawmetry(directory, is_flushed=True)


def clawmetry_ring(directory: Path) -> Call:
    """The same without a flush of ours: its thread flushes every 2 s, and a kill loses those."""
    return _clawmetry(directory, is_flushed=False)


def _clawmetry(directory: Path, *, is_flushed: bool) -> Call:
    os.environ["CLAWMETRY_LOCAL_STORE_PATH"] = str(directory / "store.duckdb")
    from clawmetry import local_store

    local_store.mark_writer_owner()
    store = local_store.get_store()

    def call(number: int) -> None:
        event = {"id": str(number), "node_id": "n", "event_type": "tool_call"}
        data = {"tool": "Read", "input": INPUT, "output": OUTPUT}
        store.ingest({**event, "ts": "2026-01-01T00:00:00Z", "data": data})
        if is_flushed:
            store.flush()

    return call


def eventsourcing(directory: Path) -> Call:
    """An event store on SQLite; a tool call is an event of an aggregate, saved at once."""
    os.environ["PERSISTENCE_MODULE"] = "eventsourcing.sqlite"
    os.environ["SQLITE_DBNAME"] = str(directory / "events.sqlite")
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate, event

    class Session(Aggregate):
        @event("ToolCalled")
        def called(self, tool: str, given: Any, output: Any) -> None:
            pass

    application: Any = Application()
    session = Session()
    application.save(session)

    def call(_: int) -> None:
        session.called("Read", INPUT, OUTPUT)
        application.save(session)

    return call


def agent_strace(directory: Path) -> Call:
    """A directory of traces; a decorated function writes its call and its result."""
    from agent_trace import start_session, trace_tool

    start_session(name="bench", trace_dir=str(directory / "traces"))

    @trace_tool
    def read(file_path: str, limit: int) -> dict[str, Any]:
        return OUTPUT

    return lambda _: read(**INPUT)


def verityledger(directory: Path) -> Call:
    """A hash-chained store below the working directory; a decorated function writes its call."""
    os.chdir(directory)
    from verityledger import Tracer

    session = Tracer().session(agent="bench").__enter__()

    @session.trace_tool
    def read(file_path: str, limit: int) -> dict[str, Any]:
        return OUTPUT

    return lambda _: read(**INPUT)


def flowcept(directory: Path) -> Call:
    """A buffer in memory, which is dumped when the workflow ends; a task is a tool call."""
    os.chdir(directory)
    from flowcept import Flowcept, FlowceptTask

    Flowcept(workflow_name="bench").__enter__()

    def call(_: int) -> None:
        with FlowceptTask(activity_id="Read", used=INPUT) as task:
            task.end(generated=OUTPUT)

    return call


PEERS: dict[str, Callable[[Path], Call]] = {
    "arcaeon": arcaeon,
    "clawmetry": clawmetry,
    "clawmetry-ring": clawmetry_ring,
    "eventsourcing": eventsourcing,
    "agent-strace": agent_strace,
    "verityledger": verityledger,
    "flowcept": flowcept,
}


def windows(call: Call, marks: list[int], limit_s: float) -> list[float | None]:
    """Call until the last mark or the limit; return seconds per call before each mark."""
    found: list[float | None] = []
    began = time.perf_counter()
    number = 0
    for mark in marks:
        started = began
        while number < mark and time.perf_counter() - began < limit_s:
            if number == mark - WINDOW:
                started = time.perf_counter()
            call(number)
            number += 1
        is_reached = number == mark
        found.append((time.perf_counter() - started) / WINDOW if is_reached else None)
    return found


if __name__ == "__main__":
    name, where, limit, *numbers = sys.argv[1:]
    target = Path(where)
    answer = windows(PEERS[name](target), [int(n) for n in numbers], float(limit))
    print(json.dumps(answer), flush=True)
    os._exit(0)  # some of them have threads that never end
