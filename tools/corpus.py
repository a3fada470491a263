"""Make a synthetic store, for benchmarks and tests: the same arguments give the same bytes.

    python tools/corpus.py /tmp/corpus --sessions 1000 --actions 1000

Each session is a log from session_start to session_end, chained, with the mix of a session of a
research agent: files read and edited, commands, searches, calls of a pathway API, messages,
decisions, transformations, entity links and failures; about 460 bytes a line. Sessions are made
independently of each other, each from a seed of its own, by as many processes as there are cores.
"""

from __future__ import annotations

import argparse
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provenance_log.errors import ProvlogError
from provenance_log.format import GENESIS_PREV, encode_body, format_timestamp, line_hash
from provenance_log.recording import AGENT_TOOL, SessionHeader
from provenance_log.store import SessionDirectory, initialise_store, open_store
from provenance_log.terminal import progress

SEED = 7
ACTIONS_MIN = 2
"""A session has at least its first and its last line."""

_FIRST_START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_FAILURE_RATE = 0.04
_AGENTS = ("literature", "media-design", "genome-function", "claude-code")
_MODELS = ("model-large", "model-small")
_WORDS = ("growth", "medium", "lanthanide", "methanol", "strain", "pathway", "enzyme", "uptake")
_FILES = tuple(
    f"{folder}/{word}_{number}.{suffix}"
    for folder, suffix in (("src/agents", "py"), ("data/raw", "tsv"), ("docs", "md"))
    for word in _WORDS
    for number in range(4)
)
_COMMANDS = ("pytest -q tests", "git status --short", "ruff check .", "wc -l data/raw/*.tsv")
_PATHWAYS = ("map00680", "map00720", "map00010", "map00190", "map02010")
_BRANCHES = ("cache", "network", "skip")
_ERRORS = (("timeout", "no answer after 30 s"), ("not_found", "no such file or entry"))

