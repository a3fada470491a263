"""What `child.py` does with a daemon: see lines become visible, and see it idle."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import duckdb
from sample_action import ACTION
from soaking.processes import DaemonProcess, until

from benchmarks.measuring import Rounds
from projections.daemon import IDLE_LOOKS, RESCAN_S
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
_SETTLING = 1.1 * IDLE_LOOKS * RESCAN_S
"""Seconds until a daemon in which nothing happens looks as seldom as it ever does."""
_SECONDS_MIN = 30.0
"""Shorter looks are no measurement, and don't wait for that."""


def visible(root: str, count: str, daemon_log: str) -> Rounds:
    """Append a line, wait until it shows, insert a row without us; return seconds of each.

    The row goes into a copy of the database: a daemon reads all of one that somebody else wrote
    to, to see whether it is damaged, which is no part of an append.
    """
    store = open_store(Path(root))
    rng = random.Random(7)  # pauses of no fixed length, lest they keep step with the daemon's
    values: Rounds = {"ours": [], "bare": []}
    bare = _bare_copy(store, Path(daemon_log).with_name("bare.duckdb"))
    with DaemonProcess(store, Path(daemon_log)) as daemon:
        recording = start_session(store, SessionHeader(agent_type="bench"))
        daemon.wait_until_it_projects()
        wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)
        for number in range(int(count) + 1):
            time.sleep(rng.uniform(*_PAUSES_S))
            ours_s = _until_visible(store, recording)
            time.sleep(rng.uniform(*_PAUSES_S))
            bare_s = _insert_bare(bare)
            if number:  # the first is a warm-up
                values["ours"].append(ours_s)
                values["bare"].append(bare_s)
        recording.end(success=True)
        daemon.end()
    bare.unlink()
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


def _bare_copy(store: Store, copy: Path) -> Path:
    """Copy the database, which nobody has open, and make a table like that of the events in it."""
    shutil.copyfile(store.database, copy)
    with connect(copy, read_only=False) as connection:
        connection.create("bench_events", "FROM provenance_events LIMIT 1")
    return copy


def _insert_bare(database: Path) -> float:
    """Return seconds of open, insert, commit and close with the DuckDB package alone."""
    started = time.perf_counter()
    connection = duckdb.connect(str(database))
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
        if float(seconds) >= _SECONDS_MIN:
            time.sleep(_SETTLING)
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
