"""What should not happen to a log, as rows of provenance_incidents."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from projections.columns import Fields

Kind = Literal["truncated", "replaced", "edited", "gone", "duplicate", "fork"]

RELATIONS = frozenset({"duplicate", "fork"})
"""The kinds that tell what the directories hold now; the others tell of the past."""

INCIDENT_FIELDS: Fields = (
    ("kind", "text"),
    ("log", "text"),
    ("session_id", "text"),
    ("other_log", "text"),
    ("line_number", "int64"),
    ("line_offset", "int64"),
    ("detail", "text"),
)


@dataclass(frozen=True, slots=True)
class Incident:
    """One row of provenance_incidents.

    The place of a fork is the first line that differs, that of a duplicate its end; of what was
    seen to happen to a log, it is how far the log had been read before.
    """

    kind: Kind
    log: str
    session_id: str
    other_log: str | None
    line_number: int | None
    line_offset: int | None
    detail: str

    def as_row(self) -> tuple[object, ...]:
        """Return the values in the order of `INCIDENT_FIELDS`."""
        return tuple(getattr(self, field.name) for field in fields(self))
