"""Hook events about tool calls become lines: a start, one result, or the word that none came.

A start is an event of its own, so that a call that never ends is in the log. The result is the
line of the call; it names its start and has its time. What stays open when a turn, a subagent or
a session ends is closed as skipped; a result that comes later still is a line with the same call
id, which stands for the call from then on, as it does after an import of an unfinished call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.claude_code.actions import LOG_TOOL, ActionWriter, event_id, log_time
from provenance_log.claude_code.calls import Agent, Call, Origin
from provenance_log.claude_code.fields import Block, blocks_of, name_of, object_of, text_of
from provenance_log.claude_code.hook_lines import ARRIVAL_KEY
from provenance_log.claude_code.outcomes import MESSAGE_LENGTH_MAX, Outcome, refusal_of
from provenance_log.claude_code.recognition import input_key, unnamed_call_id
from provenance_log.format import COLUMN_INTEGER_MAX
from provenance_log.values import whole_characters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provenance_log.claude_code.arrivals import Arrival
    from provenance_log.log_end import LogEnd

Action = dict[str, Any]

CALL_EVENTS = frozenset({"PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionDenied"})
# After these nothing is left running, in the main thread or anywhere.
_CLOSES_MAIN = frozenset({"Stop", "StopFailure"})
_CLOSES_ALL = frozenset({"SessionEnd", "SessionStart"})
_ABOUT_CALLS = (b'"event_type":"tool_start"', b'"event_type":"tool_call"')


@dataclass(frozen=True, slots=True)
class _Name:
    """What the lines of one call are found by."""

    call_id: str
    agent_id: str
    marks: Block = field(default_factory=dict)
    """Of a call without a `tool_use_id`: what its next lines are matched by."""


@dataclass(slots=True)
class _Known:
    """What a log has of one call."""

    start: Action | None = None
    is_closed: bool = False
    """Whether a line says that no result came."""
    is_ended: bool = False


class CallLines:
    """Makes the lines that one arrival brings about calls."""

    def __init__(self, log_end: LogEnd, arrival: Arrival, writer: ActionWriter) -> None:
        self._log_end = log_end
        self._arrival = arrival
        self._writer = writer

    def of_call(self) -> list[Action]:
        """Return the line of a PreToolUse or of what ends a call; none if the log has it."""
        name = self._name()
        known = self._known(name.call_id)
        if self._arrival.event_name == "PreToolUse":
            return [] if known.start is not None else [self._start(name, known)]
        return [] if known.is_ended else [self._end(name, known)]

    def of_orphans(self) -> list[Action]:
        """Return the lines that close what the arrival leaves without a result."""
        name = self._arrival.event_name
        if name == "PostToolBatch":
            return list(self._refused())
        if name in _CLOSES_ALL:
            return [self._closed(start) for start in self._open_starts()]
        if name == "SubagentStop":
            agent_id = self._arrival.agent_id
            if not agent_id:  # an old version, which does not tell whose calls have ended
                return []
            return [self._closed(one) for one in self._open_starts() if agent_id == _agent(one)]
        if name in _CLOSES_MAIN:
            return [self._closed(one) for one in self._open_starts() if not _agent(one)]
        return []

    def _name(self) -> _Name:
        payload = self._arrival.payload
        tool_use_id = text_of(payload, "tool_use_id")
        if tool_use_id:
            return _Name(tool_use_id, self._arrival.agent_id)
        key = input_key(_tool(payload), payload.get("tool_input"), self._writer.redact)
        is_start = self._arrival.event_name == "PreToolUse"
        number = self._number(key, is_start=is_start)
        marks = {
            "input_key": key,
            "input_number": number,
            ARRIVAL_KEY: self._arrival.event_id,
        }
        return _Name(unnamed_call_id(key, number), "", marks)

    def _number(self, key: str, *, is_start: bool) -> int:
        """Return which of the calls with this input it is: the oldest that lacks what has come.

        A result goes to a call that was not closed, if there is one.
        """
        starts, ends, closed = set[int](), set[int](), set[int]()
        for action in self._log_end.all_with(key.encode()):
            details = action.get("details") or {}
            number = details.get("input_number")
            if details.get("input_key") != key or not isinstance(number, int):
                continue
            kind = "start" if action.get("event_type") == "tool_start" else "end"
            place = closed if details.get("pending") else ends if kind == "end" else starts
            place.add(number)
        without_result = (starts - ends - closed) or ((starts | closed) - ends)
        waiting = ends - starts if is_start else without_result
        return min(waiting) if waiting else max(starts | ends | closed, default=0) + 1

    def _known(self, call_id: str) -> _Known:
        known = _Known()
        call_id = whole_characters(call_id)  # as the log has it
        for action in self._log_end.recent(orjson.dumps(call_id)[1:-1]):
            details = action.get("details") or {}
            if details.get("call_id") != call_id:
                continue
            if action.get("event_type") == "tool_start":
                known.start = action
                known.is_ended = known.is_ended or "related_event_id" in details
                break  # nothing about a call is older than its start, but what the start names
            if action.get("event_type") == "tool_call":
                known.is_closed = known.is_closed or details.get("pending") is True
                known.is_ended = known.is_ended or details.get("pending") is not True
        return known

    def _start(self, name: _Name, known: _Known) -> Action:
        """Return the start of a call; one that comes after its result names that.

        Its type and tool are those of what is no call, so that no tool and no file counts twice.
        """
        call = self._call(name, self._arrival.origin())
        action = self._writer.call(call, self._id(name, "start"), None)
        details = {
            **{key: action["details"][key] for key in _START_DETAILS if key in action["details"]},
            **name.marks,
            **self._arrival.circumstances(),
        }
        if known.is_ended:
            details["related_event_id"] = self._id(name, "call")
        return {
            "timestamp": action["timestamp"],
            "type": "read",
            "tool": LOG_TOOL,
            "status": "success",
            "context": self._arrival.context,
            "details": details,
            "read_only": True,
            "event_type": "tool_start",
            "event_name": call.tool,
            "database_event_id": action["database_event_id"],
        }

    def _end(self, name: _Name, known: _Known) -> Action:
        arrival, payload = self._arrival, self._arrival.payload
        started_at = (known.start or {}).get("timestamp", arrival.time)
        call = self._call(name, _moved(arrival.origin(), started_at))
        call.measured_ms = _milliseconds(payload.get("duration_ms"))
        call.result_timestamp = arrival.time if known.start is not None else ""
        self._take_result(call)
        action = self._line(call, name, "call", known.start)
        action["context"] = arrival.context
        action["details"] |= arrival.circumstances()
        if arrival.event_name == "PermissionDenied":
            action["details"] |= _denial(call, text_of(payload, "reason"))
        return action

    def _take_result(self, call: Call) -> None:
        payload, name = self._arrival.payload, self._arrival.event_name
        if name == "PostToolUse":
            response = payload.get("tool_response")
            call.result = {"content": response}
            call.structured_result = None if isinstance(response, str) else response
            return
        key = "reason" if name == "PermissionDenied" else "error"
        text = text_of(payload, key)
        call.result = {"content": text, "is_error": True}
        if name == "PermissionDenied":
            message = (text or "permission denied")[:MESSAGE_LENGTH_MAX]
            call.known_outcome = Outcome("skipped", "permission_denied", message)
        elif payload.get("is_interrupt") is True:
            message = (text or "interrupted")[:MESSAGE_LENGTH_MAX]
            call.known_outcome = Outcome("partial", "interrupt", message)

    def _refused(self) -> Iterator[Action]:
        """Yield the calls of a batch that never ran: no other hook tells of them.

        The others of the batch may have their result on the way, in a process beside this one.
        """
        for told in blocks_of(self._arrival.payload.get("tool_calls")):
            tool_use_id, response = text_of(told, "tool_use_id"), told.get("tool_response")
            known = self._known(tool_use_id) if tool_use_id else _Known()
            if known.start is None or known.is_ended:
                continue
            if response is None:
                yield self._closed(known.start)
                continue
            outcome = refusal_of(name_of(told, "tool_name"), _text(response))
            if outcome is not None:
                call, name = self._call_of(known.start)
                call.known_outcome = outcome
                call.result = {"content": response, "is_error": True}
                yield self._line(call, name, "call", known.start)

    def _open_starts(self) -> list[Action]:
        """Return the starts near the end of the log that nothing follows, oldest first."""
        starts: dict[str, Action] = {}
        settled: set[str] = set()
        for action in self._log_end.recent(*_ABOUT_CALLS):
            details = action.get("details") or {}
            call_id = str(details.get("call_id"))
            is_start = action.get("event_type") == "tool_start"
            if is_start and "related_event_id" not in details:
                starts[call_id] = action
            elif action.get("event_type") == "tool_call":
                settled.add(call_id)
        return [one for key, one in reversed(starts.items()) if key not in settled]

    def _closed(self, start: Action) -> Action:
        call, name = self._call_of(start)
        message = f"no result had come at {self._arrival.event_name}"
        call.known_outcome = Outcome("skipped", "no_result", message)
        return self._line(call, name, "pending", start)

    def _call_of(self, start: Action) -> tuple[Call, _Name]:
        """Return the call that a start told of."""
        details = object_of(start, "details")
        context = object_of(start, "context")
        agent_id = name_of(details, "agent_id")
        agent = Agent(agent_id, name_of(details, "agent_type")) if agent_id else None
        origin = Origin(
            text_of(start, "timestamp"),
            0,
            "",
            name_of(context, "working_directory"),
            name_of(context, "git_branch"),
            agent,
        )
        marks = {key: details[key] for key in _MARKS if key in details}
        name = _Name(text_of(details, "call_id"), "" if marks else agent_id, marks)
        tool = name_of(details, "tool_name") or "unknown"
        return _new_call(origin, name, tool, details.get("input_params")), name

    def _call(self, name: _Name, origin: Origin) -> Call:
        payload = self._arrival.payload
        return _new_call(origin, name, _tool(payload), payload.get("tool_input"))

    def _line(self, call: Call, name: _Name, kind: str, start: Action | None) -> Action:
        start_id = None if start is None else str(start.get("database_event_id"))
        action = self._writer.call(call, self._id(name, kind), start_id)
        if start is not None:
            action["context"] = start.get("context") or {}
        action["details"] |= name.marks
        return action

    def _id(self, name: _Name, kind: str) -> str:
        return event_id(self._writer.session_id, name.agent_id, kind, name.call_id)


_MARKS: tuple[str, ...] = ("input_key", "input_number")
_START_DETAILS = (
    *("call_id", "tool_type", "tool_name", "input_params", "tool_use_id"),
    *("agent_id", "agent_type"),
)


def _new_call(origin: Origin, name: _Name, tool: str, tool_input: Any) -> Call:
    tool_use_id = "" if name.marks else name.call_id
    call = Call(origin, tool_use_id, tool, tool_input, "", "", "", 0, times="hook_times")
    call.recorded_as = name.call_id if name.marks else ""
    return call


def _tool(payload: Block) -> str:
    return name_of(payload, "tool_name") or "unknown"


def _agent(action: Action) -> str:
    return text_of(object_of(action, "details"), "agent_id")


def _moved(origin: Origin, timestamp: str) -> Origin:
    return Origin(
        log_time(timestamp), origin.line, origin.uuid, origin.cwd, origin.git_branch, origin.agent
    )


def _milliseconds(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return round(value) if 0 <= value <= COLUMN_INTEGER_MAX else None


def _text(response: Any) -> str:
    if isinstance(response, str):
        return response
    texts: Sequence[str] = [text_of(block, "text") for block in blocks_of(response)]
    return "\n".join(texts)


def _denial(call: Call, reason: str) -> Block:
    denial = {
        "decision_id": call.call_id,
        "decision_type": "permission",
        "decision_point": f"use {call.tool}",
        "branch_taken": "denied",
        "branches_available": ["allowed", "denied"],
        "reason": reason,
    }
    return {key: value for key, value in denial.items() if value}
