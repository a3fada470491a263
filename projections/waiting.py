"""Waiting until what is in the logs now can be seen in SQL.

Whoever has appended and wants to ask about it compares the logs as they are at this moment with
the checkpoints, which are committed together with the rows.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from projections.archived import Away
from projections.checkpoints import Checkpoint
from projections.database import connect
from projections.holders import lock_holder
from projections.layout import is_ours
from projections.planning import open_log
from provenance_log.errors import LogUnsafe, ProvlogError
from provenance_log.reader import first_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from provenance_log.store import SessionDirectory, Store

_POLL_S = 0.02
_TAIL_BYTES = 64 * 1024
_HELD_WAIT_S = 0.2


class NotVisibleYet(ProvlogError):
    """Some lines are still not in the database; they are in the logs and nothing is lost."""


def wait_until_visible(
    store: Store, directories: Collection[SessionDirectory], *, timeout_s: float
) -> None:
    """Return when every line that these logs hold now is projected, or is in the quarantine.

    A log that is cut or removed while we wait is not waited for any more. Logs that hold no line
    at all, or are no plain files, have nothing to show. Raises `NotVisibleYet` after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    wanted = {item.log: end for item in directories if (end := end_of_lines(item.log)) > 0}
    seen: object = None
    while True:
        found = _status(store.database)
        if found is not None and found != seen:
            # What was written while we looked shows as another status, and is looked at again.
            offsets = _offsets(store)
            seen = None if offsets is None else found
            wanted = _missing(wanted, offsets or {})
        if not wanted:
            return
        if time.monotonic() >= deadline:
            raise _not_visible(store, sorted(wanted))
        time.sleep(_POLL_S)


def end_of_lines(log: Path) -> int:
    """Return the byte after the last newline of a log; 0 where no line can be read."""
    try:
        with open_log(log) as (fd, status):
            if first_line(fd) is None:
                return 0
            end = status.st_size
            while end > 0:
                start = max(0, end - _TAIL_BYTES)
                newline = os.pread(fd, end - start, start).rfind(b"\n")
                if newline >= 0:
                    return start + newline + 1
                end = start
    except (OSError, LogUnsafe):
        return 0
    return 0


def _missing(wanted: Mapping[Path, int], offsets: Mapping[str, int]) -> dict[Path, int]:
    missing = {}
    for log, end in wanted.items():
        end_now = min(end, end_of_lines(log))
        if end_now > offsets.get(log.parent.name, 0):
            missing[log] = end_now
    return missing


def _offsets(store: Store) -> dict[str, int] | None:
    """Return how far each log is projected; None while the database can't be asked."""
    try:
        with connect(store.database, read_only=True, wait_s=_HELD_WAIT_S) as connection:
            if not is_ours(connection):
                return {}
            found = [Checkpoint._make(row) for row in connection.query("checkpoints")]
    except ProvlogError:  # held, or being made anew
        return None
    away = Away(store)
    return {item.log: item.line_offset for item in found if not away.keeps(item)}


def _status(database: Path) -> tuple[int, ...] | None:
    try:
        found = database.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _not_visible(store: Store, missing: list[Path]) -> NotVisibleYet:
    projector = lock_holder(store.projector_lock)
    hint = "nobody is projecting: run `provlog daemon`, or `provlog project` once"
    if projector is not None:
        hint = f"process {projector.pid} is projecting: wait longer, or see `provlog status`"
    logs = "1 log has" if len(missing) == 1 else f"{len(missing)} logs have"
    return NotVisibleYet(f"{logs} lines that are not visible yet", path=missing[0], hint=hint)
