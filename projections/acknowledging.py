"""What a person has seen and need not be told again: past incidents and lines in the quarantine.

Neither ever goes away, as logs are never rewritten; without a word from a person, one torn line
would need somebody for ever. That word is kept in `acknowledged.json`, beside the logs, and is
about what was there when it was given: more of the same is new. Duplicates and forks tell what the
directories hold now and are mended there, so they can't be acknowledged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

import orjson

from projections.incidents import RELATIONS
from provenance_log import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from projections.status import IncidentRow, QuarantineRow
    from provenance_log.store import Store

ACKNOWLEDGED_NAME = "acknowledged.json"

_BYTES_MAX = 64 * 1024 * 1024


class Acknowledged:
    """What was acknowledged in a store, by how often it was there."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    @classmethod
    def of(cls, store: Store) -> Acknowledged:
        """Read it; a file that is missing or can't be read acknowledges nothing."""
        try:
            with _path(store).open("rb") as file:
                value = orjson.loads(file.read(_BYTES_MAX))
            return cls(Counter({orjson.dumps(key).decode(): int(n) for *key, n in value}))
        except (OSError, ValueError, TypeError):
            return cls(Counter())

    def incidents(self, rows: Iterable[IncidentRow]) -> tuple[IncidentRow, ...]:
        """Return the rows, each with whether it was acknowledged."""
        left = self._counts.copy()
        found = []
        for row in rows:
            key = _key(_of_incident(row))
            is_acknowledged = row.kind not in RELATIONS and left[key] > 0
            left[key] -= is_acknowledged
            found.append(replace(row, is_acknowledged=is_acknowledged))
        return tuple(found)

    def quarantine(self, rows: Iterable[QuarantineRow]) -> tuple[QuarantineRow, ...]:
        """Return the rows, each with how many of its lines were acknowledged."""
        return tuple(
            replace(row, acknowledged_count=min(row.line_count, self._counts[_key(_of_lines(row))]))
            for row in rows
        )


def acknowledge(
    store: Store, incidents: Iterable[IncidentRow], quarantine: Iterable[QuarantineRow]
) -> None:
    """Keep that a person has seen these, and nothing else; raises OSError."""
    seen: Counter[str] = Counter()
    for incident in incidents:
        if incident.kind not in RELATIONS:
            seen[_key(_of_incident(incident))] += 1
    for row in quarantine:
        seen[_key(_of_lines(row))] += row.line_count
    items = [[*orjson.loads(key), count] for key, count in sorted(seen.items())]
    lines = b",\n".join(orjson.dumps(item) for item in items)
    files.write_atomically(_path(store), b"[\n" + lines + b"\n]\n")


def _path(store: Store) -> Path:
    return store.root / ACKNOWLEDGED_NAME


def _key(values: list[object]) -> str:
    return orjson.dumps(values).decode()


def _of_incident(row: IncidentRow) -> list[object]:
    return ["incident", *astuple(replace(row, is_acknowledged=False))[:-1]]


def _of_lines(row: QuarantineRow) -> list[object]:
    return ["quarantine", row.log, row.session_id, row.reason]
