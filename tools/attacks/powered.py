"""What is done on a disk whose power will be cut, and noted outside of it.

    d NAME         the directory of this session was made
    k NAME SIZE    so many bytes of its log were acknowledged as on the disk
    s NAME SIZE    so many bytes of its log were copied to the other store

The bytes that a log had at last are kept outside, below `shadow`.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Literal

from sample_action import ACTION

from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archiving import archive_sessions
from provenance_log.copy_choice import Choice
from provenance_log.copying import copy_sessions
from provenance_log.errors import ProvlogError
from provenance_log.format import LINE_BYTES_MAX
from provenance_log.placing import Appended
from provenance_log.recording import Recording, SessionHeader, start_session
from provenance_log.store import Store, initialise_store, open_store

APPENDER_STEPS = 60
PROJECTOR_STEPS = 12
OTHER = "other"
"""The store that sessions are copied to, beside the first."""
_SIZES = (10, 200, 1000, 6000)
_PROJECTOR_KINDS = ("catch up", "make anew", "rebuild", "copy", "archive")
_PROJECTOR_WEIGHTS = (4, 2, 2, 2, 1)
_STARTED_AT = datetime(2026, 1, 10, 14, 30, tzinfo=UTC)
_Level = Literal["process", "disk"]


def append(root: str, shadow: str, notes: str, seed: str) -> None:
    """Start sessions, append to them at both levels, end some of them."""
    work = _Appending(open_store(Path(root)), Path(shadow), Path(notes), Random(f"{seed}/append"))
    for _ in range(APPENDER_STEPS):
        work.step()
        time.sleep(work.random.choice((0.0, 0.0, 0.02)))


class _Appending:
    def __init__(self, store: Store, shadow: Path, notes: Path, random: Random) -> None:
        self.random = random
        self._store = store
        self._shadow = shadow
        self._notes = os.open(notes, os.O_WRONLY)
        self._open: list[Recording] = []
        self._minutes = 0

    def step(self) -> None:
        kind = self.random.choices(("start", "one", "many", "large", "end"), (1, 8, 3, 0.2, 0.4))[0]
        if kind == "start" or not self._open:
            self._start()
            return
        recording = self.random.choice(self._open)
        level: _Level = self.random.choice(("process", "process", "disk"))
        if kind == "end":
            self._end(recording)
            return
        if kind == "many":
            actions = [self._action() for _ in range(self.random.randint(2, 30))]
            done = recording.appender.append_many(actions, durability=level)[-1]
        else:
            size = LINE_BYTES_MAX if kind == "large" else None
            done = recording.appender.append(self._action(size), durability=level)
        if done.durability == "disk":
            self._say_kept(recording, done)
        self._keep(recording.directory.name, recording.directory.log.read_bytes())

    def _end(self, recording: Recording) -> None:
        self._open.remove(recording)
        with recording.directory.log.open("rb") as file:  # it may be archived at once
            self._say_kept(recording, recording.end(success=True))
            self._keep(recording.directory.name, file.read())

    def _start(self) -> None:
        level: _Level = self.random.choice(("process", "disk"))
        header = SessionHeader(agent_type="powered")
        # A minute of its own: the name of a session that was archived is free for another one.
        self._minutes += 1
        moment = _STARTED_AT + timedelta(minutes=self._minutes)
        recording = start_session(self._store, header, started_at=moment, durability=level)
        self._open.append(recording)
        name, content = recording.directory.name, recording.directory.log.read_bytes()
        self._keep(name, content)
        self._say(f"d {name}")
        if level == "disk":
            self._say(f"k {name} {len(content)}")

    def _action(self, size: int | None = None) -> dict[str, object]:
        text = "x" * (self.random.choice(_SIZES) if size is None else size)
        return ACTION | {"details": {"text": text}}

    def _keep(self, name: str, content: bytes) -> None:
        (self._shadow / name).write_bytes(content)

    def _say_kept(self, recording: Recording, done: Appended) -> None:
        self._say(f"k {recording.directory.name} {done.offset + done.length + 1}")

    def _say(self, text: str) -> None:
        os.write(self._notes, f"{text}\n".encode())


def project(root: str, notes: str, seed: str) -> None:
    """Catch up, make the database anew, rebuild, copy and archive, in any order."""
    random = Random(f"{seed}/project")
    store = open_store(Path(root))
    said = os.open(notes, os.O_WRONLY)
    other = store.root.with_name(OTHER)
    for _ in range(PROJECTOR_STEPS):
        kind = random.choices(_PROJECTOR_KINDS, _PROJECTOR_WEIGHTS)[0]
        if kind == "make anew":
            store.database.unlink(missing_ok=True)
        if kind in {"catch up", "make anew"}:
            catch_up(store, wait_s=60.0)
        elif kind == "rebuild":
            rebuild(store, wait_s=60.0)
        elif kind == "archive":
            archive_sessions(store, ArchiveChoice())
        else:
            _copy(store, other, said)


def _copy(store: Store, other: Path, said: int) -> None:
    initialise_store(other)
    report = copy_sessions(store, open_store(other), Choice())
    for one in report.copies:
        if one.state in {"copied", "forwarded"} and one.directory is not None:
            log = other / "sessions" / one.directory / "actions.jsonl"
            os.write(said, f"s {one.directory} {log.stat().st_size}\n".encode())
        elif one.state == "refused":
            raise ProvlogError(f"not copied: {one}")
