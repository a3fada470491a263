"""A session from its first line to its last: what an agent that records holds in its hand."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from provenance_log.appender import Appended, Appender, Durability
from provenance_log.format import SCHEMA_VERSION, format_timestamp
from provenance_log.store_redaction import redactor_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provenance_log.store import SessionDirectory, Store

AGENT_TOOL = "AgentExecution"


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """What no later reader could reconstruct; it goes into the session's first line."""

    agent_type: str
    query: str = ""
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    agent_version: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    user_context: Mapping[str, Any] = field(default_factory=dict)
    """user, host, working_directory, git_branch, git_commit, python_version, platform,
    dependencies; whatever of it is known."""
    parent_session_id: str | None = None
    depth: int = 0
    goals: Sequence[str] = ()
    project: str | None = None
    source: Mapping[str, Any] | None = None
    """Where an imported session comes from; absent for one recorded live."""

    def as_details(self) -> dict[str, Any]:
        """Return the `details` of the session_start event."""
        session = {
            "session_id": self.session_id,
            "agent_type": self.agent_type,
            "agent_version": self.agent_version,
            "query": self.query,
            "kwargs": dict(self.kwargs),
            "model": self.model,
            "user_context": dict(self.user_context),
            "parent_session_id": self.parent_session_id,
            "depth": self.depth,
            "goals": list(self.goals),
            "project": self.project,
            "schema_version": SCHEMA_VERSION,
            "source": None if self.source is None else dict(self.source),
        }
        return {"session": {key: value for key, value in session.items() if value is not None}}


class Recording:
    """An open session: appends to its log and ends it."""

    def __init__(self, session_id: str, directory: SessionDirectory, appender: Appender) -> None:
        """Use `start_session` or `reopen_session` instead."""
        self.session_id = session_id
        self.directory = directory
        self.appender = appender

    def append(self, action: Mapping[str, Any]) -> Appended:
        """Append one action; see `Appender.append`."""
        return self.appender.append(action)

    def append_many(self, actions: Sequence[Mapping[str, Any]]) -> list[Appended]:
        """Append several actions in one write; see `Appender.append_many`."""
        return self.appender.append_many(actions)

    def end(
        self,
        *,
        success: bool,
        result_summary: object = None,
        error_message: str | None = None,
        more_details: Mapping[str, Any] | None = None,
    ) -> Appended:
        """Append the session_end, which is on the disk when this returns, and close the log.

        `more_details` are members of its `details` beside the three that are named here.
        """
        details = {
            "success": success,
            "result_summary": result_summary,
            "error_message": error_message,
            **(more_details or {}),
        }
        action = {
            **_lifecycle("session_end", "success" if success else "failure"),
            "details": {key: value for key, value in details.items() if value is not None},
        }
        appended = self.appender.append(action, durability="disk")
        self.close()
        return appended

    def close(self) -> None:
        """Close the log without ending the session."""
        self.appender.close()


def start_session(
    store: Store,
    header: SessionHeader,
    *,
    started_at: datetime | None = None,
    durability: Durability = "process",
    event_id: str | None = None,
) -> Recording:
    """Make the session's directory, write its first line, and register its id.

    Raises `SettingsInvalid` before anything is made, where the store's settings can't be read.
    Raises `StoreNotWritable` or an append error; a directory without a log may then be left,
    which readers pass over.
    """
    moment = started_at or datetime.now(UTC)
    redactor = redactor_of(store.root)
    directory = store.create_session_directory(moment)
    appender = Appender(directory.log, durability=durability, redactor=redactor)
    action = {
        "timestamp": format_timestamp(moment),
        **_lifecycle("session_start", "success"),
        "details": header.as_details(),
    }
    if event_id is not None:
        action["database_event_id"] = event_id
    try:
        appender.append(action)
        store.register_session(header.session_id, directory.name)
    except BaseException:
        appender.close()  # nobody gets it, and who tries again for days would run out of them
        raise
    return Recording(header.session_id, directory, appender)


def reopen_session(
    store: Store, session_id: str, *, durability: Durability = "process"
) -> Recording | None:
    """Return a recording that goes on with a session, or None where there is no such session."""
    directory = store.find_session(session_id)
    if directory is None:
        return None
    redactor = redactor_of(store.root)
    appender = Appender(directory.log, durability=durability, redactor=redactor)
    return Recording(session_id, directory, appender)


def _lifecycle(event_name: str, status: str) -> dict[str, Any]:
    return {
        "type": "execute",
        "tool": AGENT_TOOL,
        "status": status,
        "read_only": True,
        "event_type": "lifecycle",
        "event_name": event_name,
    }
