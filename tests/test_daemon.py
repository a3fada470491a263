"""The daemon as people run it: real processes, real signals, and what others do to the database."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from archive_cases import archive, names_in, restored
from copying_cases import put
from projecting import Log, content_of, rebuilt
from rebuilding import beside, content, filled

from projections.database import connect
from projections.waiting import wait_until_visible
from provenance_log.archive_report import ArchiveOptions
from provenance_log.lock_files import exclusive_lock
from provenance_log.store import MANIFEST_NAME, Store

WAIT_S = 30.0
"""Only a failure takes this long."""

PROVLOG = (sys.executable, "-m", "provenance_log.cli")


class Running:
    """A daemon in a process of its own, and what it said so far."""

    def __init__(self, store: Store, log: Path, *options: str) -> None:
        self.store = store
        self.log = log
        command = [*PROVLOG, "daemon", "--root", str(store.root), "--log-json", *options]
        # Whoever runs the tests may ignore it, as `nohup` does, and a daemon respects that.
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, stderr=file)
        signal.signal(signal.SIGHUP, before)

    @property
    def said(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.log.read_bytes().split(b"\n")[:-1]]

    @property
    def events(self) -> list[str]:
        return [item["event"] for item in self.said]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


Start = Callable[..., Running]


@pytest.fixture
def start(store: Store, tmp_path: Path) -> Iterator[Start]:
    """Start a daemon over the store; whatever still runs at the end is killed."""
    started: list[Running] = []

    def begin(*options: str) -> Running:
        options = options or ("--rescan", "0.2", "--debounce", "10")
        started.append(Running(store, tmp_path / "daemon.log", *options))
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def see_everything(store: Store) -> None:
    wait_until_visible(store, store.session_directories(), timeout_s=WAIT_S)


def event_count(store: Store) -> int:
    with connect(store.database, read_only=True, wait_s=WAIT_S) as connection:
        return connection.count("provenance_events")


def test_what_was_appended_is_in_sql_after_wait(store: Store, start: Start) -> None:
    """B6: through the commands, from a store without a database to the files beside the logs."""
    log = Log(store, "2026-01-01", "s1")
    running = start()
    for number in range(1, 3):
        log.add()
        command = [*PROVLOG, "wait", "2026-01-01", "--root", str(store.root)]
        subprocess.run(command, check=True, timeout=WAIT_S)
        assert event_count(store) == 1 + number
    assert running.end(signal.SIGINT) == 0
    assert content(store) == rebuilt(store)


def test_a_signal_ends_the_daemon_with_0_and_the_lock_is_free(store: Store, start: Start) -> None:
    filled(store)
    running = start()
    see_everything(store)
    assert running.end(signal.SIGTERM) == 0
    assert (running.events[0], running.events[-1]) == ("started", "stopped")
    with exclusive_lock(store.projector_lock):
        assert content(store) == rebuilt(store)


def test_a_daemon_that_was_killed_leaves_tables_that_the_next_one_completes(
    store: Store, start: Start
) -> None:
    """B2: whatever was committed, and nothing twice."""
    logs = [Log(store, f"2026-01-0{number}", f"s{number}") for number in range(1, 4)]
    for _ in range(2):
        running = start()
        see_everything(store)
        for log in logs:
            for _ in range(20):
                log.add()
        running.end(signal.SIGKILL)
    last = start()
    see_everything(store)
    assert last.end() == 0
    assert content(store) == rebuilt(store)
    manifests = [store.sessions_dir / log.path.parent.name / MANIFEST_NAME for log in logs]
    assert all(path.exists() for path in manifests)


def test_of_two_daemons_one_runs_and_the_other_names_it(store: Store, start: Start) -> None:
    """B7: it ends well; `provlog project` meanwhile names it and fails."""
    filled(store)
    running = start()
    see_everything(store)
    for command, code, told in (
        (["daemon"], 0, "already running: process"),
        (["daemon", "--detach"], 0, "already running: process"),
        (["project", "--wait", "0"], 1, "held by process"),
    ):
        done = subprocess.run(
            [*PROVLOG, *command, "--root", str(store.root)],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == code
        assert f"{told} {running.process.pid}" in done.stdout + done.stderr
    assert running.process.poll() is None


def test_of_daemons_started_at_the_same_moment_one_runs_and_the_others_end_well(
    store: Store, tmp_path: Path
) -> None:
    """B7: also while the one that has the lock has not said yet that it is a daemon."""
    daemons = [Running(store, tmp_path / f"{number}.log") for number in range(3)]
    try:
        until(lambda: sum(item.process.poll() is None for item in daemons) == 1)
        (running,) = [item for item in daemons if item.process.poll() is None]
        see_everything(store)
        assert [item.process.returncode for item in daemons if item is not running] == [0, 0]
        assert [item.events for item in daemons if item is not running] == [["already_running"]] * 2
        assert running.end() == 0
    finally:
        for item in daemons:
            item.process.kill()
            item.process.wait()


def test_a_projector_that_is_no_daemon_is_waited_for(store: Store, start: Start) -> None:
    filled(store)
    with exclusive_lock(store.projector_lock):
        stopped, running = start(), start()
        until(lambda: stopped.events.count("waiting") == 2)
        assert f"for process {os.getpid()} (" in stopped.said[0]["message"]
        assert stopped.end() == 0
    see_everything(store)
    assert running.end(signal.SIGHUP) == 0
    assert running.events[-1] == "stopped"


def test_somebody_who_has_the_database_open_delays_rows_but_no_append(
    store: Store, start: Start
) -> None:
    """F50: told once, and caught up as soon as it is free."""
    log = Log(store, "2026-01-01", "s1")
    running = start()
    see_everything(store)
    # The daemon may still be busy with the database for which everybody waited.
    with connect(store.database, read_only=True, wait_s=WAIT_S) as reader:
        for _ in range(5):
            log.add()
        until(lambda: "held" in running.events)
        assert reader.count("provenance_events") == 1
    see_everything(store)
    until(lambda: "recovered" in running.events)
    assert running.events.count("held") == 1
    assert str(os.getpid()) in next(x["message"] for x in running.said if x["event"] == "held")
    assert content(store) == rebuilt(store)


def delete(database: Path) -> None:
    database.unlink()


def overwrite(database: Path) -> None:
    database.write_bytes(b"\xa5" * 200_000)


def truncate(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def test_a_database_that_is_deleted_damaged_or_stale_is_made_anew(
    store: Store, start: Start
) -> None:
    """C3, F54: while the daemon runs, with nothing new in the logs."""
    filled(store)
    running = start()
    see_everything(store)
    for number, harm in enumerate((delete, overwrite, truncate), start=1):
        # A reader keeps the daemon out while the file is changed under it.
        with connect(store.database, read_only=True, wait_s=WAIT_S):
            harm(store.database)
        until(rebuilt_times(running, number))
    with connect(store.database, read_only=False, wait_s=WAIT_S) as connection:
        connection.execute("UPDATE provenance_definitions SET fingerprint = 'x'")
    until(rebuilt_times(running, 4))
    assert running.end() == 0
    assert content(store) == rebuilt(store)
    assert len([name for name in beside(store) if ".corrupt-" in name]) >= 1


def rebuilt_times(running: Running, count: int) -> Callable[[], bool]:
    return lambda: running.events.count("rebuilt") == count


def test_a_session_that_is_archived_meanwhile_leaves_the_tables_and_comes_back(
    store: Store, start: Start
) -> None:
    """Nobody calls it gone, the rows of one are kept, and no file is written for either."""
    for number in (1, 2, 3):
        put(store, f"d{number}", content_of(f"s{number}", ["tool call", "end"]))
    running = start()
    see_everything(store)
    directories = [store.sessions_dir / f"d{number}" for number in (1, 2, 3)]
    until(lambda: all((path / "summary.md").exists() for path in directories))
    whole = event_count(store)

    archive(store, "d1")
    archive(store, "d2", options=ArchiveOptions(keep_rows=True))
    until(lambda: event_count(store) == whole - 3)
    restored(store, "s1")
    until(lambda: event_count(store) == whole)

    assert running.end() == 0
    assert content(store) == rebuilt(store)
    assert names_in(store.sessions_dir) == ["d1", "d3"]
    said = running.log.read_text()  # watchdog may add a warning of its own when a watch moves
    assert re.findall('"event": "(incident|files|log|failed)"', said) == []
