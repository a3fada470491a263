"""Take fields from decoded JSON for what they are, never for what they should be."""

from __future__ import annotations

from typing import Any

Block = dict[str, Any]

NAME_LENGTH_MAX = 4_096
"""Characters kept of what is a name: a path, a branch, a version, a tool."""


def text_of(value: Block, key: str) -> str:
    """Return a text field; empty where it is missing or something else."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def name_of(value: Block, key: str) -> str:
    """Return a text field that is a name; longer ones, which no program needs, are cut."""
    return text_of(value, key)[:NAME_LENGTH_MAX]


def object_of(value: Block, key: str) -> Block:
    """Return an object field; empty where it is missing or something else."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def blocks_of(content: Any) -> list[Block]:
    """Return the content blocks of a message; none where the content is not a list of them."""
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict)]


def content_of(record: Block) -> Any:
    """Return the content of the message that a record carries."""
    message = record.get("message")
    return message.get("content") if isinstance(message, dict) else message


def number_of(value: Block, key: str) -> float | None:
    """Return a number that is not negative; None where it is missing or something else."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    return found if found >= 0 else None
