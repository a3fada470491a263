"""What Claude Code's tools do: their action types, whether they only read, the files they name."""

from __future__ import annotations

from typing import Any

from provenance_log.claude_code.fields import name_of
from provenance_log.claude_code.shell_commands import only_reads

MCP_PREFIX = "mcp__"

_TYPES = {
    "read": ("Read", "NotebookRead", "ReadMcpResource", "BashOutput", "TaskGet", "TaskList"),
    "search": ("Glob", "Grep", "LS", "ListMcpResources", "LSP", "ToolSearch"),
    "analyze": ("Agent", "AgentOutputTool", "Skill", "SlashCommand", "Task", "TaskOutput"),
    "modify": ("Edit", "MultiEdit", "NotebookEdit"),
    "create": ("Write",),
    "execute": ("Bash", "KillBash", "KillShell", "PowerShell", "TaskStop"),
    "query": ("WebFetch", "WebSearch"),
    "decision": (
        "AskUserQuestion",
        "EnterPlanMode",
        "ExitPlanMode",
        "TaskCreate",
        "TaskUpdate",
        "TodoWrite",
    ),
}
_TYPE_OF = {tool: action_type for action_type, tools in _TYPES.items() for tool in tools}
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


def action_type_of(tool: str, structured_result: Any) -> str:
    """Return the action type of a call.

    Writing over a file that was there modifies it. A tool of an MCP server counts as a query,
    and a tool that is not known as something executed.
    """
    if tool == "Write" and isinstance(structured_result, dict):
        return "modify" if structured_result.get("type") == "update" else "create"
    if tool.startswith(MCP_PREFIX):
        return "query"
    return _TYPE_OF.get(tool, "execute")


def is_read_only(tool: str, tool_input: Any) -> bool:
    """Say whether a call can only have read. Where that is not certain the answer is no."""
    if tool == "Bash":
        command = tool_input.get("command") if isinstance(tool_input, dict) else None
        return isinstance(command, str) and only_reads(command)
    return tool in _READ_ONLY or _TYPE_OF.get(tool) in _READ_ONLY_TYPES


def files_named(tool: str, tool_input: Any) -> list[str]:
    """Return the file that a call reads or writes, as its input names it."""
    key = _PATH_KEYS.get(tool)
    if key is None or not isinstance(tool_input, dict):
        return []
    path = name_of(tool_input, key)
    return [path] if path else []
