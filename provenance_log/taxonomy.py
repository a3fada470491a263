"""What kind of action a tool or an event is, and which tool an event is about.

The tables come from `action-types.yaml`, which a project extends; nothing about any tool stands
in code. `settings` reads the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTHERWISE = "execute"
"""What is not known is taken for something that may have changed something."""


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The tables of `action-types.yaml`."""

    tools: Mapping[str, str] = field(default_factory=dict)
    """Tool → action type; a name that ends with `*` stands for all that begin like it."""
    event_types: Mapping[str, str] = field(default_factory=dict)
    """Event type → action type."""
    event_names: tuple[tuple[tuple[str, ...], str], ...] = ()
    """Words that all occur in an event's name → the tool the event is about; the first wins."""

    def type_of_tool(self, tool: str) -> str | None:
        """Return the action type of a tool; None for a tool that is not known."""
        if tool in self.tools:
            return self.tools[tool]
        beginnings = [name for name in self.tools if name.endswith("*")]
        fitting = [name for name in beginnings if tool.startswith(name[:-1])]
        return self.tools[max(fitting, key=len)] if fitting else None

    def type_of_event(self, event_type: str, tool: str) -> str:
        """Return the action type of an event: that of its tool, else that of its event type."""
        return self.type_of_tool(tool) or self.event_types.get(event_type, _OTHERWISE)

    def tool_of_event(self, event_name: str) -> str:
        """Return the tool that an event is about, by its name; the name itself if none fits."""
        name = event_name.lower()
        for words, tool in self.event_names:
            if all(word in name for word in words):
                return tool
        return event_name
