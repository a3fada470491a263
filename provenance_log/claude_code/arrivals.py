"""One call of a hook: what Claude Code wrote on stdin, and what only the recorder can know."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from provenance_log.claude_code.calls import Agent, Origin
from provenance_log.claude_code.fields import Block, name_of, text_of
from provenance_log.errors import PayloadInvalid
from provenance_log.values import representable

if TYPE_CHECKING:
    from provenance_log.claude_code.recognition import Redact

_SPOOL_VERSION = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """A payload with the time and the state of the repository at which it came."""

    payload: Block
    time: str
    """RFC 3339, UTC; no payload has one."""
    context: dict[str, str]
    """working_directory, git_branch and git_commit, as far as they are known."""
    event_id: str
    """The id of the event, if its content does not give it one that is better."""
    is_retry: bool = False
    """Whether it was tried before, so that the log may have it."""

    @property
    def event_name(self) -> str:
        """The name of the hook event; of old payloads it follows from what they hold."""
        name = name_of(self.payload, "hook_event_name")
        if name or "tool_name" not in self.payload:
            return name
        return "PostToolUse" if "tool_response" in self.payload else "PreToolUse"

    @property
    def session_id(self) -> str:
        """The session's id as Claude Code has it."""
        return text_of(self.payload, "session_id")

    @property
    def agent_id(self) -> str:
        """The subagent in which it happened; empty for the main thread."""
        return name_of(self.payload, "agent_id")

    def origin(self) -> Origin:
        """Return where the lines about it come from."""
        agent = None
        if self.agent_id:
            agent = Agent(self.agent_id, name_of(self.payload, "agent_type"))
        return Origin(
            self.time,
            0,
            "",
            self.context.get("working_directory", ""),
            self.context.get("git_branch", ""),
            agent,
        )

    def circumstances(self) -> Block:
        """Return the details that an event of any kind may have."""
        effort = self.payload.get("effort")
        found = {
            "prompt_id": name_of(self.payload, "prompt_id"),
            "permission_mode": name_of(self.payload, "permission_mode"),
            "effort": name_of(effort, "level") if isinstance(effort, dict) else "",
            "agent_id": self.agent_id,
            "agent_type": name_of(self.payload, "agent_type"),
        }
        return {key: value for key, value in found.items() if value}


def parse_payload(data: bytes) -> Block:
    """Return the object that Claude Code wrote; raises `PayloadInvalid` saying what came instead.

    A payload may hold half a surrogate pair, which only the lenient parser takes.
    """
    if not data.strip():
        raise PayloadInvalid("stdin is empty")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            # The message of the parser tells a place and no content.
            raise PayloadInvalid(f"not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise PayloadInvalid("not a JSON object")
    if not text_of(value, "session_id"):
        raise PayloadInvalid("no session_id")
    if not text_of(value, "hook_event_name") and "tool_name" not in value:
        raise PayloadInvalid("no hook_event_name")
    return value


def to_spool(arrival: Arrival, redact: Redact) -> bytes:
    """Return what the spool keeps: the arrival without its secrets."""
    kept = {
        "version": _SPOOL_VERSION,
        "kind": "claude-code-hook",
        "time": arrival.time,
        "context": arrival.context,
        "event_id": arrival.event_id,
        "payload": redact(representable(arrival.payload)),
    }
    return orjson.dumps(kept)


def from_spool(content: bytes) -> Arrival:
    """Return the arrival that was spooled; raises `PayloadInvalid`."""
    try:
        kept = orjson.loads(content)
        arrival = Arrival(kept["payload"], kept["time"], kept["context"], kept["event_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise PayloadInvalid(f"not a spooled event: {error}") from error
    return replace(arrival, is_retry=True)
