"""Genuine short writes: the log may grow by n bytes and no more, for every n of a line."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sample_action import ACTION

from attacks.effort import Effort
from attacks.postcheck import Expected, violations
from attacks.scoring import Attacked
from provenance_log.appender import Appender
from provenance_log.errors import AppendNotWritten
from provenance_log.store import LOG_NAME


def short_writes(effort: Effort) -> list[Attacked]:
    """Write a line of which only n bytes have room, and again with the same appender and room.

    Number n of the effort is n bytes, up to the length of the line; the seed decides nothing.
    """
    row = Attacked("short writes: append", "faults")
    store = effort.store("short")
    log = store.sessions_dir / "short" / LOG_NAME
    log.parent.mkdir()
    appender = Appender(log)
    length = appender.append(_action("short-length")).length
    appended = {"short-length": _action("short-length")}
    for room in effort.numbers():
        if room >= length:
            break
        event_id = f"short-{room:06}"
        before = log.read_bytes()
        row.violated(_short(appender, before, room, event_id), f"{room} bytes, in {log}")
        appended[event_id] = _action(event_id)
        appender.append(appended[event_id])
        row.runs += 1
        row.injected += 1
    appender.close()
    expected = Expected(log, appended)
    row.violated(violations(store, [expected], effort.directory), "at the end")
    if not row.violations:
        shutil.rmtree(store.root)
    return [row]


def _action(event_id: str) -> dict[str, Any]:
    return ACTION | {"database_event_id": event_id}


def _short(appender: Appender, before: bytes, room: int, event_id: str) -> Iterator[str]:
    with _file_size_at_most(len(before) + room):
        try:
            appender.append(_action(event_id))
        except AppendNotWritten:
            pass
        else:
            yield "an append without room was acknowledged"
    if appender.path.read_bytes() != before:
        yield "a part of the line stayed in the log"


@contextmanager
def _file_size_at_most(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
