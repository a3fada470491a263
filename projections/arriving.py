"""Which tables the lines of a small batch can add rows to: the others need not be asked.

A statement that adds nothing still has to be parsed and planned, which for one line takes longer
than everything else that is done about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.batch import BATCH_FIELDS
from projections.definitions import ACTION_TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.batch import Row
    from projections.definitions import Table

ROWS_MAX = 100
"""In more rows than these there is nearly always one for every table."""

_PLACES = {name: place for place, (name, _) in enumerate(BATCH_FIELDS)}
_EVENT_TYPE, _DETAILS, _ENTITY_LINKS = (
    _PLACES[name] for name in ("event_type", "details", "entity_links")
)
_DECISION = (b"decision_point", b"\\u")
"""What makes a decision of any event is a key, which may be written with escapes."""


def fed_tables(rows: Sequence[Row]) -> tuple[Table, ...]:
    """Return the tables of actions whose SQL may select from these rows, or refuse one of them.

    All of them for many rows, or for none, which are somewhere else.
    """
    if not 0 < len(rows) <= ROWS_MAX:
        return ACTION_TABLES
    types = {row[_EVENT_TYPE] for row in rows}
    is_fed = {
        "tool_calls": "tool_call" in types,
        "decisions": any(map(_may_be_decision, rows)),
        "transformations": "transformation" in types,
        "entity_links": any(row[_ENTITY_LINKS] is not None for row in rows),
    }
    return tuple(table for table in ACTION_TABLES if is_fed.get(table.short_name, True))


def _may_be_decision(row: Row) -> bool:
    # Of a tool call, the SQL of tool_calls parses the details as well, and refuses the same.
    return row[_EVENT_TYPE] != "tool_call" or any(mark in row[_DETAILS] for mark in _DECISION)
