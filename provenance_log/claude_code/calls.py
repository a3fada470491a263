"""A tool call, and where it comes from: what transcripts and hooks both tell of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.fields import Block, name_of

if TYPE_CHECKING:
    from provenance_log.claude_code.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Agent:
    """A subagent that the main thread, or another agent, started."""

    agent_id: str
    agent_type: str = ""
    parent_tool_use_id: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item comes from."""

    timestamp: str
    line: int
    uuid: str
    cwd: str
    git_branch: str
    agent: Agent | None

    @property
    def key(self) -> str:
        """What tells the record from every other of its transcript."""
        return self.uuid or f"line {self.line}"


@dataclass(slots=True)
class Call:
    """One tool call; `result` stays None until the transcript has it."""

    origin: Origin
    tool_use_id: str
    tool: str
    input: Any
    message_id: str
    request_id: str
    model: str
    turn: int
    """The turn in which the call, or its late result, was seen last."""
    result: Block | None = None
    structured_result: Any = None
    """The record's `toolUseResult`: an object, or a text where the call failed, or a list."""
    result_timestamp: str = ""
    recorded_as: str = ""
    """The id under which a log has it whose recorder was told no `tool_use_id`."""
    known_outcome: Outcome | None = None
    """How it ended, where that is known otherwise than from its result."""
    measured_ms: int | None = None
    """How long it took, where whoever ran it has told."""
    times: str = "transcript"
    """Where the two timestamps come from; names the source of a duration made of them."""

    @property
    def call_id(self) -> str:
        """What tells the call from every other of its session, in all lines about it."""
        return self.recorded_as or self.tool_use_id

    @property
    def spawned_agent_id(self) -> str:
        """The subagent that this call started; empty where it started none."""
        structured = self.structured_result
        return name_of(structured, "agentId") if isinstance(structured, dict) else ""