Action = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a corpus consists of; two equal shapes are byte-identical stores."""

    sessions_count: int = 1000
    actions_count: int = 1000
    """Lines of each log, session_start and session_end among them."""
    seed: int = SEED

    @property
    def lines_count(self) -> int:
        """Lines of all logs."""
        return self.sessions_count * self.actions_count


def make_corpus(
    root: Path, shape: Shape, on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> int:
    """Make a store at `root` with the sessions of a shape, and return the bytes of its logs.

    The root must not hold sessions yet. `on_progress` is called with lines done and lines in all.
    Nothing is synced, and no database is made.
    """
    if shape.actions_count < ACTIONS_MIN:
        raise ProvlogError(f"a session has at least {ACTIONS_MIN} actions")
    initialise_store(root)
    store = open_store(root)
    if store.session_directories():
        raise ProvlogError("holds sessions already", path=root, hint="name a new directory")
    plans = []
    for number, started_at in enumerate(_start_times(shape)):
        directory = store.create_session_directory(started_at)
        (store.by_id_dir / _session_id(shape, number)).write_text(f"{directory.name}\n", "utf-8")
        plans.append((shape, number, started_at, directory))
    size_bytes = 0
    with ProcessPoolExecutor() as pool:
        for number, written in enumerate(pool.map(_write_session, plans, chunksize=4), start=1):
            size_bytes += written
            on_progress(number * shape.actions_count, shape.lines_count)
    return size_bytes


def _start_times(shape: Shape) -> Iterator[datetime]:
    rng = random.Random(f"{shape.seed}/starts")
    started_at = _FIRST_START
    for _ in range(shape.sessions_count):
        yield started_at
        started_at += timedelta(seconds=rng.randrange(0, 5400))


def _write_session(plan: tuple[Shape, int, datetime, SessionDirectory]) -> int:
    shape, number, started_at, directory = plan
    data = b"".join(_session_lines(shape, number, started_at))
    directory.log.write_bytes(data)
    return len(data)


def _session_lines(shape: Shape, number: int, started_at: datetime) -> Iterator[bytes]:
    """Yield the lines of one log with their newlines, each chained to the one before."""
    rng = random.Random(f"{shape.seed}/{number}")
    moment, prev = started_at, GENESIS_PREV
    for action_id, action in enumerate(_session_actions(rng, shape, number), start=1):
        timed = {"timestamp": format_timestamp(moment), **action, "database_event_id": _uuid(rng)}
        line = encode_body(timed).line(action_id, prev)
        prev = line_hash(line)
        yield line + b"\n"
        pause_us = rng.randrange(1_000, 4_000_000)
        moment += timedelta(microseconds=pause_us + 1000 * action.get("duration_ms", 0))


def _session_actions(rng: random.Random, shape: Shape, number: int) -> Iterator[Action]:
    yield _lifecycle("session_start", "success", _header(rng, shape, number).as_details())
    makers = rng.choices(_MAKERS, _WEIGHTS, k=shape.actions_count - ACTIONS_MIN)
    for make in makers:
        yield make(rng)
    is_success = rng.random() > _FAILURE_RATE
    end = {"success": is_success, "result_summary": {"actions": shape.actions_count}}
    yield _lifecycle("session_end", "success" if is_success else "failure", end)


def _header(rng: random.Random, shape: Shape, number: int) -> SessionHeader:
    is_child = number % 10 == 9
    return SessionHeader(
        agent_type=rng.choice(_AGENTS),
        query=f"How does {rng.choice(_WORDS)} depend on {rng.choice(_WORDS)}?",
        session_id=_session_id(shape, number),
        agent_version="1.4.2",
        model=rng.choice(_MODELS),
        user_context={"user": "researcher", "host": "bench", "git_branch": "main"},
        parent_session_id=_session_id(shape, number - 1) if is_child else None,
        depth=int(is_child),
        goals=(f"explain {rng.choice(_WORDS)}",),
        project="synthetic",
    )


def _session_id(shape: Shape, number: int) -> str:
    return _uuid(random.Random(f"{shape.seed}/id/{number}"))


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _lifecycle(name: str, status: str, details: Action) -> Action:
    event = {"event_type": "lifecycle", "event_name": name, "details": details}
    return {"type": "execute", "tool": AGENT_TOOL, "status": status, "read_only": True, **event}


def _call(rng: random.Random, type_: str, tool: str, details: Action, **more: object) -> Action:
    action = {
        "type": type_,
        "tool": tool,
        "status": "success",
        "duration_ms": rng.randrange(1, 900),
        "details": details,
        "read_only": type_ in {"read", "search", "query"},
        "event_type": "tool_call",
        "event_name": tool,
        **more,
    }
    if rng.random() < _FAILURE_RATE:
        code, message = rng.choice(_ERRORS)
        action |= {"status": "failure", "error": {"code": code, "message": message}}
        details.pop("output_data", None)
    return action


def _read(rng: random.Random) -> Action:
    path = rng.choice(_FILES)
    size_bytes = rng.randrange(200, 60_000)
    details = {"input_params": {"file_path": path}, "output_size_bytes": size_bytes}
    return _call(rng, "read", "Read", details, files_affected=[path])


def _bash(rng: random.Random) -> Action:
    output = {"exit_code": 0, "stdout": f"{rng.randrange(400)} passed"}
    details = {"input_params": {"command": rng.choice(_COMMANDS)}, "output_data": output}
    return _call(rng, "execute", "Bash", details)


def _grep(rng: random.Random) -> Action:
    found = {"files_count": rng.randrange(40), "matches_count": rng.randrange(400)}
    details = {"input_params": {"pattern": rng.choice(_WORDS), "path": "src"}, "output_data": found}
    return _call(rng, "search", "Grep", details)


def _edit(rng: random.Random) -> Action:
    path = rng.choice(_FILES)
    change = {"file_path": path, "old_string": rng.choice(_WORDS), "new_string": "uptake"}
    return _call(rng, "modify", "Edit", {"input_params": change}, files_affected=[path])


def _write(rng: random.Random) -> Action:
    path = rng.choice(_FILES)
    details = {"input_params": {"file_path": path, "content": f"# {rng.choice(_WORDS)}\n"}}
    return _call(rng, "create", "Write", details, files_affected=[path])


def _pathway(rng: random.Random) -> Action:
    pathway = rng.choice(_PATHWAYS)
    is_cached = rng.random() < 0.4
    details = {
        "tool_type": "api",
        "input_params": {"pathway": pathway},
        "output_data": {"genes": rng.randrange(90), "title": "methane"},
        "cache_hit": is_cached,
        "retry_count": int(not is_cached and rng.random() < 0.1),
    }
    link = {"entity_table": "pathways", "entity_id": pathway, "link_type": "queried"}
    return _call(rng, "query", "KEGGPathwayAPI", details, entity_links=[link])


def _decision(rng: random.Random) -> Action:
    branch = rng.choice(_BRANCHES)
    details = {
        "decision_type": "source",
        "decision_point": "choose_source",
        "input_values": {"age_days": rng.randrange(60)},
        "branch_taken": branch,
        "branches_available": list(_BRANCHES),
        "reason": f"{branch} has the {rng.choice(_WORDS)} data",
    }
    return _plain("decision", "Decide", "decision", "choose_source", details)


def _transformation(rng: random.Random) -> Action:
    rows = rng.randrange(10, 10_000)
    details = {
        "transformation_type": "aggregate",
        "transformation_name": "mean_growth",
        "input_size": rows,
        "output_schema": {"strain": "text", "rate": "number"},
        "output_size": rows // 10,
        "method": "mean",
    }
    event = _plain("analyze", "Aggregate", "transformation", "mean_growth", details)
    return {**event, "duration_ms": rng.randrange(1, 200)}


def _message(rng: random.Random) -> Action:
    details = {
        "text": f"The {rng.choice(_WORDS)} needs {rng.choice(_WORDS)}.",
        "message_id": f"msg_{rng.getrandbits(40):010x}",
        "usage": {"input_tokens": rng.randrange(20_000), "output_tokens": rng.randrange(900)},
    }
    return _plain("read", "Assistant", "log", "assistant_message", details)


def _entity_link(rng: random.Random) -> Action:
    link = {
        "entity_table": "strains",
        "entity_id": f"DSM {rng.randrange(100, 30_000)}",
        "link_type": "mentions",
    }
    event = _plain("analyze", "Link", "entity_link", "strain_mentioned", {})
    return {**event, "entity_links": [link]}


def _plain(type_: str, tool: str, event_type: str, event_name: str, details: Action) -> Action:
    event = {"event_type": event_type, "event_name": event_name, "details": details}
    return {"type": type_, "tool": tool, "status": "success", "read_only": True, **event}


_MIX: dict[Callable[[random.Random], Action], int] = {
    _read: 26,
    _bash: 20,
    _grep: 13,
    _edit: 10,
    _write: 4,
    _pathway: 10,
    _decision: 4,
    _transformation: 3,
    _message: 8,
    _entity_link: 2,
}
_MAKERS = tuple(_MIX)
_WEIGHTS = tuple(_MIX.values())


def main() -> None:
    """Make the corpus that the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, metavar="DIR", help="the store to make")
    parser.add_argument("--sessions", type=int, default=1000, help="default: %(default)s")
    parser.add_argument(
        "--actions",
        type=int,
        default=1000,
        help="lines of each session, the first and the last among them; default: %(default)s",
    )
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    arguments = parser.parse_args()
    shape = Shape(arguments.sessions, arguments.actions, arguments.seed)
    try:
        with progress("making the corpus") as on_progress:
            size_bytes = make_corpus(arguments.root, shape, on_progress)
    except ProvlogError as error:
        sys.exit(f"error: {error}")
    lines = shape.lines_count
    print(f"{lines:,} lines, {size_bytes:,} bytes, {size_bytes / max(lines, 1):.0f} bytes a line")


if __name__ == "__main__":
    main()
