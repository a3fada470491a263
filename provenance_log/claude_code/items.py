"""What a transcript tells, item by item: the values between its records and the action lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from provenance_log.claude_code.calls import Call, Origin
from provenance_log.claude_code.fields import Block

_NAME_LENGTH_MAX = 80
_UNKNOWN_NAMES_MAX = 100


@dataclass(slots=True)
class Message:
    """One answer of the model, joined from the pieces in which it was written."""

    origin: Origin
    key: str
    message_id: str
    request_id: str
    model: str
    piece_count: int = 0
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    stop_reason: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """What was said to the model: by the person, or in the person's name."""

    origin: Origin
    key: str
    text: str
    kind: str
    """prompt, queued, command, command_output, shell_command, meta, caveat, compact_summary,
    interruption, task_notification or subagent_prompt."""
    image_count: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """A record of its own kind: system records, links to pull requests, titles, stray results."""

    origin: Origin
    key: str
    kind: str
    record: Block


Item = Call | Message | Prompt | Note


@dataclass(slots=True)
class Beginning:
    """What the first turn says about the session."""

    timestamp: str = ""
    version: str = ""
    cwd: str = ""
    git_branch: str = ""
    model: str = ""
    prompt: str = ""
    command: str = ""


@dataclass(slots=True)
class Counts:
    """What did not become an item."""

    set_aside: Counter[str] = field(default_factory=Counter)
    """Records of known types that hold nothing for a log."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Records of types that this version does not know, by name."""
    repeated: int = 0
    """Records that were there before, with the same uuid."""
    stray_results: int = 0
    """Tool results without their call."""

    def count(self, name: str, *, is_known: bool) -> None:
        """Count a record that becomes no item, by its type."""
        if is_known:
            self.set_aside[name] += 1
            return
        name = name[:_NAME_LENGTH_MAX]
        is_one_too_many = name not in self.unknown and len(self.unknown) >= _UNKNOWN_NAMES_MAX
        self.unknown["(others)" if is_one_too_many else name] += 1
