"""How a call ended: status, error code and message, duration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.fields import blocks_of, number_of, text_of
from provenance_log.claude_code.tools import MCP_PREFIX
from provenance_log.errors import LineInvalid
from provenance_log.format import COLUMN_INTEGER_MAX, timestamp_us

if TYPE_CHECKING:
    from provenance_log.claude_code.calls import Call

MESSAGE_LENGTH_MAX = 2_000
"""Characters of an error's message in `error`; the whole of it is in `output_data`."""

_EXIT_CODE = re.compile(r"(?:Error: )?Exit code (\d{1,10})")
_TAG = re.compile(r"</?tool_use_error>")
_SAID = "the user said:\n"
# How the text of a failed call begins, and what that means.
_BEGINNINGS = (
    ("The user doesn't want to", "skipped", "user_rejected"),
    ("<tool_use_error>Sibling tool call errored", "skipped", "sibling_error"),
    ("Sibling tool call errored", "skipped", "sibling_error"),
    ("[Request interrupted", "partial", "interrupt"),
    ("<tool_use_error>File does not exist", "failure", "enoent"),
    ("<tool_use_error>Path does not exist", "failure", "enoent"),
    ("File does not exist", "failure", "enoent"),
    ("<tool_use_error>", "failure", "tool_use_error"),
)
_REFUSALS = frozenset(
    {"user_rejected", "sibling_error", "permission_denied", "enoent", "tool_use_error"}
)
_DENIED = re.compile(r"Permission to use .{1,20000} has been (?:auto-)?denied", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended; `code` is empty where nothing went wrong."""

    status: str
    code: str = ""
    message: str = ""


def outcome_of(call: Call) -> Outcome:
    """Return status and error of a call. Without a result it is partial, as far as is known."""
    if call.known_outcome is not None:
        return call.known_outcome
    if call.result is None:
        return Outcome("partial", "no_result", "the transcript has no result of this call")
    structured = call.structured_result
    if call.result.get("is_error") is True:
        return _failed(call.tool, result_text(call))
    if isinstance(structured, dict):
        if structured.get("interrupted") is True:
            return Outcome("partial", "interrupt", "interrupted")
        is_open = structured.get("status") == "async_launched"
        if is_open or structured.get("truncated") is True:
            return Outcome("partial")
    return Outcome("success")


def _failed(tool: str, text: str) -> Outcome:
    message = _TAG.sub("", text).strip()[:MESSAGE_LENGTH_MAX]
    exit_code = _EXIT_CODE.match(text)
    if exit_code is not None:
        return Outcome("failure", f"exit_{int(exit_code[1])}", message)
    for beginning, status, code in _BEGINNINGS:
        if text.startswith(beginning):
            return Outcome(status, code, message)
    if _DENIED.match(text):
        return Outcome("skipped", "permission_denied", message)
    return Outcome("failure", "mcp_error" if tool.startswith(MCP_PREFIX) else "error", message)


def refusal_of(tool: str, text: str) -> Outcome | None:
    """Return how a call ended that was refused before it ran, as the text of its result tells.

    None where the text does not tell of a refusal.
    """
    outcome = _failed(tool, text)
    return outcome if outcome.code in _REFUSALS else None


def result_text(call: Call) -> str:
    """Return the text that the model got as the result."""
    if call.result is None:
        return ""
    content = call.result.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(text_of(block, "text") for block in blocks_of(content))


def words_of_user(call: Call) -> str:
    """Return what the person said when rejecting a call; empty where nothing was said."""
    _, _, said = result_text(call).partition(_SAID)
    return said.strip()


def output_of(call: Call) -> Any:
    """Return the result, whole: the structured one where the transcript has it."""
    if call.result is None:
        return None
    return call.result.get("content") if call.structured_result is None else call.structured_result


def duration_of(call: Call) -> tuple[int | None, str]:
    """Return milliseconds and where they come from.

    `hook` means that Claude Code told its hook, `tool` that the tool measured them itself.
    `transcript` is the time between two records, and `hook_times` between two hooks, which both
    include waiting for a permission. None where neither is known, where the clock
    went backwards, and where it is longer than the 24 days that fit into the table's column.
    """
    if call.measured_ms is not None:
        return call.measured_ms, "hook"
    structured = call.structured_result
    if isinstance(structured, dict):
        for key, factor in (("durationMs", 1), ("totalDurationMs", 1), ("durationSeconds", 1000)):
            number = number_of(structured, key)
            if number is not None and number * factor <= COLUMN_INTEGER_MAX:
                return round(number * factor), "tool"
    if call.result is None or not call.result_timestamp:
        return None, ""
    try:
        span_us = timestamp_us(call.result_timestamp) - timestamp_us(call.origin.timestamp)
    except LineInvalid:
        return None, ""
    milliseconds = span_us // 1000
    if not 0 <= milliseconds <= COLUMN_INTEGER_MAX:
        return None, ""
    return milliseconds, call.times
