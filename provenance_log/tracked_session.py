"""A session of a tracker: who its parent is, and how its events become lines."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance_log.environment import user_context, working_directory
from provenance_log.errors import LineInvalid, SessionNotRecorded
from provenance_log.format import COLUMN_INTEGER_MAX, STATUSES, decode, format_timestamp
from provenance_log.git_state import git_state
from provenance_log.reader import read_first_line
from provenance_log.recording import Recording, SessionHeader, start_session
from provenance_log.samples import summary_of_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provenance_log.settings import DetailLevel, Settings
    from provenance_log.store import Store

ERROR_LENGTH_MAX = 2_000
READ_ONLY_EVENTS = frozenset({"lifecycle", "log", "cache_hit"})


class TrackedSession:
    """One session as long as it is current somewhere in this process.

    It is there before its log is: an agent whose session could not be started goes on, and what
    it does is counted as not recorded.
    """

    def __init__(
        self,
        agent_type: str,
        query: str,
        kwargs: Mapping[str, Any],
        around: TrackedSession | None,
        parent_session_id: str | None,
        header: Mapping[str, Any],
    ) -> None:
        self.session_id = str(uuid.uuid4())
        self.pid = os.getpid()
        self.agent_type = agent_type
        self.query = query
        self.kwargs = kwargs
        self.header = header
        self.started_at = datetime.now(UTC)
        self.parent = around
        """The session that is current again after this one."""
        self.parent_session_id = parent_session_id or (around.session_id if around else None)
        self.depth = self.depth_around() or 0
        self.failure_count = 0
        """Calls of this session that could not be recorded."""
        self.last_event_id: str | None = None
        self.recording: Recording | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the session."""
        return {
            "session_id": self.session_id,
            "agent_type": self.agent_type,
            "query": self.query,
            "kwargs": dict(self.kwargs),
            "start_time": format_timestamp(self.started_at),
            "parent_session_id": self.parent_session_id,
            "depth": self.depth,
        }

    def append(
        self,
        action_type: str,
        tool: str,
        event_type: str,
        event_name: str,
        details: Mapping[str, Any],
        *,
        status: str = "success",
        error: object = None,
        duration_ms: float | None = None,
        files_affected: Sequence[object] | None = None,
        entity_links: Sequence[Mapping[str, str]] | None = None,
        is_read_only: bool = False,
    ) -> str:
        """Append one line and return the id of its event; raises `ProvlogError`."""
        event_id = str(uuid.uuid4())
        kept = {key: value for key, value in details.items() if value is not None}
        if isinstance(error, BaseException):
            kept.setdefault("error_type", type(error).__name__)
        action = {
            "type": action_type,
            "tool": tool or "unknown",
            "status": status,
            "duration_ms": _duration(duration_ms),
            "context": _context(),
            "details": kept,
            "files_affected": [str(path) for path in files_affected or ()],
            "read_only": is_read_only,
            "error": _error(error, kept.get("error_type")),
            "entity_links": [dict(link) for link in entity_links or ()],
            "event_type": event_type,
            "event_name": event_name,
        }
        self._opened().append(
            {key: value for key, value in action.items() if value not in (None, [], {})}
            | {"database_event_id": event_id, "details": kept}
        )
        self.last_event_id = event_id
        return event_id

    def end(
        self, *, success: bool, result: Any, error: str | None, detail_level: DetailLevel
    ) -> None:
        """Append the last line, with what became of the repository; raises `ProvlogError`."""
        directory = working_directory()
        commit = git_state(Path(directory)).commit if directory else None
        more = {"git_commit_after": commit, "recording_failures": self.failure_count or None}
        self._opened().end(
            success=success,
            result_summary=summary_of_result(result, detail_level),
            error_message=None if error is None else str(error)[:ERROR_LENGTH_MAX],
            more_details=more,
        )

    def _opened(self) -> Recording:
        if self.recording is None:
            raise SessionNotRecorded("the session could not be started, so nothing of it is kept")
        return self.recording

    def depth_around(self) -> int | None:
        """Return the depth below the parent, if that is among the sessions around this one."""
        session = self.parent
        while session is not None:
            if session.session_id == self.parent_session_id:
                return session.depth + 1
            session = session.parent
        return None


class ToolCall:
    """What a block of `track_tool_call` tells of itself."""

    def __init__(self) -> None:
        self.result: Any = None
        self.facts: dict[str, Any] = {}

    def set_result(self, result: Any) -> None:
        """Say what the call returned."""
        self.result = result

    def note(self, **facts: Any) -> None:
        """Say more of the call: cache_hit, cache_key, retry_count, error, and the like."""
        self.facts.update(facts)

    def ended(self, raised: BaseException | None) -> dict[str, Any]:
        """Return what to record of the call besides its result, now that the block is over."""
        facts = dict(self.facts)
        if raised is not None:
            facts.setdefault("error", raised)
            if not isinstance(raised, Exception):
                facts.setdefault("status", "partial")  # cancelled, or the program ends
        facts.setdefault("success", facts.get("error") is None)
        return facts


def status_of(details: Mapping[str, Any]) -> str:
    """Return the status that the details of an event tell; `success` where they tell none."""
    status = details.get("status")
    if status in STATUSES:
        return str(status)
    return "failure" if details.get("success") is False or details.get("error") else "success"


def open_session(
    session: TrackedSession, store: Store, settings: Settings, db_path: Path | None
) -> str:
    """Make the session's directory and its first line; raises `ProvlogError`."""
    if session.parent_session_id is not None and session.depth_around() is None:
        session.depth = depth_of_session(store, session.parent_session_id) + 1
    header = SessionHeader(
        agent_type=session.agent_type,
        query=session.query,
        session_id=session.session_id,
        kwargs=session.kwargs,
        user_context=user_context(db_path=db_path),
        parent_session_id=session.parent_session_id,
        depth=session.depth,
        **session.header,
    )
    session.recording = start_session(
        store, header, started_at=session.started_at, durability=settings.durability
    )
    return session.session_id


def depth_of_session(store: Store, session_id: str) -> int:
    """Return the depth that a session's first line tells; 0 where it tells none."""
    directory = store.find_session(session_id)
    raw = None if directory is None else read_first_line(directory.log)
    if raw is None or raw.content is None:
        return 0
    try:
        header = (decode(raw.content).get("details") or {}).get("session")
    except LineInvalid:
        return 0
    depth = header.get("depth") if isinstance(header, dict) else None
    return depth if isinstance(depth, int) else 0


def _context() -> dict[str, str]:
    directory = working_directory()
    return {} if directory is None else {"working_directory": directory}


def _duration(duration_ms: float | None) -> int | None:
    if duration_ms is None or not 0 <= duration_ms <= COLUMN_INTEGER_MAX:
        return None  # no duration is better than one that no reader takes
    return round(duration_ms)


def _error(error: object, error_type: object) -> dict[str, str] | None:
    if error is None or error == "":
        return None
    code = str(error_type) if error_type else "error"
    return {"message": str(error)[:ERROR_LENGTH_MAX], "code": code}
