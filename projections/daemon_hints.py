"""Hints that a log may have changed: the one module that knows watchdog.

A hint only shortens the wait until the next look. It may be missing, late or doubled; the timed
rescan of `daemon` finds every line all the same. So whatever goes wrong here ends in polling,
never in a failure.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from provenance_log.store import LOG_NAME

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

Mode = Literal["watching", "polling"]
"""Whether the system tells us of changes, or only the timed rescan finds them."""

MISSES_MAX = 3
"""So many changes in a row that no hint announced, and we stop listening for hints."""

_RESTART_PAUSE_S = 1.0
_STOP_WAIT_S = 2.0
_READ_ONLY = frozenset({"opened", "closed", "closed_no_write"})

# Not the events of reading: when its queue overflows, watchdog opens every directory that it
# watches, and of some thousands the events of that alone make the queue overflow again, for ever.
_WANTED = (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
)

OVERFLOWS_MAX = 5
"""So many overflows within a minute, and hints cost more than they save: we stop listening."""

_STORM_S = 60.0
_OVERFLOW = "Inotify queue overflowed; filesystem events were lost"

# What it has to say, it says through us; Python would print its warnings on stderr.
logging.getLogger("watchdog").addHandler(logging.NullHandler())
logging.getLogger("watchdog").propagate = False


class Waker(FileSystemEventHandler):
    """Sets an event for every change that may concern a log, and never raises.

    An exception here would end watchdog's thread for good and silently.
    """

    def __init__(self, wake: threading.Event) -> None:
        super().__init__()
        self.hint_count = 0
        self._wake = wake

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one notification of the file system."""
        try:
            is_wanted = concerns_a_log(event)
        except Exception:  # noqa: BLE001 - a hint too many costs a look at the directories
            is_wanted = True
        if is_wanted:
            self.hint_count += 1
            self._wake.set()


class _Overflows(logging.Handler):
    """Hears watchdog say that the system dropped notifications: nobody else is told."""

    def __init__(self, wake: threading.Event) -> None:
        super().__init__(logging.WARNING)
        self.moments: deque[float] = deque(maxlen=OVERFLOWS_MAX)
        self._wake = wake

    @property
    def is_storm(self) -> bool:
        """Whether there was one after the other."""
        moments = tuple(self.moments)
        return len(moments) == OVERFLOWS_MAX and moments[-1] - moments[0] < _STORM_S

    def emit(self, record: logging.LogRecord) -> None:
        """Take one message of watchdog."""
        if str(record.msg).startswith(_OVERFLOW):
            self.moments.append(time.monotonic())
            self._wake.set()


def concerns_a_log(event: FileSystemEvent) -> bool:
    """Say whether a notification is worth a look: neither reading nor our own files are."""
    if event.event_type in _READ_ONLY:
        return False
    if event.is_directory:
        return event.event_type != "modified"
    names = (str(event.src_path), str(getattr(event, "dest_path", "")))
    return any(name.endswith(LOG_NAME) for name in names)


class Hints:
    """Keeps an observer running over a directory, or says that there is only polling.

    Used by one thread. No method raises for what the system refuses. After the system refused to
    watch at all (no inotify, no watches or instances left), it is not asked again.
    """

    def __init__(self, directory: Path, wake: threading.Event, *, is_polling: bool = False) -> None:
        self._directory = directory
        self._waker = Waker(wake)
        self._overflows = _Overflows(wake)
        self._told_of_overflow = False
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._is_given_up = is_polling
        self._next_start = 0.0
        self._missed_count = 0
        self._count_at_miss = 0

    @property
    def mode(self) -> Mode:
        """What the daemon has to rely on at the moment."""
        return "polling" if self._observer is None else "watching"

    def supervise(self) -> str | None:
        """Start the observer if it is not running over the directory as it is now.

        Returns what went wrong and what follows from it, once; None if there is nothing to say.
        """
        if self._is_given_up:
            return None
        directory = _identity(self._directory)
        if self._observer is not None:
            if directory == self._watched and _is_running(self._observer):
                return self._overflow()
            self.stop()
        if directory is None or time.monotonic() < self._next_start:
            return None
        is_first = self._next_start == 0.0
        problem = self._start(directory)
        if problem is None and not is_first:
            problem = "no hints came any more: the observer was started again"
        return problem

    def distrust(self) -> str | None:
        """Take note that a change came without a hint; returns what follows from it, or None."""
        if self._observer is None:
            return None
        self._missed_count += 1
        if self._waker.hint_count != self._count_at_miss:
            self._missed_count = 1
        self._count_at_miss = self._waker.hint_count
        self.stop()
        if self._missed_count < MISSES_MAX:
            return None  # the next look starts another observer
        return self._give_up("the system tells of no changes here")

    def stop(self) -> None:
        """End the observer's threads; safe to call at any time."""
        logging.getLogger("watchdog").removeHandler(self._overflows)
        observer, self._observer = self._observer, None
        if observer is not None:
            with suppress(Exception):
                observer.stop()
                observer.join(_STOP_WAIT_S)

    def _start(self, directory: tuple[int, int]) -> str | None:
        self._next_start = time.monotonic() + _RESTART_PAUSE_S
        observer = Observer()
        directory_count = _directory_count(self._directory)
        try:
            observer.schedule(
                self._waker, str(self._directory), recursive=True, event_filter=list(_WANTED)
            )
            observer.start()
        except Exception as error:  # noqa: BLE001 - a system without notifications can be polled
            with suppress(Exception):
                observer.stop()
            return self._give_up(f"changes can't be watched ({error})")
        logging.getLogger("watchdog").addHandler(self._overflows)
        self._observer, self._watched = observer, directory
        # Watchdog passes over a directory for which no watch is left, and says nothing.
        watch_count = _watch_count() or directory_count
        if watch_count < min(directory_count, _directory_count(self._directory)):
            self.stop()
            return self._give_up("no watches are left for some of the sessions")
        return None

    def _give_up(self, why: str) -> str:
        self._is_given_up = True
        return f"{why}: polling until the daemon is started again"

    def _overflow(self) -> str | None:
        """Say once that notifications were dropped; the look that they announced is under way."""
        if self._overflows.is_storm:
            self.stop()
            return self._give_up("the system's queue of notifications overflows all the time")
        if self._told_of_overflow or not self._overflows.moments:
            return None
        self._told_of_overflow = True
        return "the system's queue overflowed and notifications were lost: looking at every log"


def _is_running(observer: BaseObserver) -> bool:
    emitters = list(observer.emitters)
    return observer.is_alive() and bool(emitters) and all(item.is_alive() for item in emitters)


def _directory_count(directory: Path) -> int:
    return 1 + sum(len(names) for _, names, _ in os.walk(directory))


def _watch_count() -> int:
    """Return how many directories this process watches; 0 where the system does not tell."""
    count = 0
    try:
        for path in Path("/proc/self/fdinfo").iterdir():
            with suppress(FileNotFoundError):  # the descriptor by which the directory was read
                count += path.read_text("ascii", "replace").count("inotify wd:")
    except OSError:
        return 0
    return count


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
