"""The daemon: wait for a hint or for the rescan interval, then catch up; for as long as it runs.

    hints (daemon_hints) ─┐
    rescan interval ──────┴─> look at the logs ─> batch by batch ─> files ─> wait

The logs are looked at without the database, which is open for one batch at a time and not at all
while there is nothing to do. The checkpoints stay in memory meanwhile; a database that is not as
we left it is looked at again before it is trusted.

Nothing that happens to the database, the disk or the directories ends the daemon: it says what is
wrong once, tries again with growing pauses, and says when it is over. The logs grow meanwhile.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from projections import rebuild
from projections.daemon_database import ClosedDatabase, DatabaseChanged, Doubt
from projections.daemon_files import QUIET_S, DerivedFiles
from projections.daemon_hints import Hints
from projections.daemon_notices import Complaints, Notice
from provenance_log import lock_files
from provenance_log.archive_index import mark_of_index
from provenance_log.errors import DatabaseCorrupt, LockHeld, ProvlogError
from provenance_log.store import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projections.daemon_notices import Level
    from projections.work import Tally
    from provenance_log.store import Store

RESCAN_S = 2.0
DEBOUNCE_S = 0.1

IDLE_LOOKS = 30
"""So many looks in a row without a change or a hint, and the daemon looks more seldom."""
IDLE_FACTOR = 5
"""How many times as long as the rescan interval it then waits, while the system tells of changes.

