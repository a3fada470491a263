"""idling: what a daemon costs that watches 5,000 sessions in which nothing happens."""

from __future__ import annotations

import time
from contextlib import closing

from corpus import ACTIONS_MIN, Shape, make_corpus

from projections.waiting import wait_until_visible
from provenance_log.appender import Appender
from provenance_log.store import open_store
from soaking.equality import differing_tables
from soaking.measuring import MIB, Outcome, Setting, share, spread
from soaking.processes import DaemonProcess, until

SESSIONS = 5000
SECONDS = 60.0
_LINES = 10
_CATCH_UP_S = 600.0
_QUIET_S = 5.0
_CPU_SHARE_MAX = 0.03
_VISIBLE_S_MAX = 3.0
_ACTION = {"type": "read", "tool": "Read", "status": "success"}


def idling(setting: Setting) -> Outcome:
    """Project many sessions, wait until it is quiet, measure, and append to the oldest."""
    outcome = Outcome("idling")
    root = setting.directory / "store"
    setting.say("making sessions")
    make_corpus(root, Shape(setting.sessions(SESSIONS), max(ACTIONS_MIN, _LINES)))
    store = open_store(root)
    directories = store.session_directories()
    with DaemonProcess(store, setting.directory / "daemon.log") as daemon:
        began = time.monotonic()
        setting.say("projecting")
        wait_until_visible(store, directories, timeout_s=_CATCH_UP_S)
        outcome.add("sessions", len(directories))
        outcome.add("from start to everything visible", f"{time.monotonic() - began:.1f} s")
        _wait_until_quiet(daemon)
        outcome.add("from start to all files written", f"{time.monotonic() - began:.1f} s")
        seconds = setting.seconds(SECONDS)
        setting.say(f"idle for {seconds:g} s")
        before_s = daemon.cpu_s
        time.sleep(seconds)
        idle_s = daemon.cpu_s - before_s
        outcome.add("processor time while idle", f"{idle_s:.2f} s of {seconds:g} s")
        outcome.add("idle CPU", share(idle_s, seconds))
        is_idle = idle_s <= seconds * _CPU_SHARE_MAX
        outcome.promise(is_idle, f"an idle daemon used {share(idle_s, seconds)} of a processor")
        took_s = []
        for _ in range(5):
            time.sleep(1.0)
            with closing(Appender(directories[0].log)) as appender:
                appender.append(_ACTION)
            began = time.monotonic()
            wait_until_visible(store, directories[:1], timeout_s=_CATCH_UP_S)
            took_s.append(time.monotonic() - began)
        outcome.add("a line in the oldest session visible after", spread(took_s))
        text = f"a line in the oldest session took {max(took_s):.1f} s to show"
        outcome.promise(max(took_s) <= _VISIBLE_S_MAX, text)
        outcome.add("peak memory of the daemon", f"{daemon.peak_bytes / MIB:.0f} MiB")
        outcome.add("said", "; ".join(notice["message"] for notice in daemon.notices))
        daemon.end()
    differing = differing_tables(store, setting.directory)
    outcome.promise(not differing, f"these tables are not what a rebuild gives: {differing}")
    return outcome


def _wait_until_quiet(daemon: DaemonProcess) -> None:
    """Wait until the daemon has done nothing for a while: its files are written."""

    def is_quiet() -> bool:
        before_s = daemon.cpu_s
        time.sleep(_QUIET_S)
        return daemon.cpu_s - before_s < _QUIET_S * 2 * _CPU_SHARE_MAX

    until(is_quiet, "the daemon to become quiet", _CATCH_UP_S)
