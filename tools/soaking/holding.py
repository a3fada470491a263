"""holding: somebody has the database open for long, first for reading, then for writing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from projections.waiting import wait_until_visible
from provenance_log.store import Store
from soaking.load import appenders, show_end, show_locks
from soaking.measuring import Outcome, Setting, percentile, spread
from soaking.processes import Child, DaemonProcess, children, provlog

SECONDS = 30.0
RATE_HZ = 400
_CATCH_UP_S_MAX = 15.0
_CATCH_UP_S = 60.0
_SLOWER_MAX = 2.0
_NOISE_S = 0.001


def holding(setting: Setting) -> Outcome:
    """Append throughout; hold, let go, and look whether the daemon catches up."""
    outcome = Outcome("holding")
    store = setting.store()
    seconds = setting.seconds(SECONDS)
    phases: list[tuple[str, float, float]] = []
    with DaemonProcess(store, setting.directory / "daemon.log") as daemon:
        daemon.wait_until_it_projects()
        watch = ("locks", store.database, daemon.pid)
        with children(*appenders(store, RATE_HZ), watch) as (*appending, locks):
            time.sleep(1.0)
            phases.append(_phase("free", setting, seconds / 3))
            for mode in ("read", "write"):
                phases.append(_held(outcome, setting, store, mode, seconds))
                _catch_up(outcome, store, mode)
            appended = [child.stop() for child in appending]
            show_locks(outcome, locks.stop())
        wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)
        outcome.add("said", ", ".join(daemon.events))
        for event in ("held", "recovered"):
            outcome.promise(event in daemon.events, f"the daemon did not say {event!r}")
        daemon.end()
        _show_appends(outcome, appended, phases)
        show_end(outcome, setting, daemon, appended)
    return outcome


def _phase(name: str, setting: Setting, seconds: float) -> tuple[str, float, float]:
    setting.say(name)
    began = time.monotonic()
    time.sleep(seconds)
    return name, began, time.monotonic()


def _held(
    outcome: Outcome, setting: Setting, store: Store, mode: str, seconds: float
) -> tuple[str, float, float]:
    with children(("hold", store.database, mode)) as (holder,):
        holder.wait_for_word()
        phase = _phase(f"held for {mode}", setting, seconds)
        _ask_who_holds(outcome, store, holder, mode)
        outcome.add(f"held for {mode}: it took to get it", f"{holder.stop():.2f} s")
    return phase


def _ask_who_holds(outcome: Outcome, store: Store, holder: Child, mode: str) -> None:
    done = provlog("status", "--root", store.root)
    is_named = str(holder.process.pid) in done.stdout
    outcome.add(f"held for {mode}: status names the holder", "yes" if is_named else "no")
    text = f"held for {mode}, status does not name process {holder.process.pid}"
    outcome.promise(is_named, text)


def _catch_up(outcome: Outcome, store: Store, mode: str) -> None:
    began = time.monotonic()
    wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)
    took_s = time.monotonic() - began
    outcome.add(f"held for {mode}: caught up afterwards in", f"{took_s:.2f} s")
    outcome.promise(took_s <= _CATCH_UP_S_MAX, f"catching up took {took_s:.1f} s")


def _show_appends(
    outcome: Outcome, appended: Sequence[Any], phases: Sequence[tuple[str, float, float]]
) -> None:
    medians = []
    for name, began, ended in phases:
        took_s = [
            took for item in appended for at, took, _ in item["appends"] if began <= at < ended
        ]
        outcome.add(f"append, database {name}", spread(took_s))
        medians.append(percentile(took_s, 0.5))
    worst = max(medians[1:])
    is_unaffected = worst <= medians[0] * _SLOWER_MAX + _NOISE_S
    text = f"appends took {1000 * worst:.2f} ms while it was held, {1000 * medians[0]:.2f} before"
    outcome.promise(is_unaffected, text)
