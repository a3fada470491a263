"""Hook events that are no tool call become lines. What is not known is kept under its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.actions import LOG_TOOL, child_session_id, event_id, log_time
from provenance_log.claude_code.fields import Block, blocks_of, name_of, text_of
from provenance_log.claude_code.recognition import prompt_key
from provenance_log.recording import AGENT_TOOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance_log.claude_code.actions import ActionWriter
    from provenance_log.claude_code.arrivals import Arrival
    from provenance_log.log_end import LogEnd

Action = dict[str, Any]

ARRIVAL_KEY = "arrival_id"
"""Of a line whose own id is made of its content: the id by which a retry knows it."""

_MESSAGE_LENGTH_MAX = 2_000
# Of every payload these are told elsewhere in the line, or nowhere.
_ENVELOPE = frozenset(
    {
        "agent_id",
        "agent_transcript_path",
        "agent_type",
        "cwd",
        "effort",
        "hook_event_name",
        "permission_mode",
        "prompt_id",
        "session_id",
        "stop_hook_active",
        "transcript_path",
    }
)
_NAMES = {
    "PreCompact": "compact_start",
    "PostCompact": "compact_end",
    "PostToolBatch": "tool_batch",
    "Stop": "turn_end",
    "StopFailure": "turn_failure",
    "UserPromptExpansion": "prompt_expansion",
}
_FILE_EVENTS = frozenset({"ConfigChange", "FileChanged", "InstructionsLoaded"})
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def line_of(log_end: LogEnd, arrival: Arrival, writer: ActionWriter) -> Action:
    """Return the line of an event."""
    make = _MAKERS.get(arrival.event_name)
    if make is not None:
        return make(log_end, arrival, writer)
    return _log(arrival, _rest(arrival))


def _log(arrival: Arrival, details: Block, **keys: Any) -> Action:
    name = arrival.event_name
    action = {
        "timestamp": log_time(arrival.time),
        "type": "read",
        "tool": LOG_TOOL,
        "status": "success",
        "context": arrival.context,
        "details": details | arrival.circumstances(),
        "read_only": True,
        "event_type": "log",
        "event_name": _NAMES.get(name) or _HUMP.sub("_", name).lower(),
        "database_event_id": arrival.event_id,
        **keys,
    }
    path = name_of(arrival.payload, "file_path") if name in _FILE_EVENTS else ""
    return {**action, "files_affected": [path]} if path else action


def _rest(arrival: Arrival) -> Block:
    """Return what the payload holds beside what every payload holds."""
    return {
        key: value
        for key, value in arrival.payload.items()
        if key not in _ENVELOPE and value not in (None, "", [], {})
    }


def _lifecycle(arrival: Arrival, event_name: str, details: Block, **keys: Any) -> Action:
    keys = {"type": "execute", "tool": AGENT_TOOL, "event_type": "lifecycle", **keys}
    return _log(arrival, details, event_name=event_name, **keys)


def _session_resume(_log_end: LogEnd, arrival: Arrival, _writer: ActionWriter) -> Action:
    return _lifecycle(arrival, "session_resume", _rest(arrival))


def _session_end(log_end: LogEnd, arrival: Arrival, _writer: ActionWriter) -> Action:
    """A session whose last turn failed has failed; any other one ended as its person wished."""
    needles = (b'"event_name":"turn_end"', b'"event_name":"turn_failure"')
    last = next(log_end.recent(*needles), {})
    is_failed = last.get("event_name") == "turn_failure"
    details = {
        "success": not is_failed,
        "reason": text_of(arrival.payload, "reason"),
        "git_commit_after": arrival.context.get("git_commit"),
    }
    details = {key: value for key, value in details.items() if value not in ("", None)}
    if is_failed:
        details["error_message"] = (last.get("error") or {}).get("message", "")
    status = "failure" if is_failed else "success"
    return _lifecycle(arrival, "session_end", details, status=status)


def _user_prompt(log_end: LogEnd, arrival: Arrival, writer: ActionWriter) -> Action:
    """The id is what an import makes of the n-th prompt of these words in the transcript."""
    text = text_of(arrival.payload, "prompt")
    key = prompt_key(text, writer.redact)
    needle = f'"prompt_key":"{key}"'.encode()
    number = 1 + sum(one.get("event_name") == "user_prompt" for one in log_end.all_with(needle))
    own_id = event_id(writer.session_id, "", "typed", f"{key}/{number}")
    details = {"text": text, "kind": "prompt", "prompt_key": key, ARRIVAL_KEY: arrival.event_id}
    return _log(arrival, details, event_name="user_prompt", database_event_id=own_id)


def _turn_end(_log_end: LogEnd, arrival: Arrival, writer: ActionWriter) -> Action:
    details = _rest(arrival)
    text = details.pop("last_assistant_message", None)
    details = {"text": text, **details} if text else details
    if arrival.event_name != "SubagentStop" or not arrival.agent_id:
        return _log(arrival, details)
    link = {
        "entity_table": "provenance_sessions",
        "entity_id": child_session_id(writer.session_id, arrival.agent_id),
        "link_type": "recorded_in",
    }
    return _log(arrival, details, entity_links=[link])


def _turn_failure(_log_end: LogEnd, arrival: Arrival, _writer: ActionWriter) -> Action:
    code = name_of(arrival.payload, "error") or "unknown"
    told = text_of(arrival.payload, "error_details")
    told = told or text_of(arrival.payload, "last_assistant_message") or code
    error = {"message": told[:_MESSAGE_LENGTH_MAX], "code": code}
    return _log(arrival, _rest(arrival), status="failure", error=error)


def _permission_request(_log_end: LogEnd, arrival: Arrival, _writer: ActionWriter) -> Action:
    details = {
        "decision_type": "permission_request",
        "decision_point": f"use {name_of(arrival.payload, 'tool_name')}",
        "input_values": arrival.payload.get("tool_input"),
        "branches_available": ["allowed", "denied"],
        "permission_suggestions": arrival.payload.get("permission_suggestions"),
    }
    return _decision(arrival, details)


def _elicitation(_log_end: LogEnd, arrival: Arrival, _writer: ActionWriter) -> Action:
    rest = _rest(arrival)
    details = {
        **rest,
        "decision_type": "elicitation",
        "decision_point": text_of(arrival.payload, "message")
        or name_of(arrival.payload, "mcp_server_name"),
        "branch_taken": name_of(arrival.payload, "action"),
    }
    return _decision(arrival, details)


def _decision(arrival: Arrival, details: Block) -> Action:
    details = {key: value for key, value in details.items() if value not in (None, "")}
    return _log(arrival, details, type="decision", event_type="decision")


def _tool_batch(_log_end: LogEnd, arrival: Arrival, _writer: ActionWriter) -> Action:
    calls = blocks_of(arrival.payload.get("tool_calls"))
    return _log(arrival, {"tool_use_ids": [name_of(call, "tool_use_id") for call in calls]})


_MAKERS: dict[str, Callable[[LogEnd, Arrival, ActionWriter], Action]] = {
    "Elicitation": _elicitation,
    "ElicitationResult": _elicitation,
    "PermissionRequest": _permission_request,
    "PostToolBatch": _tool_batch,
    "SessionEnd": _session_end,
    "SessionStart": _session_resume,
    "Stop": _turn_end,
    "StopFailure": _turn_failure,
    "SubagentStop": _turn_end,
    "UserPromptSubmit": _user_prompt,
}
