r"""Write values of JSON as YAML, in the same bytes everywhere.

PyYAML's dumper writes some values differently with libyaml and without it (the key `""`, long
keys, symbols outside the first plane), leaves `1e3` and bidirectional controls bare, and takes
about twice as long with libyaml and ten times without. A generated file is compared by its bytes
and carries their digest, so a small emitter that can't vary is the safer one. There are no tags,
anchors or aliases in what it writes: block mappings and lists, numbers, and strings that are
either beyond doubt or in double quotes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.terminal import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Only what no version of YAML takes for anything but a string stays without quotes.
_PLAIN = re.compile(r"[A-Za-z/_](?:[A-Za-z0-9_./+@-]| (?=[A-Za-z0-9_/]))*")
_RESERVED = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_NONCHARACTERS = {0xFFFE: r"\uFFFE", 0xFFFF: r"\uFFFF"}
_SIMPLE_KEY_LENGTH_MAX = 128
"""Longer keys are written as `? key`, since YAML ends its search for the colon at 1,024."""


def to_yaml(document: Mapping[str, Any]) -> bytes:
    """Return a YAML document that parsers of YAML 1.1 and 1.2 read back as the same values.

    `document` holds what JSON can hold: strings, finite numbers, booleans, None, lists, mappings
    with strings for keys. Control and hidden characters are escaped. Raises TypeError for others.
    """
    lines: list[str] = []
    _add_mapping(lines, document, "")
    return "".join(f"{line}\n" for line in lines or ["{}"]).encode()


def _add_mapping(lines: list[str], mapping: Mapping[str, Any], indent: str) -> None:
    for key, item in mapping.items():
        start = f"{indent}{_text(key)}:"
        if len(start) > _SIMPLE_KEY_LENGTH_MAX:
            lines.append(f"{indent}? {start[len(indent) : -1]}")
            start = f"{indent}:"
        if isinstance(item, (dict, list)) and item:
            lines.append(start)
            _add_block(lines, item, f"{indent}  " if isinstance(item, dict) else indent)
        else:
            lines.append(f"{start} {_scalar(item)}")


def _add_list(lines: list[str], items: Sequence[Any], indent: str) -> None:
    for item in items:
        if isinstance(item, (dict, list)) and item:
            first = len(lines)
            _add_block(lines, item, f"{indent}  ")
            lines[first] = f"{indent}- {lines[first][len(indent) + 2 :]}"
        else:
            lines.append(f"{indent}- {_scalar(item)}")


def _add_block(lines: list[str], block: dict[str, Any] | list[Any], indent: str) -> None:
    if isinstance(block, dict):
        _add_mapping(lines, block, indent)
    else:
        _add_list(lines, block, indent)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        shown = repr(value)
        # YAML 1.1 wants a point in front of the exponent.
        return shown if "." in shown or "e" not in shown else shown.replace("e", ".0e")
    if value is None or isinstance(value, (bool, int)) or value in ({}, []):
        return orjson.dumps(value).decode()
    raise TypeError(f"{type(value).__name__} has no place in a manifest")


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    # Cached, since the keys are the same in every file and paths and commands come again.
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    # Every string of JSON is one of YAML in double quotes, but for the characters that YAML wants
    # escaped and JSON does not; the escapes of the terminal are YAML's as well.
    quoted = orjson.dumps(text).decode()
    if quoted.isascii() and "\x7f" not in quoted:
        return quoted
    return escape(quoted).translate(_NONCHARACTERS)
