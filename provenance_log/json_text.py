"""Change a JSON text in place: what is not changed keeps its bytes, order and layout.

Positions are of characters. The text is known to be JSON before any of this is asked.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_decoder = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")
_INDENT = re.compile(r"\n([ \t]+)\S")


@dataclass(frozen=True, slots=True)
class Item:
    """A member of an object, or an element of an array."""

    start: int
    """Where its key begins, or its value where it has none."""
    value_start: int
    end: int
    key: str | None
    value: Any


@dataclass(frozen=True, slots=True)
class Container:
    """An object or an array in a text."""

    start: int
    end: int
    """Just after its closing bracket."""
    items: tuple[Item, ...]

    def member(self, key: str) -> Item | None:
        """Return the member of this name; of several the last one, which is the one that counts."""
        return next((item for item in reversed(self.items) if item.key == key), None)

    def __getitem__(self, key: str) -> Item:
        found = self.member(key)
        if found is None:
            raise KeyError(key)
        return found


def container_at(text: str, start: int) -> Container:
    """Return the object or array that begins at a position."""
    is_object = text[start] == "{"
    items: list[Item] = []
    position = _skip(text, start + 1)
    while text[position] not in "}]":
        item = _item(text, position, is_object=is_object)
        items.append(item)
        position = _skip(text, item.end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return Container(start, position + 1, tuple(items))


def _item(text: str, start: int, *, is_object: bool) -> Item:
    key, value_start = None, start
    if is_object:
        key, end = _decoder.raw_decode(text, start)
        value_start = _skip(text, _skip(text, end) + 1)
    value, end = _decoder.raw_decode(text, value_start)
    return Item(start, value_start, end, key, value)


def root_of(text: str) -> Container:
    """Return the outermost object or array."""
    return container_at(text, _skip(text, 0))


def without(text: str, container: Container, item: Item) -> str:
    """Return the text without an item, and without the comma and the blanks that came with it."""
    place = container.items.index(item)
    if place > 0:
        return text[: container.items[place - 1].end] + text[item.end :]
    if len(container.items) > 1:
        return text[: item.start] + text[container.items[1].start :]
    return text[: container.start + 1] + text[container.end - 1 :]


def with_item(text: str, container: Container, key: str | None, value: Any, depth: int) -> str:
    """Return the text with an item at the end of a container that stands at this depth.

    It is laid out as the text is: with the indent that it uses, or on one line.
    """
    indent = indent_of(text)
    layout = _dumped(value, indent, depth + 1)
    if key is not None:
        layout = f"{json.dumps(key, ensure_ascii=False)}: {layout}"
    line = "\n" + indent * (depth + 1) if indent else ""
    closing = "\n" + indent * depth if indent else ""
    added = f",{line or ' '}{layout}" if container.items else f"{line}{layout}{closing}"
    if "\r\n" in text:
        added = added.replace("\n", "\r\n")
    if container.items:
        end = container.items[-1].end
        return text[:end] + added + text[end:]
    return text[: container.start + 1] + added + text[container.end - 1 :]


def indent_of(text: str) -> str | None:
    """Return the indent of one level; None for a text that stands on one line."""
    match = _INDENT.search(text)
    if match is not None:
        return match[1]
    return None if ":" in text and "\n" not in text.strip() else "  "


def with_blank(text: str, container: Container, blank: str) -> str:
    """Return the text with these blanks inside a container that is empty."""
    return text[: container.start + 1] + blank + text[container.end - 1 :]


def blank_in(text: str, container: Container) -> str | None:
    """Return the blanks inside a container that is empty; None for one that is not."""
    return None if container.items else text[container.start + 1 : container.end - 1]


def _dumped(value: Any, indent: str | None, depth: int) -> str:
    layout = json.dumps(value, indent=indent, ensure_ascii=False)
    return layout.replace("\n", "\n" + indent * depth) if indent else layout


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return position if match is None else match.end()
