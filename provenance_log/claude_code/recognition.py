"""How two observers of one session agree on what they saw: the hooks and the transcript.

A call has a `tool_use_id` that both see. Where a hook was told none, as by versions before 1.0.100,
and for prompts, which have none, the n-th occurrence of equal content is the same thing to both.
The content is compared without its secrets, so that no log holds the hash of one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.values import representable

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance_log.claude_code.items import Prompt

    Redact = Callable[[dict[str, Any]], dict[str, Any]]
    """Takes the secrets out of an action, as the appender does."""

UNNAMED = "unnamed-"
_KEY_LENGTH = 32
_TYPED_KINDS = frozenset({"prompt", "queued", "command"})


def input_key(tool: str, tool_input: Any, redact: Redact) -> str:
    """Return what is equal for two calls of a tool with the same input."""
    return _key({"tool": tool, "input_params": tool_input}, redact)


def unnamed_call_id(key: str, number: int) -> str:
    """Return the id of the n-th call with an input, in place of the `tool_use_id` it lacks."""
    return f"{UNNAMED}{key}-{number}"


def prompt_key(text: str, redact: Redact) -> str:
    """Return what is equal for two prompts of the same words."""
    return _key({"text": text.strip()}, redact)


def typed_text(prompt: Prompt) -> str | None:
    """Return what a person typed, as a hook is told it; None where nobody typed."""
    if prompt.origin.agent is not None or prompt.kind not in _TYPED_KINDS:
        return None
    # Only an import has prompts of a transcript, and a hook imports as little as it can.
    from provenance_log.claude_code.records import typed_command  # noqa: PLC0415

    return typed_command(prompt.text) if prompt.kind == "command" else prompt.text


def _key(details: dict[str, Any], redact: Redact) -> str:
    value = redact(representable({"details": details}))["details"]
    content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:_KEY_LENGTH]
