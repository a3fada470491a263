"""What a single record of a transcript is and holds, without regard to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.fields import Block, blocks_of, object_of, text_of

if TYPE_CHECKING:
    from provenance_log.claude_code.transcripts import Record

SYNTHETIC_MODEL = "<synthetic>"
"""The model that Claude Code names where it wrote a message itself."""

_USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)
# Known types, with their subtypes, that carry nothing that an action would hold.
_NAMES_SET_ASIDE = (
    "agent-name ai-title atis-latch attachment bridge-session custom-title "
    "file-history-snapshot last-prompt mode permission-mode progress/bash_progress "
    "progress/hook_progress progress/mcp_progress progress/query_update "
    "progress/search_results_received progress/waiting_for_task system/stop_hook_summary "
    "system/turn_duration"
)
_SET_ASIDE = frozenset(_NAMES_SET_ASIDE.split())
TASK_NOTIFICATION = "<task-notification>"
# The beginning of a user message that no person typed, and what it is.
_WRAPPERS = (
    ("[Request interrupted", "interruption"),
    ("<command-name>", "command"),
    ("<command-message>", "command"),
    ("<local-command-caveat>", "caveat"),
    ("Caveat: The messages below", "caveat"),
    ("<local-command-", "command_output"),
    ("<bash-input>", "shell_command"),
    ("<bash-std", "command_output"),
    (TASK_NOTIFICATION, "task_notification"),
)


def is_set_aside(kind: str) -> bool:
    """Say whether records of a type, or of a `type/subtype`, are known to hold nothing to keep."""
    return kind in _SET_ASIDE


def kind_of_prompt(record: Record, text: str) -> str:
    """Return what a user message is: `prompt` where a person typed it."""
    if record.get("isCompactSummary") is True:
        return "compact_summary"
    for beginning, kind in _WRAPPERS:
        if text.startswith(beginning):
            return kind
    return "meta" if record.get("isMeta") is True else "prompt"


def said_in(content: Any) -> tuple[str, bool, int]:
    """Return the text of a user message, whether it holds tool results, and how many images."""
    if isinstance(content, str):
        return content, False, 0
    blocks = blocks_of(content)
    texts = [text_of(block, "text") for block in blocks if block.get("type") == "text"]
    has_results = any(block.get("type") == "tool_result" for block in blocks)
    image_count = sum(block.get("type") == "image" for block in blocks)
    return "\n".join(texts), has_results, image_count


def usage_of(body: Block) -> dict[str, int]:
    """Return the token counts of a message; those of messages that no model wrote do not count."""
    if body.get("model") == SYNTHETIC_MODEL:
        return {}
    usage = object_of(body, "usage")
    return {name: usage[name] for name in _USAGE if type(usage.get(name)) is int}


def typed_command(text: str) -> str:
    """Return a typed slash command as it was typed."""

    def between(tag: str) -> str:
        _, _, rest = text.partition(f"<{tag}>")
        return rest.partition(f"</{tag}>")[0].strip()

    return f"{between('command-name')} {between('command-args')}".strip()
