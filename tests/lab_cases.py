"""A store of three sessions whose parents make a circle, to ask the predecessor's queries."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from looking_cases import STARTED_AT, decision, make_store, record, tool_call

from projections.projector import catch_up

if TYPE_CHECKING:
    from pathlib import Path

    from provenance_log.store import Store

DESIGN, RETRY, READING = "aaaa-design", "bbbb-retry", "cccc-reading"
QUERY = "a medium"
GLUCOSE = {"entity_table": "ingredients", "entity_id": "glucose", "link_type": "read"}


def at(second: int) -> datetime:
    """A time as the tables have it: naive UTC."""
    return STARTED_AT.replace(tzinfo=None) + timedelta(seconds=second)


def ended(second: int, *, success: bool, **details: Any) -> dict[str, Any]:
    """A session's last line, at a time that is known beforehand."""
    return {
        "timestamp": f"{at(second).isoformat()}Z",
        "type": "execute",
        "tool": "AgentExecution",
        "status": "success" if success else "failure",
        "event_type": "lifecycle",
        "event_name": "session_end",
        "details": {"success": success, **details},
    }


def call(tool: str, *, status: str = "success", second: int = 5, **details: Any) -> dict[str, Any]:
    made = tool_call(tool, {"compound": "C00031"}, status=status, action_type="query")
    made["timestamp"] = f"{at(second).isoformat()}Z"
    made["details"].update(details)
    return made


DESIGN_ACTIONS = [
    {**call("KEGG", cache_hit=True), "entity_links": [GLUCOSE, {**GLUCOSE, "link_type": "cite"}]},
    call("KEGG", cache_hit=False, status="failure"),
    # One call in two lines, as a hook records it: before and after.
    {**call("Search", status="partial", call_id="c1"), "duration_ms": None},
    {**call("Search", call_id="c1"), "duration_ms": 50},
    {**call("Search", status="skipped"), "duration_ms": None},
    decision("which sugar?", "glucose", "cheap"),
    decision("which sugar?", "methanol", "cheaper"),
    decision("how much?", "glucose", "enough"),
    ended(10, success=True),
]


def make_lab(directory: Path) -> Store:
    """Record and project a success, a failure, and a session that is open."""
    store = make_store(directory)
    kwargs = {"a": 1, "b": [2, {"c": None}]}
    design = partial(record, agent_type="designer", query=QUERY)
    design(
        store, DESIGN_ACTIONS, session_id=DESIGN, kwargs=kwargs, parent_session_id=READING, depth=9
    )
    design(
        store,
        [{**call("KEGG", second=7), "entity_links": [GLUCOSE]}, ended(4, success=False)],
        session_id=RETRY,
        kwargs=dict(reversed(kwargs.items())),
        parent_session_id=DESIGN,
    )
    record(
        store,
        [decision("which sugar?", "glucose", "known")],
        session_id=READING,
        started_at=STARTED_AT + timedelta(hours=1),
        agent_type="reader",
        parent_session_id=RETRY,
    )
    catch_up(store)
    return store
