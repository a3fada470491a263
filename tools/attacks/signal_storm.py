"""A storm of signals, a thousand in a second, while threads append and share syncs."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

from sample_action import ACTION

from attacks.effort import Effort
from attacks.postcheck import CUT, SOUND, Expected, violations
from attacks.scoring import Attacked
from provenance_log.appender import Appender
from provenance_log.errors import ProvlogError
from provenance_log.store import LOG_NAME

THREADS = 3
APPENDS = 40
_EVERY_S = 0.001
_WAIT_S = 60.0
"""For all threads together; only a failure takes this long."""


class Interrupted(Exception):
    """What a handler of signals raises, wherever the main thread is."""


class _Storm:
    """Counts the signals, and raises at some of them where it is told to."""

    def __init__(self, random: Random, *, is_raising: bool) -> None:
        self.count = 0
        self._random = random
        self._is_raising = is_raising
        self.is_open = False
        """Whether somebody is ready to catch what is raised."""

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._is_raising and self.is_open and self._random.random() < 0.2:
            raise Interrupted

    @contextmanager
    def blowing(self) -> Iterator[None]:
        """Send the signals, to the main thread, and end with nobody sent one any more."""
        before = signal.signal(signal.SIGALRM, self)
        signal.setitimer(signal.ITIMER_REAL, _EVERY_S, _EVERY_S)
        try:
            yield
        finally:
            self.is_open = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def signals(effort: Effort, *, is_raising: bool) -> Attacked:
    """Append from threads and the main thread of this process, to which all signals go.

    A handler that raises interrupts an append of the main thread: that event may be there once or
    not at all. Every other one is there, once and whole. It may cost a descriptor: no Python
    program can keep one that a handler takes from it between opening or letting go of a log and the
    next statement. Only the main thread can call this.
    """
    kind = "that raise" if is_raising else "that do nothing"
    row = Attacked(f"signals: append, handlers {kind}", "faults")
    for number in effort.numbers():
        store = effort.store(f"storm-{number}")
        log = store.sessions_dir / "storm" / LOG_NAME
        log.parent.mkdir()
        storm = _Storm(effort.random(number), is_raising=is_raising)
        expected, found = _append_all(log, storm)
        found += violations(store, [expected], effort.directory)
        if is_raising:
            found = [text for text in found if not text.startswith("a descriptor is open")]
        row.violated(found, f"seed {effort.seed}, {number}, in {store.root}")
        row.runs += 1
        row.injected += storm.count
        if not found:
            shutil.rmtree(store.root)
    return row


def _append_all(log: Path, storm: _Storm) -> tuple[Expected, list[str]]:
    appender = Appender(log, durability="disk")
    acked: dict[str, dict[str, object]] = {"first": {**ACTION, "database_event_id": "first"}}
    appender.append(acked["first"])
    unknown: set[str] = set()
    found: list[str] = []

    def work(name: str) -> None:
        for number in range(APPENDS):
            event_id = f"{name}-{number}"
            unknown.add(event_id)
            action = {**ACTION, "database_event_id": event_id}
            try:
                storm.is_open |= name == "main"
                appender.append(action)
                storm.is_open &= name != "main"
            except Interrupted:
                storm.is_open = False
                continue
            except ProvlogError as error:
                found.append(f"an append failed because of a signal: {error}")
                continue
            acked[event_id] = action
            unknown.discard(event_id)

    threads = [threading.Thread(target=work, args=(f"t{n}",), daemon=True) for n in range(THREADS)]
    with storm.blowing():
        for thread in threads:
            thread.start()
        work("main")
        deadline = time.monotonic() + _WAIT_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    found += ["a thread hangs" for thread in threads if thread.is_alive()]
    appender.close()
    return Expected(log, acked, unknown, CUT if unknown else SOUND), found
