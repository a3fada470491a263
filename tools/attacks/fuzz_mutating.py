"""Mutations that know JSON: a value is put in the place of another, a member goes, a line doubles.

Bytes that libFuzzer changes are seldom JSON any more, and then only the first check is tried.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from attacks.poison_lines import tame

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**53, -(2**53), 2**63, 1e308, 1e-320, 0.1, -0.0, 10**30),
    *("", " ", "x" * 300, "\x00", "\n", "\ud800", "\U0001f3f7", "\u2028", "\x1b[31m", "../../x"),
    *("2026-02-01T10:00:00Z", "0001-01-01T00:00:00+14:00", "password=hunter2hunter2", "success"),
    *(
        [],
        {},
        [[]],
        [{}],
        {"": None},
        [None],
        {"a": {"a": {}}},
        [1, "a", {"b": []}],
        "session_start",
    ),
    *(
        {"content": "x"},
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "t9"},
        "tool_use",
    ),
)


def json_lines(inputs: Sequence[bytes]) -> list[Any]:
    """Return the value of every line of some inputs that is JSON."""
    values = []
    for line in b"\n".join(inputs).split(b"\n"):
        try:
            values.append(json.loads(line))
        except ValueError:
            continue
    return values


def mutated(data: bytes, random: Random, valid: Sequence[Any]) -> bytes:
    """Return the bytes with a line doubled, left out, or changed as JSON.

    In the place of a line that is not JSON, one of the `valid` values is changed.
    """
    lines = data.split(b"\n")
    index = random.randrange(len(lines))
    kind = random.randrange(12)
    if kind == 0:
        lines.insert(random.randrange(len(lines) + 1), lines[index])
    elif kind == 1:
        del lines[index]
    else:
        lines[index] = _line(lines[index], random, valid)
    return b"\n".join(lines)


def _line(line: bytes, random: Random, valid: Sequence[Any]) -> bytes:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = random.choice(valid)
    for _ in range(random.choice((1, 1, 2, 4))):
        value = _changed(value, random)
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, random: Random) -> Any:
    if not isinstance(value, (dict, list)) or not value or random.random() < 0.05:
        return json.loads(tame(random)) if random.random() < 0.3 else random.choice(_VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    # What is outermost is checked first, and most changes there end everything.
    inner = [key for key in keys if isinstance(value[key], (dict, list))]
    if inner and random.random() < 0.8:
        key = random.choice(inner)
        return _with(value, key, _changed(value[key], random))
    key = random.choice(keys)
    kind = random.randrange(10)
    changed: Any = value.copy()
    if kind == 0:
        del changed[key]
    elif kind == 1 and isinstance(changed, dict):
        changed[random.choice(("", "a", "type", "details", "message"))] = random.choice(_VALUES)
    else:
        changed[key] = _changed(value[key], random)
    return changed


def _with(value: Any, key: Any, item: Any) -> Any:
    changed: Any = value.copy()
    changed[key] = item
    return changed
