"""The only write to a log: lock, look at the tail, number and chain, one write, unlock.

Many threads and many processes append to one log. The lock is `flock` on the log itself, so the
kernel frees it when a holder dies (invariant A9), and it is taken by every appender through a
descriptor of its own. A torn tail is sealed by a newline in front of the next write, never cut.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from provenance_log import blobs, files
from provenance_log.errors import AppendUnknown, IdConflict, LineInvalid, WrongExpectedActionId
from provenance_log.event_index import EventIndex
from provenance_log.format import (
    COLUMN_INTEGER_MAX,
    LINE_BYTES_MAX,
    Body,
    encode_body,
    format_timestamp,
    line_hash,
)
from provenance_log.reader import Tail, read_tail
from provenance_log.redact import redact
from provenance_log.sync_gate import SyncGate
from provenance_log.values import representable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Durability = Literal["process", "disk"]

_NUMBER_AND_PREV_BYTES = 80
_appenders: weakref.WeakSet[Appender] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an action stands in the log, and what it survives."""

    action_id: int
    offset: int
    """Byte offset of the line's first byte."""
    length: int
    """Bytes of the line without its newline."""
    hash: str
    durability: Durability
    was_there: bool = False
    """True when the same event was in the log already and nothing was written."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    action: dict[str, Any]
    body: Body
    event_id: str | None
    """The event id that the caller gave, None when it was made here."""
    is_stamped: bool
    """True when the time was put in here, so that a retry may carry another one."""


class _OpenLog:
    """One descriptor of the log with what is known through it."""

    def __init__(self, fd: int) -> None:
        status = os.fstat(fd)
        self.fd = fd
        self.identity = (status.st_dev, status.st_ino)
        self.tail: Tail | None = None
        self.gate = SyncGate(fd)
        self.events = EventIndex()
        self.is_name_synced = False


class Appender:
    """Appends actions to one log, from any thread of any process.

    Guarantees: when `append` returns, the line is in the log once and whole, readable by every
    process; with durability `process` it survives the death of this process, with `disk` also
    that of the machine. When `append` raises `AppendNotWritten`, nothing of it is there; when it
    raises `AppendUnknown`, the line is there but a sync failed. Neither is sticky: the next
    append tries again.

    Not guaranteed: anything on a file system without `flock` or atomic O_APPEND (NFS).
    """

    def __init__(self, path: Path, *, durability: Durability = "process") -> None:
        """Remember the log's path; it is opened, and made if need be, by the first append."""
        self.path = path
        self.durability: Durability = durability
        self._mutex = threading.Lock()
        self._open: _OpenLog | None = None
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
        prepared = self._prepare(action)
        return self._append([prepared], expected_action_id, durability or self.durability)[0]

    def append_many(
        self, actions: Sequence[Mapping[str, Any]], *, durability: Durability | None = None
    ) -> list[Appended]:
        """Append several actions in one write, all of them or none, with nothing in between."""
        prepared = [self._prepare(action) for action in actions]
        return self._append(prepared, None, durability or self.durability) if prepared else []

    def has_event(self, event_id: str) -> bool:
        """Say whether an event of this id is in the log.

        The first call reads the whole log, later ones what was added since.
        """
        with self._locked() as log:
            log.events.catch_up(log.fd)
            return event_id in log.events

    def close(self) -> None:
        """Close the log; a later append opens it again."""
        with self._mutex:
            self._discard()

    def _prepare(self, action: Mapping[str, Any]) -> _Prepared:
        value = redact(representable(action))
        event_id = value.get("database_event_id")
        is_stamped = value.get("timestamp") is None
        if is_stamped:
            value["timestamp"] = format_timestamp(datetime.now(UTC))
        if event_id is None:
            value["database_event_id"] = str(uuid.uuid4())
        body = encode_body(value)
        if _size_bytes(body) > LINE_BYTES_MAX:
            value = blobs.move_large_members(value, self.path.parent)
            body = encode_body(value)
            if _size_bytes(body) > LINE_BYTES_MAX:
                message = "longer than a line may be, even with its details moved to blobs"
                raise LineInvalid("too_long", message)
        return _Prepared(value, body, event_id, is_stamped)

    def _append(
        self, batch: list[_Prepared], expected: int | None, durability: Durability
    ) -> list[Appended]:
        with self._locked() as log:
            tail = log.tail or read_tail(log.fd)
            log.tail = None  # until the write is known to be whole
            if expected is not None and expected != tail.action_id + 1:
                log.tail = tail
                message = f"the next action is {tail.action_id + 1}, not {expected}"
                raise WrongExpectedActionId(message, path=self.path)
            known = self._already_there(log, batch, durability)
            data, placed = _place(batch, known, tail, durability)
            if data:
                files.append_bytes(log.fd, data, tail.size_bytes, self.path)
                end = tail.size_bytes + len(data)
                last = placed[-1] if placed else None
                tail = Tail(end, last.hash, last.action_id, is_torn=False) if last else tail
            log.tail = tail
            if durability == "disk":
                log.gate.enter()
        if durability == "disk":
            self._sync(log, tail.size_bytes)
        fresh = iter(placed)
        return [known[i] if i in known else next(fresh) for i in range(len(batch))]

    def _already_there(
        self, log: _OpenLog, batch: list[_Prepared], durability: Durability
    ) -> dict[int, Appended]:
        known: dict[int, Appended] = {}
        given = [(i, item) for i, item in enumerate(batch) if item.event_id is not None]
        if not given:
            return known
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
            known[i] = Appended(
                found.action_id, found.offset, found.length, found.hash, durability, was_there=True
            )
        return known

    @contextmanager
    def _locked(self) -> Iterator[_OpenLog]:
        """Hold the mutex and the lock of the log that its path names now (invariant A4)."""
        with self._mutex:
            log = self._lock_current()
            try:
                size_bytes = os.fstat(log.fd).st_size
                if log.tail is not None and log.tail.size_bytes != size_bytes:
                    log.tail = None
                yield log
            finally:
                files.unlock(log.fd)

    def _lock_current(self) -> _OpenLog:
        while True:
            log = self._open
            if log is None:
                fd = files.open_log(self.path.parent, self.path.name)
                log = self._open = _OpenLog(fd)
            files.lock(log.fd)
            try:
                status = self.path.lstat()
            except FileNotFoundError:
                self._discard()
                continue
            if (status.st_dev, status.st_ino) == log.identity:
                return log
            self._discard()  # the file was replaced while we waited

    def _sync(self, log: _OpenLog, end: int) -> None:
        try:
            log.gate.sync(end)
            if not log.is_name_synced:
                files.sync_directory(self.path.parent)
                log.is_name_synced = True
        except OSError as error:
            # The kernel may have dropped the pages, so this descriptor must not be synced again.
            with self._mutex:
                if self._open is log:
                    self._discard()
            message = f"written, but it may not be on the disk: {error.strerror or error}"
            hint = "treat the action as not durable; later appends use a new descriptor"
            raise AppendUnknown(message, path=self.path, hint=hint) from error

    def _discard(self) -> None:
        if self._open is not None:
            self._open.gate.close()
            self._open = None

    def _begin_again_in_child(self) -> None:
        # A forked child shares the parent's file description, and with it the parent's lock, so
        # it must open the log for itself; the mutex may have been held by a thread that is gone.
        self._mutex = threading.Lock()
        if self._open is not None:
            os.close(self._open.fd)
            self._open = None


def _size_bytes(body: Body) -> int:
    return len(body.head) + len(body.rest) + _NUMBER_AND_PREV_BYTES


def _place(
    batch: list[_Prepared], known: dict[int, Appended], tail: Tail, durability: Durability
) -> tuple[bytes, list[Appended]]:
    """Number and chain the new actions of a batch; return the bytes of the one write."""
    pieces = [b"\n"] if tail.is_torn else []
    offset = tail.size_bytes + len(pieces)
    action_id, prev = tail.action_id, tail.prev
    placed: list[Appended] = []
    for i, item in enumerate(batch):
        if i in known:
            continue
        action_id += 1
        if action_id > COLUMN_INTEGER_MAX:
            raise LineInvalid("number_out_of_range", "the log has all the actions it can number")
        line = item.body.line(action_id, prev)
        prev = line_hash(line)
        placed.append(Appended(action_id, offset, len(line), prev, durability))
        pieces += (line, b"\n")
        offset += len(line) + 1
    return (b"".join(pieces) if placed else b""), placed


def _after_fork_in_child() -> None:
    for appender in list(_appenders):
        appender._begin_again_in_child()  # noqa: SLF001  (the same module, for its own objects)


os.register_at_fork(after_in_child=_after_fork_in_child)
