"""The only write to a log: lock, look at the tail, number and chain, one write, unlock.

Many threads and many processes append to one log. The lock is `flock` on the log itself, so the
kernel frees it when a holder dies (invariant A9), and it is taken by every appender through a
descriptor of its own. A torn tail is sealed by a newline in front of the next write, never cut.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from provenance_log import files
from provenance_log.errors import (
    AppendNotWritten,
    AppendUnknown,
    IdConflict,
    WrongExpectedActionId,
)
from provenance_log.log_end import LogEnd
from provenance_log.log_growth import tail_after
from provenance_log.placing import Appended, Durability, Prepared, moved, place
from provenance_log.preparing import prepare
from provenance_log.reader import Tail, read_tail
from provenance_log.redact import Redactor
from provenance_log.store_redaction import redactor_for_log
from provenance_log.sync_gate import SyncGate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from provenance_log.event_index import EventIndex

__all__ = ["Appended", "Appender", "Durability"]

_DURABILITIES = frozenset(get_args(Durability))
_What = TypeVar("_What")
_appenders: weakref.WeakSet[Appender] = weakref.WeakSet()


class _OpenLog:
    """One descriptor of the log with what is known through it."""

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self.fd = fd
        self.inode, self.device = status.st_ino, status.st_dev
        self.tail: Tail | None = None
        """The end of the log, None where it has to be looked at."""
        self.last_tail: Tail | None = None
        """An end that the log had, of which others have appended since."""
        self.gate = SyncGate(fd)
        self.is_name_synced = False
        self._events: EventIndex | None = None

    @property
    def events(self) -> EventIndex:
        """The ids of the log's events, of which a writer of one line needs none."""
        if self._events is None:
            from provenance_log.event_index import EventIndex  # noqa: PLC0415

            self._events = EventIndex()
        return self._events


