"""Genuine exhaustion: space, files or descriptors run out, or a disk gets read-only, and back.

Every operation runs in this process with a little left of what it needs, more from run to run. It
succeeds, or raises an error of ours with a place and a hint. Then there is enough again: the same
operation succeeds, by the same appender where it appends, and the standard look follows.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sample_action import ACTION

from attacks import exhausting
from attacks.effort import Effort
from attacks.operations import spool_some
from attacks.postcheck import CUT, SOUND, Expected, events_of, violations
from attacks.scoring import Attacked
from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log.appender import Appender
from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_report import ArchiveOptions
from provenance_log.archiving import archive_sessions
from provenance_log.claude_code.recorder import drain_store
from provenance_log.copy_choice import Choice
from provenance_log.copying import copy_sessions
from provenance_log.errors import AppendUnknown, ProvlogError
from provenance_log.recording import SessionHeader, start_session
from provenance_log.store import LOG_NAME, Store, initialise_store, open_store

_STARTED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_MANY = 60
_ENOUGH = 3
"""So many runs in a row that succeed at once show that everything has what it needs."""

Exhausted = Callable[[Path, int], AbstractContextManager[None]]
RESOURCES: dict[str, tuple[Exhausted, int]] = {
    "space": (exhausting.space, 40),
    "inodes": (exhausting.inodes, 1),
    "writing": (exhausting.writing, 1),
    "descriptors": (exhausting.descriptors, 1),
}
"""How each runs out, and by how many more is left from run to run of what makes a database."""


@dataclass(slots=True)
class _Scene:
    """What one run works on, and what is acknowledged in it."""

    folder: Path
    store: Store
    appender: Appender
    acked: dict[str, Any] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    attempt: int = 0

    @property
    def other(self) -> Path:
        return self.folder / "other"


def _append(scene: _Scene) -> None:
    _append_events(scene, [f"e-{scene.attempt}"])


def _append_many(scene: _Scene) -> None:
    _append_events(scene, [f"e-{scene.attempt}-{number}" for number in range(_MANY)])


def _append_events(scene: _Scene, event_ids: list[str]) -> None:
    events = {event_id: ACTION | {"database_event_id": event_id} for event_id in event_ids}
    try:
        scene.appender.append_many(list(events.values()))
    except AppendUnknown:
        scene.unknown |= events.keys()
        raise
    scene.acked |= events


def _create(scene: _Scene) -> None:
    header = SessionHeader(agent_type="attack", session_id="made")
    start_session(scene.store, header, started_at=_STARTED_AT).close()


def _catch_up(scene: _Scene) -> None:
    catch_up(scene.store)


def _rebuild(scene: _Scene) -> None:
    rebuild(scene.store)


def _copy(scene: _Scene) -> None:
    copy_sessions(scene.store, open_store(scene.other), Choice())


def _archive(scene: _Scene) -> None:
    archive_sessions(scene.store, ArchiveChoice(), ArchiveOptions(keep_rows=True))


def _drain(scene: _Scene) -> None:
    drain_store(scene.store)


OPERATIONS: dict[str, Callable[[_Scene], None]] = {
    "append": _append,
    "append to a torn tail": _append,
    "append_many": _append_many,
    "create session": _create,
    "catch up": _catch_up,
    "write derived files": _catch_up,
    "rebuild": _rebuild,
    "copy": _copy,
    "archive": _archive,
    "drain the spool": _drain,
}
_OF_LOGS = ("append", "append to a torn tail", "append_many", "create session")
_TORN = b'{"type": "read", "to'


def exhausted(effort: Effort, what: str, operation: str) -> Attacked:
    """Let `what` run out during an operation, with more of it left from run to run.

    Number n of the effort is n pages, files or descriptors, or a multiple of that, until all has
    enough; the seed decides nothing. Raises `Impossible` where no tmpfs can be mounted.
    """
    row = Attacked(f"exhausted: {what}: {operation}", "faults")
    exhaust, step = RESOURCES[what]
    step = 1 if operation in _OF_LOGS else step
    in_a_row = 0
    with exhausting.small_disk(effort.directory / "disk") as disk:
        for number in effort.numbers():
            if in_a_row == _ENOUGH or (what == "writing" and number):
                break
            scene = _prepared(disk / str(number), operation)
            with exhaust(disk, number * step):
                found, is_done = _attempt(scene, operation)
            in_a_row = in_a_row + 1 if is_done else 0
            gc.collect()  # the traceback of an error holds what was open, as long as it is there
            found += _afterwards(scene, operation, effort.directory)
            row.violated(found, f"{number * step} left")
            row.runs += 1
            row.injected += 1
            shutil.rmtree(scene.folder)
    return row


def exhaustion(effort: Effort) -> list[Attacked]:
    """Let everything run out during all operations by turns, for a soak run."""
    rows = []
    pairs = [(what, operation) for what in RESOURCES for operation in OPERATIONS]
    for number in effort.numbers():
        what, operation = pairs[(effort.seed + number) % len(pairs)]
        part = effort.part(number, "exhausted", 40)
        rows.append(exhausted(part, what, operation))
        shutil.rmtree(part.directory)
    return rows


def _attempt(scene: _Scene, operation: str) -> tuple[list[str], bool]:
    """Do it; return what is wrong about how it failed, and whether it succeeded."""
    scene.attempt += 1
    try:
        OPERATIONS[operation](scene)
    except ProvlogError as error:
        is_helpful = error.path is not None and error.hint
        return ([] if is_helpful else [f"an error without place or hint: {error!r}"]), False
    except Exception as error:  # noqa: BLE001 - which is what is looked for
        return [f"no error of ours: {error!r}"], False
    return [], True


def _afterwards(scene: _Scene, operation: str, side: Path) -> list[str]:
    wrong, is_done = _attempt(scene, operation)
    found = [] if is_done else [f"it fails with enough of everything: {wrong or operation}"]
    scene.appender.close()
    verdicts = CUT if operation == "append to a torn tail" else SOUND
    expected = [Expected(scene.appender.path, scene.acked, scene.unknown, verdicts)]
    for directory in scene.store.session_directories():
        if directory.log != scene.appender.path and directory.log.exists():
            lines = {key: lines[0] for key, lines in events_of(directory.log).items()}
            expected.append(Expected(directory.log, lines))
    found += violations(scene.store, expected, side, leftovers=r"\.corrupt-")
    if operation == "copy":
        copied = open_store(scene.other)
        log = copied.sessions_dir / "base" / LOG_NAME
        found += violations(copied, [Expected(log, scene.acked)], side)
    return found


def _prepared(folder: Path, operation: str) -> _Scene:
    """Make what an operation begins with; whatever it needs is imported and open by then."""
    initialise_store(folder / "store")
    initialise_store(folder / "other")
    store = open_store(folder / "store")
    header = SessionHeader(agent_type="attack", session_id="ended")
    start_session(store, header, started_at=_STARTED_AT).end(success=True)
    log = store.sessions_dir / "base" / LOG_NAME
    log.parent.mkdir()
    scene = _Scene(folder, store, Appender(log))
    first = Appender(log)
    scene.acked["base"] = ACTION | {"database_event_id": "base"}
    first.append(scene.acked["base"])
    first.close()
    if operation == "append to a torn tail":
        with log.open("ab") as file:
            file.write(_TORN)
    if operation in {"rebuild", "archive", "write derived files"}:
        catch_up(store)
    if operation == "write derived files":
        for path in (*log.parent.glob("*.yaml"), *log.parent.glob("*.md")):
            path.unlink()
        shutil.rmtree(store.indices_dir)
    if operation == "drain the spool":
        spool_some(store, 0, 2)
    return scene
