"""What needs a person, a sentence for each: it makes `provlog status` end with exit code 1.

Being behind does not, nor polling, nor that no daemon runs.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from provenance_log.terminal import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projections.status import DaemonFacts, DatabaseFindings, LagRow
    from provenance_log.errors import ProvlogError

_LONG_S = 60.0
_LONG_RESCANS = 10
_QUIET_S = 5.0
_QUIET_RESCANS = 3


def attention_to_database(
    findings: DatabaseFindings, problem: ProvlogError | None
) -> Iterator[str]:
    """Yield what is wrong with the tables, and what is in them that nobody has acknowledged."""
    if problem is not None:
        yield problem.message + (f"; {problem.hint}" if problem.hint else "")
    if findings.stale_tables:
        names = ", ".join(findings.stale_tables)
        yield f"filled by another definition: {names}; run `provlog project`"
    unseen = [row for row in findings.quarantine if row.acknowledged_count < row.line_count]
    if unseen:
        number = sum(row.line_count - row.acknowledged_count for row in unseen)
        logs = _counted(len({row.log for row in unseen}), "log")
        yield f"{_counted(number, 'line')} in {logs} could not be read"
    incident_count = sum(not row.is_acknowledged for row in findings.incidents)
    if incident_count:
        yield _counted(incident_count, "incident")


def attention_to_daemon(daemon: DaemonFacts, lag: Sequence[LagRow]) -> Iterator[str]:
    """Yield what a daemon that runs can't do.

    That somebody has the database open is said by the age of the lines that wait for it.
    """
    if not daemon.is_running or daemon.since is None or daemon.rescan_s is None:
        return
    for error in daemon.errors:
        if error.over is None and error.event != "held":
            yield f"the daemon is in trouble: {error.message}"
    # What waited before the daemon was started says nothing about it, and what was appended just
    # now may be of any age (see `age_of`).
    quiet_s = max(_QUIET_S, _QUIET_RESCANS * daemon.rescan_s)
    running_s = time.time() - datetime.fromisoformat(daemon.since).timestamp()
    waited_s = max((row.age_s or 0.0 for row in lag if (row.quiet_s or 0.0) > quiet_s), default=0.0)
    waited_s = min(waited_s, running_s)
    if waited_s > max(_LONG_S, _LONG_RESCANS * daemon.rescan_s):
        yield f"lines have waited for {duration(waited_s * 1000)} although a daemon runs"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
