"""killing: `kill -9` of the daemon at random moments under load, and a look after each restart."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from projections.waiting import wait_until_visible
from provenance_log.store import Store
from soaking.equality import differing_tables
from soaking.load import APPENDERS, appenders
from soaking.measuring import Outcome, Setting, spread
from soaking.processes import DaemonProcess, children, wait_for_lines

TIMES = 200
RATE_HZ = 80
_LIFE_S_MAX = 1.0
_CATCH_UP_S = 60.0


def killing(setting: Setting) -> Outcome:
    """Kill, restart, catch up, compare; again and again."""
    outcome = Outcome("killing")
    store = setting.store()
    times = setting.times(TIMES)
    took_s, wals = [], 0
    with children(*appenders(store, RATE_HZ)) as started:
        wait_for_lines(store, APPENDERS)
        for number in range(1, times + 1):
            setting.say(f"{number} of {times}")
            log = setting.directory / f"daemon-{number}.log"
            with DaemonProcess(store, log) as daemon:
                took_s.append(_catch_up(store))
                differing = differing_tables(store, setting.directory)
                outcome.promise(not differing, f"after kill {number - 1}: {differing} differ")
                _tell_of_crashes(outcome, daemon, number)
                time.sleep(setting.random.uniform(0, _LIFE_S_MAX))
                daemon.end(signal.SIGKILL)
            wals += _wal(store).exists()
            if number % 4 == 0:  # killed before it has done anything
                _start_and_kill(store, setting, number)
        appended = [child.stop() for child in started]
    log = setting.directory / "daemon-last.log"
    with DaemonProcess(store, log) as daemon:
        took_s.append(_catch_up(store))
        daemon.end()
    differing = differing_tables(store, setting.directory)
    outcome.promise(not differing, f"at the end: {differing} differ")
    outcome.add("kills", times)
    outcome.add("kills in the first half second besides", times // 4)
    outcome.add("kills that left a write-ahead log", wals)
    outcome.add("lines at the end", sum(item["lines"] for item in appended))
    outcome.add("from start to caught up", spread(took_s))
    outcome.add("comparisons with a rebuild", times + 1)
    return outcome


def _start_and_kill(store: Store, setting: Setting, number: int) -> None:
    with DaemonProcess(store, setting.directory / f"daemon-{number}-early.log") as daemon:
        time.sleep(setting.random.uniform(0, 0.5))
        daemon.end(signal.SIGKILL)


def _catch_up(store: Store) -> float:
    began = time.monotonic()
    wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)
    return time.monotonic() - began


def _tell_of_crashes(outcome: Outcome, daemon: DaemonProcess, number: int) -> None:
    bad = [item["message"] for item in daemon.notices if item["level"] in {"crash", "error"}]
    outcome.promise(not bad, f"start {number}: the daemon said {bad[:2]}")
    anew = [item["message"] for item in daemon.notices if item["event"] == "rebuilding"]
    outcome.promise(not anew, f"start {number}: a kill cost the database, {anew[:2]}")


def _wal(store: Store) -> Path:
    return store.database.with_name(f"{store.database.name}.wal")
