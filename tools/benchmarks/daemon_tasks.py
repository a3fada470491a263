"""What `child.py` does with a daemon: see lines become visible, and see it idle."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import duckdb
from sample_action import ACTION
from soaking.processes import DaemonProcess, until

from benchmarks.measuring import Rounds
from projections.database import connect
from projections.waiting import wait_until_visible
from provenance_log.errors import ProvlogError
from provenance_log.recording import Recording, SessionHeader, start_session
from provenance_log.store import Store, open_store

_CATCH_UP_S = 600.0
_LOOK_S = 0.001
_PAUSES_S = (0.15, 0.35)
_LATE_S = 30.0
_QUIET_S_MAX = 5.0
_QUIET_SHARE = 0.03


def visible(root: str, count: str, daemon_log: str) -> Rounds:
    """Append a line, wait until it shows, insert a row without us; return seconds of each."""
    store = open_store(Path(root))
    rng = random.Random(7)  # pauses of no fixed length, lest they keep step with the daemon's
    values: Rounds = {"ours": [], "bare": []}
    with DaemonProcess(store, Path(daemon_log)) as daemon:
        recording = start_session(store, SessionHeader(agent_type="bench"))
        daemon.wait_until_it_projects()
        wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)
        _make_bare_table(store)
        for number in range(int(count) + 1):
            time.sleep(rng.uniform(*_PAUSES_S))
            ours_s = _until_visible(store, recording)
            time.sleep(rng.uniform(*_PAUSES_S))
            bare_s = _insert_bare(store)
            if number:  # the first is a warm-up
                values["ours"].append(ours_s)
                values["bare"].append(bare_s)
        recording.end(success=True)
        daemon.end()
    return values


def _until_visible(store: Store, recording: Recording) -> float:
    """Append one line and return seconds until a reader has found it in the tables."""
    before = _status(store.database)
    started = time.perf_counter()
    done = recording.append(ACTION)
    sql = "SELECT count(*) FROM provenance_events WHERE session_id = ? AND sequence_number = ?"
    wanted = (recording.session_id, done.action_id)
    while time.perf_counter() - started < _LATE_S:
        found = _status(store.database)
        if found != before:
            before = found
            with connect(store.database, read_only=True) as connection:
                if connection.execute(sql, wanted) == [(1,)]:
                    return time.perf_counter() - started
        time.sleep(_LOOK_S)
    raise ProvlogError(f"a line did not show within {_LATE_S:g} s", path=store.database)


def _status(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _make_bare_table(store: Store) -> None:
    with connect(store.database, read_only=False) as connection:
        connection.create("bench_events", "FROM provenance_events LIMIT 1")


def _insert_bare(store: Store) -> float:
    """Return seconds of open, insert, commit and close, once nobody else is at the database."""
    while True:
        started = time.perf_counter()
        try:
            connection = duckdb.connect(str(store.database))
        except duckdb.IOException:  # held by the daemon; what was waited is not counted
            time.sleep(_LOOK_S)
            continue
        connection.execute("BEGIN")
        connection.execute("INSERT INTO bench_events FROM bench_events LIMIT 1")
        connection.execute("COMMIT")
        connection.close()
        return time.perf_counter() - started


def idle(root: str, seconds: str, daemon_log: str) -> dict[str, Any]:
    """Let a daemon project a store and become quiet, and return what it takes from then on."""
    store = open_store(Path(root))
    with DaemonProcess(store, Path(daemon_log)) as daemon:
        wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)

        quiet_s = min(_QUIET_S_MAX, float(seconds))

        def is_quiet() -> bool:
            before_s = daemon.cpu_s
            time.sleep(quiet_s)
            return daemon.cpu_s - before_s < quiet_s * _QUIET_SHARE

        until(is_quiet, "the daemon to become quiet", _CATCH_UP_S)
        before_s = daemon.cpu_s
        time.sleep(float(seconds))
        cpu_s = daemon.cpu_s - before_s
        found = {
            "cpu_s": cpu_s,
            "resident_bytes": daemon.resident_bytes,
            "peak_bytes": daemon.peak_bytes,
        }
        daemon.end()
    return found
