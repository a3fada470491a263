"""What the children of a `ForkServer` do until they are killed, and how a product may be broken.

A task gets texts only. A sabotage breaks the product in the server, and so in every child: with
it an attack must find a violation, else the attack shows nothing.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from sample_action import ACTION

from attacks import powered
from projections import daemon_running, loading, rebuild
from projections.daemon_notices import Notice
from projections.database import Connection
from projections.projector import catch_up
from provenance_log import appender, spool
from provenance_log.claude_code import hook, recorder
from provenance_log.settings import load_settings
from provenance_log.store import Store, open_store
from provenance_log.verifying import verify_log

__all__ = ["SABOTAGES", "TASKS", "text_of"]

APPENDS = 30
"""Of each thread of a writer."""
SIZES = (10, 10, 500, 500, 500, 5_000, 5_000, 60_000)
_SHORT_SHARE = 0.3
"""Of the writers, those whose writes are short."""
_SHORT_BYTES_MIN = 300
_SHORT_PAUSE_S = 0.0005
_LOAD_FIRST = (load_settings, verify_log)
"""Imported for its own sake: a child must not spend its life with imports."""


def text_of(key: str, size: int) -> str:
    """Return the text that the event of this key carries."""
    return (key * (size // len(key) + 1))[:size]


def write(log: str, acks: str, writer: str, threads: str) -> None:
    """Append from several threads through one appender; each notes what it does."""
    if Random(writer).random() < _SHORT_SHARE:
        _write_in_parts()
    shared = appender.Appender(Path(log))
    begun = [
        threading.Thread(target=_write, args=(shared, Path(acks), f"{writer}.{number}"))
        for number in range(int(threads))
    ]
    for thread in begun:
        thread.start()
    for thread in begun:
        thread.join()


def _write_in_parts() -> None:
    """Let this process be one whose longer writes are short, with a while after each part.

    A write of a line takes some microseconds, in which hardly any kill would hit.
    """
    whole = os.write

    def write_part(fd: int, data: Any) -> int:
        if len(data) < _SHORT_BYTES_MIN:
            return whole(fd, data)
        count = whole(fd, data[: len(data) // 2])
        time.sleep(_SHORT_PAUSE_S)
        return count

    os.write = write_part


def _write(shared: appender.Appender, acks: Path, name: str) -> None:
    """Note `b KEY SIZE` before an event is appended, and `a KEY` when that is done."""
    random = Random(name)
    fd = os.open(acks / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    number = 0
    while number < APPENDS:
        count = random.choice((1, 1, 1, 3))
        keys = [f"{name}.{number + more}" for more in range(count)]
        sizes = [random.choice(SIZES) for _ in keys]
        events = [_event(key, size) for key, size in zip(keys, sizes, strict=True)]
        if random.random() < 0.5:
            events = [event | {"database_event_id": event["tool"]} for event in events]
        pairs = zip(keys, sizes, strict=True)
        os.write(fd, "".join(f"b {key} {size}\n" for key, size in pairs).encode())
        if count == 1:
            shared.append(events[0], durability="disk" if random.random() < 0.05 else "process")
        else:
            shared.append_many(events)
        os.write(fd, "".join(f"a {key}\n" for key in keys).encode())
        number += count


def _event(key: str, size: int) -> dict[str, Any]:
    return {**ACTION, "tool": key, "details": {"text": text_of(key, size)}}


def hold(log: str, held: str) -> None:
    """Append one event, and stay under the lock of the log until somebody ends the waiting."""

    def plan(_end: object) -> list[dict[str, Any]]:
        Path(held).touch()
        while Path(held).exists():
            time.sleep(0.001)
        return [_event("holder", 10)]

    appender.Appender(Path(log)).append_planned(plan)


def record(project: str, payload: str) -> None:
    """Be the recorder of a hook: it ends with 0 whatever happens."""
    os.environ["CLAUDE_PROJECT_DIR"] = project
    reading, writing = os.pipe()
    os.write(writing, payload.encode())
    os.close(writing)
    os.dup2(reading, 0)
    hook.main()


def drain(root: str) -> None:
    """Take what waits in the spool into the logs."""
    recorder.drain_store(open_store(Path(root)))


def project(root: str, database: str) -> None:
    """Catch up."""
    catch_up(open_store(Path(root), Path(database)), wait_s=60.0)


def make_anew(root: str, database: str, verify: str) -> None:
    """Rebuild."""
    rebuild.rebuild(open_store(Path(root), Path(database)), verify=verify == "verify", wait_s=60.0)


def be_daemon(root: str, notices: str) -> None:
    """Be a daemon that looks often, and note what it says."""
    sys.argv = ["provlog", "daemon"]
    fd = os.open(notices, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def tell(notice: Notice) -> None:
        os.write(fd, f"{notice.level} {notice.event} {notice.message}\n".encode())

    daemon_running.run(
        open_store(Path(root)),
        tell,
        lambda _stop: None,
        rescan_s=0.05,
        debounce_s=0.01,
        is_polling=False,
    )


TASKS: dict[str, Callable[..., None]] = {
    "write": write,
    "hold": hold,
    "record": record,
    "drain": drain,
    "project": project,
    "rebuild": make_anew,
    "daemon": be_daemon,
    "append powered": powered.append,
    "project powered": powered.project,
}


def _break(owner: object, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of the real thing in its place, for good."""
    patch.object(owner, name, make(getattr(owner, name))).start()