A look costs one `lstat` for each log, which of thousands is more than being idle should cost.
"""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_NAMED_MAX = 3
_WORK_DECAY = 0.9
"""So that one long batch is soon forgotten, and none of two alternating lengths."""


class Daemon:
    """Projects the logs of one store until it is stopped.

    `run` belongs to one thread; `stop` may be called from any other. `tell` is called from the
    thread of `run` and must not raise.

    With no hint at all, a line that is appended is projected within the rescan interval, or within
    `IDLE_FACTOR` of them after `IDLE_LOOKS` in which nothing happened, as long as the database can
    be had and a batch takes no longer than those before it. Where changes are only polled for, it
    is always the rescan interval. Memory grows with the size of a batch and the number of sessions.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[Notice], None],
        *,
        rescan_s: float = RESCAN_S,
        debounce_s: float = DEBOUNCE_S,
        is_polling: bool = False,
    ) -> None:
        self._store = store
        self._tell = tell
        self._rescan_s = rescan_s
        self._debounce_s = debounce_s
        self._stop = threading.Event()
        self._wake = threading.Event()
        self.hints = Hints(store.sessions_dir, self._wake, is_polling=is_polling)
        self._database = ClosedDatabase(store, tell, self._stop.is_set)
        self._complaints = Complaints(tell)
        self._files = DerivedFiles(store, self._database, self._complaints)
        self._logs_seen: int | None = None
        """How the logs looked when everything in them was projected."""
        self._is_hinted = True
        self._pause_s = 0.0
        self._failing_since: float | None = None
        self._looked_at = 0.0
        self._work_s = 0.0
        """How long a look with its batches is expected to take."""
        self._line_count = 0
        self._idle_count = 0
        """Looks in a row for which there was no reason but the time."""

    def stop(self) -> None:
        """Ask `run` to return after the batch it is working on, in a rebuild as well."""
        self._stop.set()
        self._wake.set()

    def run(self) -> None:
        """Take the projector's lock and project until `stop` is called.

        Raises `LockHeld`, naming the holder, when another projector is at work.
        """
        with lock_files.exclusive_lock(self._store.projector_lock):
            self.run_locked()

    def run_locked(self, after_look: Callable[[], None] = lambda: None) -> None:
        """Project until `stop` is called, for a caller that holds the projector's lock.

        Calls `after_look`, which must not raise, after every look at the logs. Raises `LockHeld`
        when the lock file is no longer the one that was locked: then another daemon may start any
        time.
        """
        lock = self._store.projector_lock
        locked = _identity(lock)
        try:
            self._start()
            while not self._stop.is_set():
                _check_lock(lock, locked)
                self._look()
                after_look()
                self._wait()
        finally:
            self.hints.stop()
        self._say("info", "stopped", f"lines projected: {self._line_count}")

    def _say(self, level: Level, event: str, message: str) -> None:
        self._tell(Notice(level, event, message))

    def _start(self) -> None:
        problem = self.hints.supervise()
        where = f"{self._store.root}, {self.hints.mode}, rescan every {self._rescan_s:g} s"
        self._say("info", "started", where)
        self._say_of_hints(problem)
        with rebuild.named_errors(self._store):
            rebuild.remove_leftovers(self._store)

    def _say_of_hints(self, problem: str | None) -> None:
        if problem is not None:
            self._say("warning", self.hints.mode, problem)

    def _look(self) -> None:
        """Catch up once; what is in the way is told, and tried again later."""
        problem = self.hints.supervise()
        if problem is not None:
            self._say_of_hints(problem)
            self._is_hinted = True  # what came before it was started could not be announced
        self._wake.clear()  # before the look: what comes later is a reason for the next one
        try:
            with rebuild.named_errors(self._store):
                self._catch_up()
        except DatabaseChanged:
            self._logs_seen = None
            self._wake.set()
        except rebuild.RebuildAbandoned:
            self._say("info", "abandoned", "the rebuild; the next start begins it again")
        except ProvlogError as error:
            self._logs_seen = None
            if isinstance(error, DatabaseCorrupt):
                self._database.doubt = Doubt(error.message, is_damaged=True)
            self._complaints.failed(error)
            self._pause_s = self._pause_after_failure()
        else:
            self._complaints.worked()
            self._pause_s, self._failing_since = 0.0, None

    def _pause_after_failure(self) -> float:
        """Return a tenth of the time that nothing has worked, within limits.

        So a database that is held in turn by many readers is tried nearly all the time until it
        can be had, and one that a notebook holds for hours now and then.
        """
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        longest_s = min(self._rescan_s, _LONGEST_PAUSE_S)
        return min(max((now - self._failing_since) / 10, _FIRST_PAUSE_S), longest_s)

    def _catch_up(self) -> None:
        self._looked_at = time.monotonic()
        logs = _look_of_logs(self._store)
        if self._database.make_sure():
            self._logs_seen = None
        is_changed = logs != self._logs_seen and self._project()
        if is_changed and not self._is_hinted and not self._wake.is_set():
            self._say_of_hints(self.hints.distrust())
        if logs != self._logs_seen:
            problems = self._database.projector.problems
            self._complaints.about("log", problems)
            self._logs_seen = None if problems or self._stop.is_set() else logs
        is_quiet = not is_changed and not self._is_hinted
        self._idle_count = self._idle_count + 1 if is_quiet and not self._files.is_due else 0
        self._files.refresh(is_idle=not self._wake.is_set(), is_quiet=is_quiet)

    def _project(self) -> bool:
        """Project what is new, batch by batch; returns whether there was anything."""
        projector = self._database.projector
        if not projector.plan().sessions:
            return False
        work = projector.next_work()
        while work is not None and not self._stop.is_set():
            with self._database.opened() as connection:
                tally = projector.apply(connection, work)
            self._count(tally)
            work = projector.next_work()  # decoded while the database is closed
        return True

    def _count(self, tally: Tally) -> None:
        self._line_count += tally.lines
        self._files.touch(tally.session_ids)
        names = ", ".join(sorted(tally.session_ids)[:_NAMED_MAX])
        if tally.quarantined:
            message = f"unreadable lines: {tally.quarantined}, see `provlog status` ({names})"
            self._say("warning", "quarantined", message)
        if tally.incidents:
            message = f"incidents: {tally.incidents}, see `provlog status` ({names})"
            self._say("warning", "incident", message)

    def _wait(self) -> None:
        if self._pause_s:
            self._is_hinted = True  # hints that come during the pause are not waited for after it
            self._stop.wait(self._pause_s)
            return
        ended_at = time.monotonic()
        # What was appended just after the logs were looked at has waited for the work already,
        # and is to be visible, not only found, within the interval.
        worked_s = ended_at - self._looked_at
        self._work_s = min(max(worked_s, self._work_s * _WORK_DECAY), self._rescan_s / 2)
        left_s = self._longest_wait_s() - worked_s - self._work_s
        self._is_hinted = self._wake.wait(max(left_s, self._debounce_s))
        # The first hint after some quiet is followed at once; those of a burst are collected.
        rest_s = ended_at + self._debounce_s - time.monotonic()
        if self._is_hinted and rest_s > 0:
            self._stop.wait(rest_s)

    def _longest_wait_s(self) -> float:
        if self._files.is_due:
            return min(self._rescan_s, QUIET_S)
        is_idle = self._idle_count >= IDLE_LOOKS and self.hints.mode == "watching"
        return self._rescan_s * (IDLE_FACTOR if is_idle else 1)


def _look_of_logs(store: Store) -> int:
    """Return a number that changes when any log, or the archive's index, did by its status.

    Costs a tenth of a plan, which is what an idle daemon spends its time on.
    Raises `StoreNotFound` when the directory of sessions is not there.
    """
    try:
        with os.scandir(store.sessions_dir) as found:
            marks = [_mark(entry.path) for entry in found]
    except OSError:
        store.session_directories()
        raise
    return hash((frozenset(marks), mark_of_index(store)))


def _mark(directory: str) -> tuple[str, tuple[int, ...]]:
    try:
        found = os.stat(f"{directory}/{LOG_NAME}", follow_symlinks=False)  # noqa: PTH116 - speed
    except OSError as error:
        return directory, (error.errno or 0,)
    return directory, (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _check_lock(lock: Path, locked: tuple[int, int] | None) -> None:
    """Raise `LockHeld` unless the lock file is still the one that we hold (invariant B7)."""
    if not lock.parent.exists():
        return  # the disk of the store may come back, and the lock with it
    if _identity(lock) != locked:
        message = "the lock file was removed or replaced while the daemon ran"
        hint = "start the daemon again; nothing is lost"
        raise LockHeld(message, path=lock, hint=hint)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
