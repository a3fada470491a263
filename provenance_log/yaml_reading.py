"""Read YAML that anybody may have written: a person, another program, whoever made the clone.

Built on the parser's events instead of its constructor, so that nothing in a file can do more than
become texts, numbers, booleans, nulls, lists and mappings (invariant S4). What a plain scalar looks
like in YAML 1.1 does not matter: `no`, `12:30`, `0123`, `1e3`, `3.10` and dates stay the texts that
were written, and only what reads back as the same characters becomes a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from provenance_log.errors import ManifestInvalid, ProvlogError
from provenance_log.strict_json import INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPTH_MAX = 64
EXPANDED_MAX = 4 * 1024 * 1024
"""Values and characters that a document may have once its aliases are followed."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_PRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"0|-?[1-9]\d{0,15}", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})\.\d{1,15}", re.ASCII)
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_ALLOWED_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str"})


def read_yaml_mapping(
    text: str, path: Path, *, refusal: type[ProvlogError] = ManifestInvalid
) -> dict[str, Any]:
    """Return the one mapping that a YAML document holds; `path` is for messages only.

    Raises `refusal` with the line: for bad syntax, a key that is there twice or is no
    scalar, a tag, an alias that leads nowhere or into itself, more than `DEPTH_MAX` levels, more
    than `EXPANDED_MAX` of content, a second document, and a document that is no mapping.
    """
    unprintable = _NOT_PRINTABLE.search(text)
    if unprintable:
        place = text.count("\n", 0, unprintable.start()) + 1
        message = f"the character U+{ord(unprintable[0]):04X} may not be in YAML"
        raise refusal(message, path=path, line=place)
    try:
        return _Document(text, path, refusal).mapping()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        line: int | None = None if mark is None else mark.line + 1
        raise refusal(f"not YAML: {reason}", path=path, line=line) from error


class _Document:
    """The events of one text on their way to a value."""

    def __init__(self, text: str, path: Path, refusal: type[ProvlogError]) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._path = path
        self._refusal = refusal
        self._weight = 0
        self._anchors: dict[str, tuple[Any, int]] = {}

    def mapping(self) -> dict[str, Any]:
        next(self._events)  # the start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self._refuse("it is empty", event)
        first = next(self._events)
        if not isinstance(first, yaml.MappingStartEvent):
            self._refuse("it is no mapping of keys to values", first)
        value: dict[str, Any] = self._value(first, 1)
        next(self._events)  # the end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse("a second document begins", event)
        return value

    def _value(self, event: Any, depth: int) -> Any:
        before = self._weight
        self._grow(1, event)
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        if event.tag not in _ALLOWED_TAGS:
            self._refuse(f"the tag {event.tag} is not allowed", event)
        if depth > DEPTH_MAX:
            self._refuse(f"it nests deeper than {DEPTH_MAX} levels", event)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            self._grow(len(event.value), event)
            is_plain = event.implicit[0] and event.tag is None
            value = plain_value(event.value) if is_plain else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(depth)
        else:
            value = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._weight - before)
        return value

    def _list(self, depth: int) -> list[Any]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse("a key is no plain text", event)
            self._value(event, depth + 1)  # for its weight, tag and anchor
            if event.value in members:
                self._refuse(f"the key {event.value[:80]!r} is there twice", event)
            members[event.value] = self._value(next(self._events), depth + 1)
        return members

    def _aliased(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._refuse(f"the alias *{event.anchor} leads nowhere or into itself", event)
        value, weight = self._anchors[event.anchor]
        self._grow(weight, event)
        return value

    def _grow(self, weight: int, event: Any) -> None:
        self._weight += weight
        if self._weight > EXPANDED_MAX:
            self._refuse("its aliases make it larger than a manifest may be", event)

    def _refuse(self, message: str, event: Any) -> NoReturn:
        raise self._refusal(message, path=self._path, line=event.start_mark.line + 1)


def plain_value(text: str) -> Any:
    """Return what a scalar without quotes means: the text itself unless it is beyond doubt."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text) and abs(int(text)) <= INTEGER_MAX:
        return int(text)
    if _NUMBER.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text
