"""A reader that knows nothing of the daemon: the DuckDB package, read-only, and a check.

A reading is legal when it is true of a beginning of every log: the rows of a session are its
first lines, without a gap, as many as its checkpoint says. A database that is held, missing or
damaged gives no reading, which is legal too. Rows may become fewer only when the database was
made anew after somebody harmed it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

RETRY_S = 10.0
"""How long a reader tries to open a database that is held."""

_RETRY_PAUSE_S = 0.02
_HELD = "Could not set lock on file"
_QUERY = """
SELECT c.log, c.line_number, count(e.line_number), coalesce(max(e.line_number), 0),
       coalesce(sum(e.duration_ms), 0), count(DISTINCT e.line_number)
FROM provenance_checkpoints AS c LEFT JOIN provenance_events AS e USING (session_id)
GROUP BY ALL
"""


@dataclass(slots=True)
class Readings:
    """What a reader met."""

    count: int = 0
    """Readings that gave numbers."""
    waited_s: list[float] = field(default_factory=list)
    """How long it took to open the database, of those readings that found it held at first."""
    conflicts: int = 0
    """How often it was held."""
    took_s: list[float] = field(default_factory=list)
    """How long each reading took, waiting included."""
    refused: list[str] = field(default_factory=list)
    """Readings that gave an error other than that the database is held."""
    starved: int = 0
    """Readings that were given up because it was held all the time."""
    wrong: list[str] = field(default_factory=list)
    """Readings that are not true of a beginning of the logs."""
    shrunk: list[float] = field(default_factory=list)
    """The moments at which a session had fewer rows than before."""

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return asdict(self)


def read_all_the_time(database: Path, pause_s: float, stopped: threading.Event) -> Readings:
    """Read until told to stop, with the rhythm of one reading per `pause_s`."""
    found = Readings()
    before: dict[str, int] = {}
    due = time.monotonic()
    while not stopped.wait(max(0.0, due - time.monotonic())):
        due = max(due + pause_s, time.monotonic())
        rows = _read(database, found, stopped)
        if rows is None:
            continue
        found.wrong += [text for row in rows if (text := _wrong(*row))]
        counts = {row[0]: row[2] for row in rows}
        if any(counts.get(log, 0) < count for log, count in before.items()):
            found.shrunk.append(time.monotonic())
        before = counts
    return found


def _read(
    database: Path, found: Readings, stopped: threading.Event
) -> list[tuple[Any, ...]] | None:
    started = time.monotonic()
    is_held = False
    while time.monotonic() - started < RETRY_S:
        try:
            with duckdb.connect(str(database), read_only=True) as connection:
                if is_held:
                    found.waited_s.append(time.monotonic() - started)
                rows: list[tuple[Any, ...]] = connection.execute(_QUERY).fetchall()
        except duckdb.Error as error:
            if _HELD not in str(error):
                found.refused.append(str(error).partition("\n")[0])
                return None
            found.conflicts += 1
            is_held = True
            if stopped.wait(_RETRY_PAUSE_S):
                return None
        else:
            found.count += 1
            found.took_s.append(time.monotonic() - started)
            return rows
    found.starved += 1
    return None


def _wrong(
    log: str, line_number: int, count: int, last: int, duration_ms: int, distinct: int
) -> str | None:
    """Say what is wrong with a session's numbers; the first and the last line last no time."""
    timed = duration_ms // 12
    if count == last == distinct == line_number and 0 <= count - timed <= 2:
        return None
    return (
        f"{log}: {count} rows, {distinct} numbers up to {last}, {duration_ms} ms in all,"
        f" and the checkpoint is at line {line_number}"
    )
