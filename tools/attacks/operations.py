"""What is done under faults: an operation with a store, step by step, and what it acknowledges.

An operation gets texts only and runs in a child of a `ForkServer`, which stops itself first, so
that somebody can attach to it. It notes each event before and after it is appended, outside of
the store, and how it ended. Everything it needs is imported before the fork.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from sample_action import ACTION

from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log import files
from provenance_log.appender import Appender
from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_report import ArchiveOptions
from provenance_log.archiving import archive_sessions
from provenance_log.claude_code.arrivals import Arrival, to_spool
from provenance_log.claude_code.recorder import drain_store
from provenance_log.copy_choice import Choice
from provenance_log.copying import copy_sessions
from provenance_log.errors import ProvlogError
from provenance_log.recording import SessionHeader, start_session
from provenance_log.spool import write_spooled
from provenance_log.store import Store, open_store
from provenance_log.store_redaction import redactor_of

__all__ = ["SABOTAGES", "TASKS", "Notes", "spool_some"]

APPENDS = 3
THREADS = 3
STARTED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPOOLED_SESSION = "99999999-aaaa-4bbb-8ccc-dddddddddddd"


class Notes:
    """What an operation said of itself, in a file that nobody injects anything into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def say(self, *words: str) -> None:
        """Note a line, at once, by a call that no fault is injected into."""
        if self._fd is None:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        line = (" ".join(words).replace("\n", " ") + "\n").encode()
        os.writev(self._fd, [line])

    def said(self, word: str) -> list[str]:
        """Return what follows each line that begins with this word."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [rest for first, _, rest in (line.partition(" ") for line in lines) if first == word]

    @contextmanager
    def of(self, *event_ids: str) -> Iterator[None]:
        """Note that events are begun, and that they were acknowledged."""
        self.say("begun", *event_ids)
        yield
        self.say("acked", *event_ids)


def _event(event_id: str) -> dict[str, object]:
    return {**ACTION, "database_event_id": event_id}


def _append(store: Store, notes: Notes, name: str) -> None:
    """Append one by one; what was not written is tried again by the same appender."""
    appender = Appender(store.sessions_dir / name / "actions.jsonl")
    for number in range(APPENDS):
        event_id = f"{name}-{number}"
        try:
            with notes.of(event_id):
                appender.append(_event(event_id))
        except ProvlogError as error:
            notes.say("failed", repr(error))
            with notes.of(event_id):
                appender.append(_event(event_id))


def _append_many(store: Store, notes: Notes, name: str) -> None:
    appender = Appender(store.sessions_dir / name / "actions.jsonl")
    event_ids = [f"{name}-{number}" for number in range(APPENDS)]
    with notes.of(*event_ids):
        appender.append_many([_event(event_id) for event_id in event_ids])


def _append_together(store: Store, notes: Notes, name: str) -> None:
    """Append from several threads that share syncs."""
    appender = Appender(store.sessions_dir / name / "actions.jsonl", durability="disk")

    def work(number: int) -> None:
        for _ in range(2):
            event_id = f"{name}-{number}-{os.urandom(4).hex()}"
            try:
                with notes.of(event_id):
                    appender.append(_event(event_id))
            except ProvlogError as error:
                notes.say("failed", repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _create(store: Store, notes: Notes, name: str) -> None:
    header = SessionHeader(agent_type="attack", session_id=f"session-{name}")
    start_id = f"{name}-start"
    with notes.of(start_id):
        recording = start_session(
            store, header, started_at=STARTED_AT, durability="disk", event_id=start_id
        )
    with notes.of(f"{name}-0"):
        recording.append(_event(f"{name}-0"))
    recording.close()


def _project(store: Store, _notes: Notes, _name: str) -> None:
    catch_up(store)


def _rebuild(store: Store, _notes: Notes, _name: str) -> None:
    rebuild(store)


def _copy(store: Store, _notes: Notes, name: str) -> None:
    destination = open_store(Path(name))
    # A copy is one after the other; the others are for those that the fault did not hit.
    copy_sessions(store, destination, Choice())


def _archive(store: Store, _notes: Notes, _name: str) -> None:
    archive_sessions(store, ArchiveChoice(), ArchiveOptions(keep_rows=True))


def spool_some(store: Store, first: int, count: int) -> None:
    """Leave events in the spool, as recorders do that find a log locked."""
    for number in range(first, first + count):
        arrival = Arrival(
            {
                "session_id": SPOOLED_SESSION,
                "hook_event_name": "Notification",
                "message": f"event {number}",
            },
            f"2026-01-02T03:04:05.{number:06d}Z",
            {},
            f"spooled-{number}",
        )
        write_spooled(store.root, arrival.time, to_spool(arrival, redactor_of(store.root).redact))


def _drain(store: Store, notes: Notes, _name: str) -> None:
    try:
        spool_some(store, 2, 1)
    except OSError as error:  # as it says; a recorder notes it as a problem then
        notes.say("refused", repr(error))
        return
    drain_store(store)


_OPERATIONS: dict[str, Callable[[Store, Notes, str], None]] = {
    "append": _append,
    "append_many": _append_many,
    "group commit": _append_together,
    "create session": _create,
    "project a batch": _project,
    "write derived files": _project,
    "rebuild and swap": _rebuild,
    "copy": _copy,
    "archive": _archive,
    "spool and drain": _drain,
}


def _operate(operation: str, root: str, notes_path: str, name: str) -> None:
    notes = Notes(Path(notes_path))
    store = open_store(Path(root))
    redactor_of(store.root)
    notes.say("ready")
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        _OPERATIONS[operation](store, notes, name)
    except ProvlogError as error:
        notes.say("refused", repr(error))
    except Exception as error:  # noqa: BLE001 - anything but an error of ours is told as a crash
        notes.say("crashed", repr(error))
    else:
        notes.say("ended")


TASKS = {"operate": _operate}


def _acknowledge_first() -> None:
    """Say that a line is there before it is written."""
    whole = files.append_bytes

    def lose(fd: int, data: bytes, start: int, path: Path) -> int:
        with suppress(ProvlogError):
            return whole(fd, data, start, path)
        return start + len(data)

    patch.object(files, "append_bytes", lose).start()


SABOTAGES = {"errors of writes are swallowed": _acknowledge_first}
