"""What Claude Code's tools do: their action types, whether they only read, the files they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.fields import name_of

if TYPE_CHECKING:
    from provenance_log.taxonomy import Taxonomy

MCP_PREFIX = "mcp__"

_READ_ONLY_TYPES = frozenset({"read", "search"})
_READ_ONLY = frozenset(
    {"AskUserQuestion", "EnterPlanMode", "ExitPlanMode", "TaskOutput", "WebFetch", "WebSearch"}
)
_PATH_KEYS = {
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path",
    "NotebookRead": "notebook_path",
    "Read": "file_path",
    "Write": "file_path",
}


def action_type_of(tool: str, structured_result: Any, taxonomy: Taxonomy) -> str:
    """Return the action type of a call: what the taxonomy says of its tool.

    Writing over a file that was there modifies it, which only the result tells. A tool that is
    not known counts as something executed.
    """
    if tool == "Write" and isinstance(structured_result, dict):
        return "modify" if structured_result.get("type") == "update" else "create"
    return taxonomy.type_of_tool(tool) or "execute"


def is_read_only(tool: str, tool_input: Any, taxonomy: Taxonomy) -> bool:
    """Say whether a call can only have read. Where that is not certain the answer is no."""
    if tool == "Bash":
        # Its expressions take as long to compile as a line to write, and most calls are others.
        from provenance_log.claude_code.shell_commands import only_reads  # noqa: PLC0415

        command = tool_input.get("command") if isinstance(tool_input, dict) else None
        return isinstance(command, str) and only_reads(command)
    return tool in _READ_ONLY or taxonomy.type_of_tool(tool) in _READ_ONLY_TYPES


def files_named(tool: str, tool_input: Any) -> list[str]:
    """Return the file that a call reads or writes, as its input names it."""
    key = _PATH_KEYS.get(tool)
    if key is None or not isinstance(tool_input, dict):
        return []
    path = name_of(tool_input, key)
    return [path] if path else []
