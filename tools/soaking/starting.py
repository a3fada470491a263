"""starting: two daemons started at once, again and again; one runs and the other says so."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

from projections.holders import holders
from projections.waiting import wait_until_visible
from soaking.equality import differing_tables
from soaking.load import APPENDERS, appenders
from soaking.measuring import Outcome, Setting, spread
from soaking.processes import DaemonProcess, children, until, wait_for_lines

TIMES = 100
RATE_HZ = 80
_CATCH_UP_S = 60.0
_CODES = {0, 1}
"""What the second daemon may end with."""


def starting(setting: Setting) -> Outcome:
    """Start two, look which one runs, end it."""
    outcome = Outcome("starting")
    store = setting.store()
    times = setting.times(TIMES)
    codes: Counter[int] = Counter()
    took_s = []
    with children(*appenders(store, RATE_HZ)) as started:
        wait_for_lines(store, APPENDERS)
        for number in range(1, times + 1):
            setting.say(f"{number} of {times}")
            began = time.monotonic()
            logs = [setting.directory / f"daemon-{number}-{side}.log" for side in "ab"]
            with DaemonProcess(store, logs[0]) as one, DaemonProcess(store, logs[1]) as two:
                until(partial(_has_ended, one, two), "one of two daemons to end")
                took_s.append(time.monotonic() - began)
                winner, loser = (one, two) if two.process.poll() is not None else (two, one)
                codes[loser.process.wait()] += 1
                _look_at(outcome, winner, loser, f"start {number}")
        for child in started:
            child.stop()
    with DaemonProcess(store, setting.directory / "daemon-last.log") as daemon:
        wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)
        daemon.end()
    differing = differing_tables(store, setting.directory)
    outcome.promise(not differing, f"at the end: {differing} differ")
    outcome.add("pairs started", times)
    outcome.promise(codes.keys() <= _CODES, f"the second daemon ended with {set(codes) - _CODES}")
    outcome.add("exit codes of the second", ", ".join(f"{k}: {codes[k]}×" for k in sorted(codes)))
    outcome.add("until the second ended", spread(took_s))
    return outcome


def _has_ended(*pair: DaemonProcess) -> bool:
    return any(daemon.process.poll() is not None for daemon in pair)


def _look_at(outcome: Outcome, winner: DaemonProcess, loser: DaemonProcess, name: str) -> None:
    """Note whether one runs, alone, and ends when it is told to."""
    outcome.promise("started" not in loser.events, f"{name}: both said that they started")
    winner.wait_until_it_said("started")
    pids = [item.pid for item in holders(winner.store.projector_lock)]
    outcome.promise(pids == [winner.pid], f"{name}: the lock is held by {pids}")
    outcome.promise(winner.end() == 0, f"{name}: it did not end with 0")