class Appender:
    """Appends actions to one log, from any thread of any process.

    Guarantees: when `append` returns, the line is in the log once and whole, readable by every
    process; with durability `process` it survives the death of this process, with `disk` also
    that of the machine. When `append` raises `AppendNotWritten`, nothing of it is there; when it
    raises `AppendUnknown`, the line is there but a sync failed. Neither is sticky: the next
    append tries again.

    Not guaranteed: anything on a file system without `flock` or atomic O_APPEND (NFS); an append
    from a signal handler that interrupts another one, which raises `AppendNotWritten`.
    """

    def __init__(
        self, path: Path, *, durability: Durability = "process", redactor: Redactor | None = None
    ) -> None:
        """Remember the log's path; it is opened, and made if need be, by the first append.

        Without a redactor, that of the store is used which the log is in, read when it is first
        needed; outside of a store, the default rules.
        """
        self.path = path.absolute()  # an agent may change its working directory
        self._path_text = str(self.path)
        self._directory = self.path.parent
        self._redactor = redactor
        self.durability: Durability = _checked(durability)
        self._mutex = threading.RLock()
        self._is_busy = False
        self._open: _OpenLog | None = None
        self._doubtful = range(0)
        """Offsets that a sync failed to bring to the disk; later syncs can't tell."""
        _appenders.add(self)

    def append(
        self,
        action: Mapping[str, Any],
        *,
        expected_action_id: int | None = None,
        durability: Durability | None = None,
    ) -> Appended:
        """Append one action and return where it stands.

        `timestamp` is stamped and `database_event_id` is made where absent. An event id that the
        caller gives is looked up first: with the same content the earlier position is returned,
        with other content `IdConflict` is raised. With `expected_action_id`, the append happens
        only if it would get this number, else `WrongExpectedActionId`. Raises `LineInvalid` for
        an action that breaks the schema.
        """
        return self._append([self._prepare(action)], expected_action_id, durability)[0]

    def append_many(
        self, actions: Sequence[Mapping[str, Any]], *, durability: Durability | None = None
    ) -> list[Appended]:
        """Append several actions in one write, all of them or none, with nothing in between.

        Only a kill or a power cut during that write may leave the first of them alone.
        """
        prepared = [self._prepare(action) for action in actions]
        return self._append(prepared, None, durability) if prepared else []

    def append_planned(
        self,
        plan: Callable[[LogEnd], Sequence[Mapping[str, Any]]],
        *,
        wait_s: float | None = None,
        durability: Durability | None = None,
    ) -> list[Appended]:
        """Append what a plan makes of the end of the log, which nobody changes meanwhile.

        For a writer that lives for one line: nothing is looked up but by the plan, which answers
        for its event ids being new. It must be quick, as it is called under the lock. Raises what
        `append_many` and the plan raise, and `LockHeld` where the lock is not free in `wait_s`.
        """
        level = self.durability if durability is None else _checked(durability)
        return self._locked(self._write_planned, plan, None, level, wait_s)

    def has_event(self, event_id: str) -> bool:
        """Say whether an event of this id is in the log.

        The first call reads the whole log, later ones what was added since.
        """
        with self._mutex:
            log = self._lock_current()
            try:
                log.events.catch_up(log.fd)
                return log.events.find(log.fd, event_id) is not None
            finally:
                self._unlock(log)

    def close(self) -> None:
        """Close the log; a later append opens it again."""
        with self._mutex:
            if not self._is_busy:
                self._discard()

    def _prepare(self, action: Mapping[str, Any]) -> Prepared:
        if self._redactor is None:
            self._redactor = redactor_for_log(self.path)
        return prepare(action, self._redactor, self._directory)

    def _append(
        self, batch: list[Prepared], expected: int | None, durability: Durability | None
    ) -> list[Appended]:
        level = self.durability if durability is None else _checked(durability)
        return self._locked(self._write, batch, expected, level, None)

    def _locked(
        self,
        write: Callable[[_OpenLog, _What, int | None, Durability], list[Appended]],
        what: _What,
        expected: int | None,
        durability: Durability,
        wait_s: float | None,
    ) -> list[Appended]:
        ticket = 0
        with self._mutex:
            if self._is_busy:
                message = "called while this thread was appending, as from a signal handler"
                raise AppendNotWritten(message, path=self.path)
            self._is_busy = True
            try:
                log = self._lock_current(wait_s)
                placed = write(log, what, expected, durability)
                if durability == "disk" and placed:
                    ticket = log.gate.enter()
            except OSError as error:
                message = f"nothing was appended: {error.strerror or error}"
                raise AppendNotWritten(message, path=self.path) from error
            finally:
                try:
                    # Also where a signal raised before the write: nobody else could append.
                    if self._open is not None:
                        self._unlock(self._open)
                finally:
                    self._is_busy = False
        if ticket:
            self._sync(log, ticket, placed)
        return placed

    def _write_planned(
        self,
        log: _OpenLog,
        plan: Callable[[LogEnd], Sequence[Mapping[str, Any]]],
        _expected: int | None,
        durability: Durability,
    ) -> list[Appended]:
        tail = log.tail or _tail_of(log)
        if tail.is_torn:
            tail = self._seal(log, tail)
        log.tail = tail
        batch = [self._prepare(action) for action in plan(LogEnd(log.fd))]
        return self._write_lines(log, tail, batch, durability) if batch else []

    def _write(
        self, log: _OpenLog, batch: list[Prepared], expected: int | None, durability: Durability
    ) -> list[Appended]:
        tail = log.tail = log.tail or _tail_of(log)
        if expected is not None and expected != tail.action_id + 1:
            message = f"the next action is {tail.action_id + 1}, not {expected}"
            raise WrongExpectedActionId(message, path=self.path)
        given = [(i, item) for i, item in enumerate(batch) if item.event_id is not None]
        if not given:
            return self._write_lines(log, tail, batch, durability)
        if tail.is_torn:
            tail = log.tail = self._seal(log, tail)
        known = self._already_there(log, given, durability)
        fresh = [item for i, item in enumerate(batch) if i not in known]
        rest = iter(self._write_lines(log, tail, fresh, durability) if fresh else ())
        return [known[i] if i in known else next(rest) for i in range(len(batch))]

    def _write_lines(
        self, log: _OpenLog, tail: Tail, batch: list[Prepared], durability: Durability
    ) -> list[Appended]:
        data, placed = place(batch, tail, durability)
        log.tail = None  # until the write is known to be whole
        end = files.append_bytes(log.fd, data, tail.size_bytes, self.path)
        if end != tail.size_bytes + len(data):
            return self._settle(log, batch, placed, end)
        last = placed[-1]
        log.tail = log.last_tail = Tail(end, last.hash, last.action_id, is_torn=False)
        return placed

    def _settle(
        self, log: _OpenLog, batch: list[Prepared], placed: list[Appended], end: int
    ) -> list[Appended]:
        """Find our lines again after somebody who does not lock wrote in front of them.

        They are unchained then, which readers report. Should that text have no newline, our first
        line is fused with it, and is written once more.
        """
        shift = end - (placed[-1].offset + placed[-1].length + 1)
        placed = [moved(item, shift) for item in placed]
        if os.pread(log.fd, 1, placed[0].offset - 1) != b"\n":
            placed[:1] = self._write_lines(log, read_tail(log.fd), batch[:1], placed[0].durability)
        return placed

    def _already_there(
        self, log: _OpenLog, given: list[tuple[int, Prepared]], durability: Durability
    ) -> dict[int, Appended]:
        known: dict[int, Appended] = {}
        if len({item.event_id for _, item in given}) < len(given):
            raise IdConflict("one batch holds the same event id twice", path=self.path)
        log.events.catch_up(log.fd)
        for i, item in given:
            found = log.events.find(log.fd, str(item.event_id))
            if found is None:
                continue
            if not found.is_same(item.action, ignore_time=item.is_stamped):
                message = f"the event {item.event_id} is in the log with other content"
                hint = "give the new event an id of its own"
                raise IdConflict(message, path=self.path, offset=found.offset, hint=hint)
            if durability == "disk" and found.offset in self._doubtful:
                message = f"a sync of the event {item.event_id} failed earlier"
                raise AppendUnknown(message, path=self.path, offset=found.offset)
            known[i] = Appended(
                found.action_id, found.offset, found.length, found.hash, durability, was_there=True
            )
        return known

    def _seal(self, log: _OpenLog, tail: Tail) -> Tail:
        """End a torn tail with a newline: it may be the very event, whole but for its newline."""
        log.tail = None
        files.append_bytes(log.fd, b"\n", tail.size_bytes, self.path)
        return read_tail(log.fd)

    def _lock_current(self, wait_s: float | None = None) -> _OpenLog:
        """Lock the log that its path names now (invariant A4); called with the mutex held."""
        while True:
            log = self._open
            if log is None:
                log = self._open = _OpenLog(*files.open_log(self.path.parent, self.path.name))
            files.lock(log.fd, self.path, wait_s=wait_s)
            try:
                status = os.lstat(self._path_text)
            except OSError as error:
                self._discard()
                if isinstance(error, FileNotFoundError):
                    continue
                message = f"the log can't be found: {error.strerror or error}"
                raise AppendNotWritten(message, path=self.path) from error
            if status.st_ino == log.inode and status.st_dev == log.device:
                if log.tail is not None and log.tail.size_bytes != status.st_size:
                    log.tail = None
                return log
            self._discard()  # the file was replaced while we waited

    def _sync(self, log: _OpenLog, ticket: int, placed: list[Appended]) -> None:
        try:
            log.gate.sync(ticket)
            if not log.is_name_synced:
                files.sync_directory(self.path.parent)
                log.is_name_synced = True
        except OSError as error:
            # The kernel may have dropped the pages, so this descriptor must not be synced again.
            with self._mutex:
                self._doubt(placed)
                if self._open is log:
                    self._discard()
            message = f"written, but it may not be on the disk: {error.strerror or error}"
            hint = "treat the action as not durable; later appends use a new descriptor"
            raise AppendUnknown(message, path=self.path, hint=hint) from error

    def _doubt(self, placed: list[Appended]) -> None:
        offsets = [item.offset for item in placed]
        offsets += [self._doubtful.start, self._doubtful.stop - 1] if self._doubtful else []
        self._doubtful = range(min(offsets), max(offsets) + 1)

    def _unlock(self, log: _OpenLog) -> None:
        # What was written stays acknowledged; closing the descriptor frees the lock as well.
        if not files.unlock(log.fd) and self._open is log:
            self._discard()

    def _discard(self) -> None:
        log, self._open = self._open, None
        if log is not None:
            files.unlock(log.fd)  # somebody may still be syncing it
            log.gate.close()

    def _begin_again_in_child(self) -> None:
        # A forked child shares the parent's file description, and with it the parent's lock, so
        # it must open the log for itself; the mutex may have been held by a thread that is gone.
        self._mutex = threading.RLock()
        self._is_busy = False
        log, self._open = self._open, None
        if log is not None:
            os.close(log.fd)


def _tail_of(log: _OpenLog) -> Tail:
    if log.last_tail is not None:
        tail = tail_after(log.fd, log.last_tail, os.fstat(log.fd).st_size)
        if tail is not None:
            return tail
    return read_tail(log.fd)


def _checked(durability: Durability) -> Durability:
    if durability not in _DURABILITIES:
        raise ValueError(f"durability is one of {get_args(Durability)}, not {durability!r}")
    return durability


def _after_fork_in_child() -> None:
    for appender in list(_appenders):
        appender._begin_again_in_child()  # noqa: SLF001  (the same module, for its own objects)


os.register_at_fork(after_in_child=_after_fork_in_child)
