"""Items become action lines. Every id and value is a function of the transcript alone."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.claude_code.decisions import decision_columns
from provenance_log.claude_code.fields import object_of, text_of
from provenance_log.claude_code.outcomes import Outcome, duration_of, outcome_of, output_of
from provenance_log.claude_code.tools import (
    MCP_PREFIX,
    action_type_of,
    files_named,
    is_read_only,
)
from provenance_log.errors import LineInvalid
from provenance_log.format import (
    COLUMN_INTEGER_MAX,
    SESSION_NAMESPACE,
    canonical_timestamp,
    format_timestamp,
    timestamp_us,
)

if TYPE_CHECKING:
    from provenance_log.claude_code.calls import Agent, Call, Origin
    from provenance_log.claude_code.items import Item, Message, Note, Prompt
    from provenance_log.claude_code.recognition import Redact
    from provenance_log.taxonomy import Taxonomy

Action = dict[str, Any]

AGENT_TYPE = "claude-code"
LOG_TOOL = "ClaudeCode"
"""The tool of lines that are no tool call: what was said, and what Claude Code itself noted."""

_SESSION_ID_LENGTHS = [8, 4, 4, 4, 12]
_HEX = "0123456789abcdef"
_CANONICAL_LENGTH = len("2026-01-31T10:00:00.000000Z")
# A time that is surely one; the days after the 28th are looked at more closely.
_TIMESTAMP = re.compile(
    r"2\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z"
)
_ENVELOPE = frozenset(
    {
        "cwd",
        "gitBranch",
        "isMeta",
        "isSidechain",
        "logicalParentUuid",
        "parentUuid",
        "sessionId",
        "slug",
        "subtype",
        "timestamp",
        "type",
        "userType",
        "uuid",
        "version",
    }
)


def deterministic_id(name: str) -> str:
    """Return the UUIDv5 of a name in this project's namespace; any text will do."""
    digest = hashlib.sha1(
        SESSION_NAMESPACE.bytes + name.encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).digest()
    # As uuid.UUID would write it, at half the price: an import makes several ids for a line.
    text = digest.hex()
    variant = "89ab"[digest[8] >> 4 & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def store_session_id(session_id: str) -> str:
    """Return the id under which a store keeps a session: its own where that is a UUID.

    A session id is data that anyone may have written; one that is no UUID is mapped to one.
    """
    parts = session_id.split("-")
    if list(map(len, parts)) == _SESSION_ID_LENGTHS and not "".join(parts).strip(_HEX):
        return session_id
    return deterministic_id(f"claude-code session {session_id}")


def child_session_id(session_id: str, agent_id: str) -> str:
    """Return the id of a subagent's session; `session_id` is the trunk's in the store."""
    return deterministic_id(f"{session_id}/{agent_id}")


def event_id(session_id: str, agent_id: str, kind: str, key: str) -> str:
    """Return the id of an event, equal in every import of every copy of its transcript."""
    return deterministic_id(f"{session_id}/{agent_id}/{kind}/{key}")


def log_time(text: str) -> str:
    """Return a transcript's time as a log writes it; what is no time becomes 1970."""
    if len(text) == _CANONICAL_LENGTH and text.startswith("20"):
        with suppress(LineInvalid):
            return canonical_timestamp(text)
    if _TIMESTAMP.fullmatch(text):
        return text[:-1] + "000Z"
    return format_timestamp(moment_of(text))


def moment_of(text: str) -> datetime:
    """Return a transcript's time; what is no time becomes 1970."""
    try:
        return datetime.fromtimestamp(timestamp_us(text) / 1_000_000, UTC)
    except (LineInvalid, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


class ActionWriter:
    """Makes the action lines of one session."""

    def __init__(
        self,
        session_id: str,
        trunk_session_id: str,
        taxonomy: Taxonomy,
        redact: Redact,
    ) -> None:
        """Both ids are those of the store; they differ for the session of a subagent.

        `redact` does what the appender will do, for what is made of content before it appends.
        """
        self.redact = redact
        self.session_id = session_id
        self.taxonomy = taxonomy
        self.trunk_session_id = trunk_session_id

    def id_of(self, item: Item, kind: str, key: str) -> str:
        """Return the event id of an item."""
        agent = item.origin.agent
        return event_id(self.session_id, agent.agent_id if agent else "", kind, key)

    def call(self, call: Call, own_id: str, earlier_id: str | None) -> Action:
        """Return the line of a call; `earlier_id` is the earlier line that lacked the result."""
        outcome = outcome_of(call)
        duration_ms, duration_source = duration_of(call)
        details = {
            "call_id": call.call_id,
            "tool_type": "mcp" if call.tool.startswith(MCP_PREFIX) else "claude_code",
            "tool_name": call.tool,
            "input_params": call.input,
            "output_data": output_of(call),
            "output_size_bytes": _size_bytes(output_of(call)),
            **decision_columns(call, outcome.status),
            "tool_use_id": call.tool_use_id,
            "message_id": call.message_id,
            "request_id": call.request_id,
            "model": call.model,
            "duration_source": duration_source,
            "pending": True if call.result is None else None,
            "related_event_id": earlier_id,
            **_where(call.origin),
        }
        action = {
            **_frame(call.origin, own_id, outcome),
            "type": action_type_of(call.tool, call.structured_result, self.taxonomy),
            "tool": call.tool,
            "details": _filled(details),
            "read_only": is_read_only(call.tool, call.input, self.taxonomy),
            "event_type": "tool_call",
            "event_name": call.tool,
        }
        if duration_ms is not None:
            action["duration_ms"] = duration_ms
        files = files_named(call.tool, call.input)
        if files and outcome.status in {"success", "partial"}:
            action["files_affected"] = files
        if call.spawned_agent_id:
            child = child_session_id(self.trunk_session_id, call.spawned_agent_id)
            action["entity_links"] = [_link("provenance_sessions", child, "spawned")]
        return action

    def message(self, message: Message, own_id: str) -> Action:
        """Return the line of an answer of the model."""
        text = "\n".join(message.texts)
        outcome = Outcome("failure", "api_error", text[:2000]) if message.is_error else _SUCCESS
        details = {
            "text": text,
            "thinking": "\n".join(filter(None, message.thoughts)),
            "message_id": message.message_id,
            "request_id": message.request_id,
            "model": message.model,
            "usage": message.usage,
            "stop_reason": message.stop_reason,
            "piece_count": message.piece_count,
            **_where(message.origin),
        }
        return _log_line(message.origin, own_id, "assistant_message", details, outcome)

    def prompt(self, prompt: Prompt, own_id: str) -> Action:
        """Return the line of something said to the model."""
        details = {
            "text": prompt.text,
            "kind": prompt.kind,
            "image_count": prompt.image_count or None,
            **_where(prompt.origin),
        }
        return _log_line(prompt.origin, own_id, "user_prompt", details)

    def note(self, note: Note, own_id: str) -> Action:
        """Return the line of a title, a link to a pull request, or a system record."""
        record, where = note.record, _where(note.origin)
        if note.kind == "summary":
            details = {"text": text_of(record, "summary"), "kind": "title", **where}
            return {**_log_line(note.origin, own_id, "note", details), "event_type": "annotation"}
        if note.kind == "pr-link":
            details = {"repository": text_of(record, "prRepository"), "url": note.key, **where}
            return {
                **_log_line(note.origin, own_id, "pr_link", details),
                "event_type": "entity_link",
                "entity_links": [_link("pull_requests", note.key, "references")],
            }
        if note.kind == "tool_result":
            return _log_line(note.origin, own_id, "tool_result", {"result": record, **where})
        rest = {key: value for key, value in record.items() if key not in _ENVELOPE}
        outcome = _SUCCESS
        if note.kind == "api_error":
            error = object_of(record, "error")
            message = text_of(record, "content") or text_of(error, "message")
            outcome = Outcome("failure", "api_error", message)
        return _log_line(note.origin, own_id, f"system_{note.kind}", {**rest, **where}, outcome)


_SUCCESS = Outcome("success")


def _frame(origin: Origin, own_id: str, outcome: Outcome) -> Action:
    error = {"message": outcome.message, "code": outcome.code} if outcome.code else None
    context = {"working_directory": origin.cwd, "git_branch": origin.git_branch}
    frame = {
        "timestamp": log_time(origin.timestamp),
        "status": outcome.status,
        "context": {key: value for key, value in context.items() if value},
        "error": error,
        "database_event_id": own_id,
    }
    return {key: value for key, value in frame.items() if value}


def _log_line(
    origin: Origin, own_id: str, event_name: str, details: Action, outcome: Outcome = _SUCCESS
) -> Action:
    return {
        **_frame(origin, own_id, outcome),
        "type": "read",
        "tool": LOG_TOOL,
        "details": _filled(details),
        "read_only": True,
        "event_type": "log",
        "event_name": event_name,
    }


def _where(origin: Origin) -> Action:
    where: Action = {"source_uuid": origin.uuid, "source_line": origin.line or None}
    return where | _agent_columns(origin.agent)


def _agent_columns(agent: Agent | None) -> Action:
    if agent is None:
        return {}
    return {
        "agent_id": agent.agent_id,
        "agent_type": agent.agent_type,
        "parent_tool_use_id": agent.parent_tool_use_id,
    }


def _filled(details: Action) -> Action:
    """Leave out what is not known; an input or output is kept whatever it is."""
    return {
        key: value
        for key, value in details.items()
        if key in {"input_params", "output_data", "text"} or value not in (None, "", {})
    }


def _link(entity_table: str, entity_id: str, link_type: str) -> dict[str, str]:
    return {"entity_table": entity_table, "entity_id": entity_id, "link_type": link_type}


def _size_bytes(output: Any) -> int | None:
    """Return the size of an output: of a text in UTF-8, of anything else as JSON."""
    if output is None:
        return None
    try:
        size = len(output.encode()) if isinstance(output, str) else len(orjson.dumps(output))
    except (TypeError, UnicodeEncodeError):  # what the appender will have to change anyway
        return None
    return min(size, COLUMN_INTEGER_MAX)
