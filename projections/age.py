"""For how long lines have waited to be projected: their age, in seconds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections.lag import status_of_log
from projections.planning import open_log
from provenance_log.errors import LineInvalid, LogUnsafe
from provenance_log.format import timestamp_us
from provenance_log.strict_json import parse_object

if TYPE_CHECKING:
    from pathlib import Path

    from projections.checkpoints import Checkpoint

_LINE_BYTES_MAX = 64 * 1024
"""Longer lines are not read for their timestamp."""


@dataclass(frozen=True, slots=True)
class Age:
    """How long the first line of a log that is not projected has waited."""

    age_s: float
    """At most so long, as far as a log can tell when a line was appended to it."""
    quiet_s: float
    """So long nothing was appended to the log, or done to it."""


def age_of(log: Path, start: int, checkpoint: Checkpoint | None) -> Age | None:
    """Return the age of the line that begins at byte `start`; None where there is no plain file.

    It came after its own timestamp, after the log was last read to its end, or else after its
    directory was made; and before the log last changed. The timestamp alone would tell of what
    was imported, or copied, that it has waited since it happened. Of such lines in a log that was
    projected before, the age is too large until they are projected.
    """
    status = status_of_log(log)
    if status is None:
        return None
    # The time of the inode and not of the content, which a copy may bring along.
    changed_s = status.st_ctime
    earliest_s = _made_s(log.parent) if checkpoint is None else checkpoint.log_mtime_ns / 1e9
    arrived_s = min(max(earliest_s, _timestamp_s(log, start)), changed_s)
    now_s = time.time()
    return Age(round(max(0.0, now_s - arrived_s), 3), round(max(0.0, now_s - changed_s), 3))


def _made_s(directory: Path) -> float:
    try:
        return directory.stat().st_ctime
    except OSError:
        return 0.0


def _timestamp_s(log: Path, start: int) -> float:
    """Return the time that a line says it was recorded at; 0 where it says none."""
    try:
        with open_log(log) as (fd, _):
            line, newline, _ = os.pread(fd, _LINE_BYTES_MAX, start).partition(b"\n")
        return timestamp_us(str(parse_object(line)["timestamp"])) / 1e6 if newline else 0.0
    except (OSError, LogUnsafe, LineInvalid, KeyError):
        return 0.0
