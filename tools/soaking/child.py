"""What a soak run does in a process of its own: `python child.py TASK ARGUMENT…`, JSON out.

A task ends when its standard input is closed, so none outlives the run that started it.
"""

from __future__ import annotations

import errno
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This file is run as a script, from a directory that holds only a part of what it needs.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import duckdb
from sample_action import ACTION

from provenance_log.cli import main as provlog
from provenance_log.recording import SessionHeader, start_session
from provenance_log.store import open_store
from soaking import reading, watching


def append(stopped: threading.Event, root: str, rate_hz: str) -> dict[str, Any]:
    """Append to a session of its own at a steady rate.

    Returns the log, how many lines were acknowledged, and of each append its moment, how long it
    took, and the byte after its line. The moment is in `details` too, for who reads it there.
    """
    recording = start_session(open_store(Path(root)), SessionHeader(agent_type="soak"))
    appends = []
    pause_s = 1 / float(rate_hz)
    due = time.monotonic()
    while not stopped.wait(max(0.0, due - time.monotonic())):
        started = time.monotonic()
        details = {**ACTION["details"], "appended_at": started}
        done = recording.append({**ACTION, "details": details})
        appends.append((started, time.monotonic() - started, done.offset + done.length + 1))
        due += pause_s
    recording.end(success=True)
    log = recording.directory.name
    return {"log": log, "lines": len(appends) + 2, "appends": appends}


def read(stopped: threading.Event, database: str, pause_s: str) -> dict[str, Any]:
    """Query with the DuckDB package, opened read-only, again and again."""
    return reading.read_all_the_time(Path(database), float(pause_s), stopped).as_dict()


def visible(stopped: threading.Event, root: str) -> list[tuple[float, dict[str, int]]]:
    """Look at the checkpoints whenever the database was written."""
    return watching.watch_checkpoints(open_store(Path(root)), stopped)


def locks(stopped: threading.Event, database: str, pid: str) -> dict[str, Any]:
    """Look at the locks of the database, and at what the daemon has open."""
    return watching.watch_locks(Path(database), int(pid), stopped).as_dict()


def hold(stopped: threading.Event, database: str, mode: str) -> float:
    """Have the database open, `read` or `write`, and return how long it took to get it."""
    started = time.monotonic()
    while True:
        try:
            connection = duckdb.connect(database, read_only=mode == "read")
            break
        except duckdb.IOException:
            time.sleep(0.002)
    waited_s = time.monotonic() - started
    connection.execute("SELECT count(*) FROM provenance_events")
    print("held", flush=True)
    stopped.wait()
    connection.close()
    return waited_s


def daemon(fault: str, *arguments: str) -> None:
    """Be `provlog daemon` with something broken inside."""
    _FAULTS[fault]()
    sys.argv = ["provlog", "daemon", *arguments]
    provlog()


def _suppress_hints() -> None:
    """Let no notification of the file system arrive."""
    from projections.daemon_hints import Waker  # noqa: PLC0415 - the other tasks need none of it

    Waker.dispatch = lambda _self, _event: None  # type: ignore[method-assign, assignment]


def _kill_observer() -> None:
    """Let the observer's thread end by itself, once, after a while."""
    from watchdog.observers.api import BaseObserver  # noqa: PLC0415 - as above

    dispatch = BaseObserver.dispatch_events
    due = [time.monotonic() + 2.0]

    def dispatch_or_die(self: Any, queue: Any) -> None:
        if due and time.monotonic() > due[0]:
            due.clear()
            raise SystemExit  # ends this thread only, and without a word
        dispatch(self, queue)

    BaseObserver.dispatch_events = dispatch_or_die  # type: ignore[method-assign, assignment]


def _refuse_watches() -> None:
    """Have no watches left, where the real limit can't be set."""
    from watchdog.observers.api import BaseObserver  # noqa: PLC0415 - as above

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    BaseObserver.schedule = refuse  # type: ignore[method-assign, assignment]


_FAULTS: dict[str, Callable[[], None]] = {
    "suppressed": _suppress_hints,
    "observer": _kill_observer,
    "watches": _refuse_watches,
}
_TASKS: dict[str, Callable[..., Any]] = {
    "append": append,
    "hold": hold,
    "locks": locks,
    "read": read,
    "visible": visible,
}


def _stopped_by_stdin() -> threading.Event:
    stopped = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=wait, daemon=True).start()
    return stopped


if __name__ == "__main__":
    if sys.argv[1] == "daemon":
        daemon(*sys.argv[2:])
    else:
        print(json.dumps(_TASKS[sys.argv[1]](_stopped_by_stdin(), *sys.argv[2:])))