def _fuse_torn_tails() -> None:
    """Take a torn tail for a whole one, as every agent's transcript writer has done."""
    _break(appender, "read_tail", lambda real: lambda fd: real(fd)._replace(is_torn=False))


def _acknowledge_early() -> None:
    """Say that a line is there which is still on its way."""

    def append_later(real: Any) -> Any:
        return lambda *given, **options: threading.Timer(0.05, real, given, options).start()

    _break(appender.Appender, "append", append_later)


def _unlink_before_recording() -> None:
    """Take an event out of the spool before it is in a log."""

    def take_out_first(path: Path, record: Callable[[bytes], None]) -> bool:
        content = path.read_bytes()
        path.unlink()
        record(content)
        return True

    _break(spool, "_drain", lambda _real: take_out_first)


def _drop_events() -> None:
    """Let the recorder of a hook end with nothing done."""
    _break(recorder.Recorder, "record", lambda _real: lambda _self, _arrival: None)


def _commit_checkpoints_first() -> None:
    """Commit where the projector stands before the rows that it stands for."""

    def write_first(real: Any) -> Any:
        def write(connection: Connection, batch: loading.Batch) -> None:
            real(connection, loading.Batch(checkpoints=batch.checkpoints))
            connection.execute("COMMIT")
            time.sleep(0.05)
            connection.execute("BEGIN TRANSACTION")
            real(connection, batch)

        return write

    _break(loading, "_write", write_first)


def _rebuild_in_place() -> None:
    """Remove the old database before there is a new one."""

    def remove_first(real: Any) -> Any:
        def build(store: Store, *arguments: Any) -> Any:
            store.database.unlink(missing_ok=True)
            return real(store, *arguments)

        return build

    _break(rebuild, "_build", remove_first)


def _sync_nothing() -> None:
    """Believe that what was written is on the disk."""
    for name in ("fsync", "fdatasync"):
        _break(os, name, lambda _real: lambda _fd: None)


SABOTAGES: dict[str, Callable[[], None]] = {
    "acknowledge early": _acknowledge_early,
    "commit checkpoints first": _commit_checkpoints_first,
    "drop events": _drop_events,
    "fuse torn tails": _fuse_torn_tails,
    "rebuild in place": _rebuild_in_place,
    "sync nothing": _sync_nothing,
    "unlink before recording": _unlink_before_recording,
}
