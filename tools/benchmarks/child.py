"""What a benchmark does in a process of its own: `python child.py TASK ARGUMENT…`, JSON out.

Each task times itself, so that the start of the process is nobody's cost, and the parent learns
from the kernel how much memory the process held.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This file is run as a script, from a directory that holds only a part of what it needs.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import duckdb
from sample_action import ACTION

import projections.projector
import projections.rebuild
from benchmarks.daemon_tasks import idle, visible
from benchmarks.measuring import Rounds, Setting, alternate
from benchmarks.peer_calls import Call, windows
from benchmarks.sql_recording import record_sql
from provenance_log.appender import Appender, Durability
from provenance_log.claude_code import importing
from provenance_log.recording import SessionHeader, start_session
from provenance_log.store import Store, initialise_store, open_store
from provenance_log.verifying import verify_logs

CATCH_UP_LINES = 100
_PREV = re.compile(rb',"prev":"[0-9a-f]{64}"')
_CHUNK_BYTES = 1 << 20


def rebuild(root: str) -> float:
    """Rebuild a store whose database was deleted; return seconds.

    Manifests, summaries and indices are made too, and written where they are not there yet.
    """
    store = open_store(Path(root))
    store.database.unlink(missing_ok=True)
    started = time.perf_counter()
    projections.rebuild.rebuild(store, verify=False)
    return time.perf_counter() - started


def flat_table(root: str, database: str) -> float:
    """Let DuckDB read the logs of a store into one flat table on disk; return seconds."""
    Path(database).unlink(missing_ok=True)
    logs = f"{open_store(Path(root)).sessions_dir}/*/actions.jsonl"
    started = time.perf_counter()
    with duckdb.connect(database) as connection:
        select = "SELECT * FROM read_ndjson_auto($logs)"
        connection.execute(f"CREATE TABLE actions AS {select}", {"logs": logs})
    return time.perf_counter() - started


def parquet(root: str, path: str) -> int:
    """Let DuckDB write the lines of a store as Parquet with zstd; return bytes."""
    logs = f"{open_store(Path(root)).sessions_dir}/*/actions.jsonl"
    options = "(FORMAT parquet, COMPRESSION zstd)"
    with duckdb.connect() as connection:
        select = "SELECT * FROM read_ndjson_auto($logs)"
        connection.execute(f"COPY ({select}) TO '{path}' {options}", {"logs": logs})
    return Path(path).stat().st_size


def log_sizes(root: str) -> tuple[int, int, int]:
    """Return the bytes of the logs, the bytes without the member `prev`, and the lines."""
    size_bytes = bare_bytes = count = 0
    for directory in open_store(Path(root)).session_directories():
        data = directory.log.read_bytes()
        size_bytes += len(data)
        bare_bytes += len(_PREV.sub(b"", data))
        count += data.count(b"\n")
    return size_bytes, bare_bytes, count


def verify(root: str) -> float:
    """Verify every log of a store; return seconds."""
    logs = [directory.log for directory in open_store(Path(root)).session_directories()]
    started = time.perf_counter()
    reports = list(verify_logs(logs))
    elapsed_s = time.perf_counter() - started
    assert all(report.exit_code == 0 for report in reports)
    return elapsed_s


def sha256(root: str) -> float:
    """Hash the bytes of every log of a store; return seconds."""
    logs = [directory.log for directory in open_store(Path(root)).session_directories()]
    started = time.perf_counter()
    for log in logs:
        digest = hashlib.sha256()
        with log.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        digest.hexdigest()
    return time.perf_counter() - started


def append_when_told(log: str, count: str) -> tuple[float, float]:
    """Open a log, wait for a line on stdin, append; return when that began and ended."""
    appender = Appender(Path(log))
    appender.append(ACTION)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.monotonic()
    for _ in range(int(count)):
        appender.append(ACTION)
    ended = time.monotonic()
    appender.close()
    return started, ended


def append_windows(log: str, durability: Durability, limit_s: str, *marks: str) -> Any:
    """Append as the peers record a call, see `peer_calls`; return seconds before each mark."""
    appender = Appender(Path(log), durability=durability)
    call: Call = lambda _: appender.append(ACTION)  # noqa: E731 - a function of one line
    found = windows(call, [int(mark) for mark in marks], float(limit_s))
    appender.close()
    return found


def catch_up(empty_root: str, history_root: str, repeat: str) -> Rounds:
    """Add 100 lines to each of two stores and catch up, round by round; return the seconds."""
    empty, history = open_store(Path(empty_root)), open_store(Path(history_root))
    setting = Setting(int(repeat), 1, empty.root, empty.root, lambda _: None)
    return alternate(
        setting,
        {"empty": lambda _: _catch_up(empty), "history": lambda _: _catch_up(history)},
    )


def _catch_up(store: Store) -> float:
    recording = start_session(store, SessionHeader(agent_type="bench"))
    action = {"type": "read", "tool": "Read", "status": "success", "duration_ms": 3}
    recording.append_many([action] * (CATCH_UP_LINES - 1))
    recording.close()
    started = time.perf_counter()
    projections.projector.catch_up(store)
    return time.perf_counter() - started


def import_transcripts(root: str, *paths: str) -> float:
    """Import transcripts into a fresh store; return seconds."""
    initialise_store(Path(root))
    store = open_store(Path(root))
    started = time.perf_counter()
    report = importing.import_transcripts(store, [Path(path) for path in paths])
    elapsed_s = time.perf_counter() - started
    assert report.added_count > 0
    return elapsed_s


def json_loads(*paths: str) -> float:
    """Decode every line of the transcripts, read beforehand, with the json module."""
    lines = [line for path in paths for line in Path(path).read_bytes().splitlines()]
    started = time.perf_counter()
    for line in lines:
        try:
            json.loads(line)
        except ValueError:  # transcripts have torn lines, which importers must stand as well
            continue
    return time.perf_counter() - started


_TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        append_when_told,
        append_windows,
        catch_up,
        flat_table,
        idle,
        import_transcripts,
        json_loads,
        log_sizes,
        parquet,
        rebuild,
        record_sql,
        sha256,
        verify,
        visible,
    )
}


if __name__ == "__main__":
    print(json.dumps(_TASKS[sys.argv[1]](*sys.argv[2:])))
