"""A session that has ended and gets lines afterwards: its end is told again.

What ends a session is its last `session_end` with nothing but annotations after it. Lines that
come late (an import, a hook that was slower than the end) are no new beginning.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.actions import event_id
from provenance_log.claude_code.recognition import UNNAMED
from provenance_log.log_end import LogEnd
from provenance_log.reader import open_for_reading

if TYPE_CHECKING:
    from pathlib import Path

Action = dict[str, Any]

_GIVEN_AT_APPEND = frozenset({"action_id", "prev"})


def end_of(log_end: LogEnd) -> Action | None:
    """Return the `session_end` that a log stands at; None for one that has not ended."""
    for action in log_end.recent():
        if action.get("event_type") == "annotation":
            continue
        is_end = action.get("event_name") == "session_end"
        return action if is_end and action.get("event_type") == "lifecycle" else None
    return None


def state_of(path: Path) -> tuple[Action | None, bool]:
    """Return the same of a log that nobody has locked, and whether it has calls without a name."""
    fd = open_for_reading(path)
    try:
        log_end = LogEnd(fd)
        return end_of(log_end), any(log_end.all_with(UNNAMED.encode()))
    finally:
        os.close(fd)


def repeated_end(end: Action, session_id: str) -> Action:
    """Return an end once more, with its time and values, to stand after what came late."""
    rest = {key: value for key, value in end.items() if key not in _GIVEN_AT_APPEND}
    details = {**(end.get("details") or {}), "repeated": True}
    own_id = event_id(session_id, "", "session_end", str(end.get("database_event_id")))
    return {**rest, "details": details, "database_event_id": own_id}
