"""load: eight processes append while a daemon projects and readers query."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from projections.database import connect
from projections.waiting import wait_until_visible
from provenance_log.store import Store
from soaking.equality import differing_tables
from soaking.measuring import MIB, Outcome, Setting, share, spread
from soaking.processes import DaemonProcess, children, provlog
from soaking.watching import delays

APPENDERS = 8
RATE_HZ = 1000
"""Actions a second, all appenders together."""

SECONDS = 60.0
_READ_S = 0.1
_CATCH_UP_S = 60.0


def appenders(store: Store, rate_hz: float = RATE_HZ) -> list[tuple[object, ...]]:
    """Return the tasks of the processes that append."""
    return [("append", store.root, rate_hz / APPENDERS)] * APPENDERS


def load(setting: Setting) -> Outcome:
    """Append, project and query at once; then look whether every line is there."""
    outcome = Outcome("load")
    store = setting.store()
    with DaemonProcess(store, setting.directory / "daemon.log") as daemon:
        daemon.wait_until_it_projects()
        _first_rows(store)
        watchers = (
            ("read", store.database, _READ_S),
            ("visible", store.root),
            ("locks", store.database, daemon.pid),
        )
        with children(*watchers, *appenders(store)) as started:
            queries = _Queries(store)
            setting.say("appending")
            queries.run(setting.seconds(SECONDS))
            appended = [child.stop() for child in started[3:]]
            setting.say("catching up")
            began = time.monotonic()
            directories = store.session_directories()
            wait_until_visible(store, directories, timeout_s=_CATCH_UP_S)
            outcome.add("caught up after the last append", f"{time.monotonic() - began:.2f} s")
            reads, seen, locks = (child.stop() for child in started[:3])
        outcome.add("peak memory of the daemon", f"{daemon.peak_bytes / MIB:.0f} MiB")
        outcome.add("processor time of the daemon", f"{daemon.cpu_s:.1f} s")
        daemon.end()
        show_appends(outcome, appended, seen)
        show_reads(outcome, reads)
        queries.show(outcome)
        show_locks(outcome, locks)
        show_end(outcome, setting, daemon, appended)
    return outcome


def _first_rows(store: Store) -> None:
    """Let the daemon make the database, so that no reader comes before there is one."""
    with children(("append", store.root, 1)) as (child,):
        child.stop()
    wait_until_visible(store, store.session_directories(), timeout_s=_CATCH_UP_S)


class _Queries:
    """`provlog query` every 100 ms, or as fast as it starts."""

    def __init__(self, store: Store) -> None:
        self._command = ("query", "--root", store.root, "SELECT count(*) FROM provenance_events")
        self._took_s: list[float] = []
        self._failed: list[str] = []

    def run(self, seconds: float) -> None:
        """Query for so long."""
        end = time.monotonic() + seconds
        pause = threading.Event()
        while (started := time.monotonic()) < end:
            done = provlog(*self._command)
            if done.returncode != 0:
                self._failed.append(done.stderr.strip())
            self._took_s.append(time.monotonic() - started)
            pause.wait(max(0.0, started + _READ_S - time.monotonic()))

    def show(self, outcome: Outcome) -> None:
        """Add the figures and the promise."""
        outcome.add("provlog query: runs", len(self._took_s))
        outcome.add("provlog query: whole process", spread(self._took_s))
        text = f"{len(self._failed)} of `provlog query` failed: {self._failed[:1]}"
        outcome.promise(not self._failed, text)


def show_appends(outcome: Outcome, appended: Sequence[Any], seen: Any) -> list[float]:
    """Add what the appenders met, and return the times from append to visible."""
    took_s = [took for item in appended for _, took, _ in item["appends"]]
    first = min(item["appends"][0][0] for item in appended)
    last = max(item["appends"][-1][0] for item in appended)
    outcome.add("appends", len(took_s))
    outcome.add("appends per second", round(len(took_s) / (last - first)))
    outcome.add("append", spread(took_s))
    found = [delay for item in appended for delay in delays(item["appends"], item["log"], seen)]
    outcome.add("append to visible", spread(found))
    outcome.add("looks at the checkpoints", len(seen))
    return found


def show_reads(outcome: Outcome, reads: dict[str, Any]) -> None:
    """Add what the reader with the DuckDB package met, and its promises."""
    outcome.add("duckdb package: readings", reads["count"])
    outcome.add("duckdb package: open, query, close", spread(reads["took_s"]))
    outcome.add("duckdb package: readings that found it held", len(reads["waited_s"]))
    outcome.add("duckdb package: attempts that found it held", reads["conflicts"])
    outcome.add("duckdb package: wait of those", spread(reads["waited_s"]))
    outcome.promise(not reads["starved"], f"{reads['starved']} readings found it held throughout")
    outcome.promise(not reads["refused"], f"a reading failed: {reads['refused'][:1]}")
    outcome.promise(not reads["wrong"], f"a reading was wrong: {reads['wrong'][:1]}")
    outcome.promise(not reads["shrunk"], "rows vanished between two readings")
    outcome.promise(reads["count"] > 0, "the reader never got a reading")


def show_locks(outcome: Outcome, locks: dict[str, Any]) -> None:
    """Add how long the database was locked, and the promise that the lock never vanished."""
    outcome.add("locks: samples", locks["samples"])
    outcome.add("locked for writing", share(locks["written"], locks["samples"]))
    outcome.add("locked at all", share(locks["locked"], locks["samples"]))
    outcome.add("daemon had the file open: samples", locks["opened"])
    outcome.add("of them with its lock", share(locks["covered"], locks["opened"]))
    outcome.add("longest time between two samples", f"{1000 * locks['pause_s_max']:.0f} ms")
    outcome.promise(not locks["vanished"], f"the daemon's lock vanished {locks['vanished'][:1]}")


def show_end(
    outcome: Outcome, setting: Setting, daemon: DaemonProcess, appended: Sequence[Any]
) -> None:
    """Add the promises about what is in the tables when all is over."""
    store = daemon.store
    with connect(store.database, read_only=True) as connection:
        counts = dict(
            connection.execute(
                "SELECT log, count(*) FROM provenance_events "
                "JOIN provenance_checkpoints USING (session_id) GROUP BY ALL"
            )
        )
    lost = {i["log"]: (i["lines"], counts.get(i["log"])) for i in appended}
    lost = {log: pair for log, pair in lost.items() if pair[0] != pair[1]}
    outcome.add("lines in SQL at the end", sum(counts.values()))
    outcome.promise(not lost, f"lines appended and in SQL differ: {lost}")
    differing = differing_tables(store, setting.directory)
    outcome.promise(not differing, f"these tables are not what a rebuild gives: {differing}")
    crashes = [n["message"] for n in daemon.notices if n["level"] in {"crash", "error"}]
    outcome.promise(not crashes, f"the daemon said: {crashes[:3]}")
