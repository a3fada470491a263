"""Make any Python value representable in a line, and say where something was lost.

An agent hands over whatever it has: NaN, huge integers, half a surrogate pair, sets, paths,
objects. A recorder that refuses them loses the action, so they are written in the nearest form
that Python, DuckDB and jq read alike, and the JSON paths that changed are listed in
`details._lossy`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.format import DEPTH_MAX, INTEGER_MAX, depth_exceeds

if TYPE_CHECKING:
    from collections.abc import Mapping

LOSSY_KEY = "_lossy"
_DEPTH_LEFT = 8
"""Levels that the action itself needs around a value of its details."""


def representable(action: Mapping[str, Any]) -> dict[str, Any]:
    """Return the action with every value in a form that all readers read alike.

    The common case costs one encoding and changes nothing. Otherwise: NaN and infinities and
    integers beyond 2^53-1 become texts, lone surrogates become U+FFFD, bytes are decoded,
    tuples and sets become arrays, what is nested too deep or unknown becomes its text.
    `details._lossy` then lists the JSON paths that were changed.
    """
    if _is_exact(action):
        return dict(action)
    lossy: list[str] = []
    value = {str(key): _plain(item, f"$.{key}", 1, lossy) for key, item in action.items()}
    if lossy:
        details = value.get("details")
        value["details"] = {**(details if isinstance(details, dict) else {}), LOSSY_KEY: lossy}
    return value


def _is_exact(action: Mapping[str, Any]) -> bool:
    try:
        encoded = orjson.dumps(action, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        return False
    # orjson writes NaN and infinities as null, so every null has to be looked at.
    return b"null" not in encoded and not depth_exceeds(encoded, DEPTH_MAX - 1)


def _plain(value: object, path: str, depth: int, lossy: list[str]) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path, lossy)
    if isinstance(value, int):
        return _integer(int(value), path, lossy)
    if isinstance(value, float):
        return _number(float(value), path, lossy)
    if depth >= DEPTH_MAX - _DEPTH_LEFT:
        lossy.append(path)
        return _text(f"({type(value).__name__} nested too deep)", path, [])
    if isinstance(value, dict):
        return _object(value, path, depth, lossy)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return [_plain(item, f"{path}[{i}]", depth + 1, lossy) for i, item in enumerate(items)]
    return _other(value, path, depth, lossy)


def _object(value: dict[Any, Any], path: str, depth: int, lossy: list[str]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, item in value.items():
        name = _text(key if isinstance(key, str) else str(key), f"{path}.(key)", lossy)
        while name in plain:
            lossy.append(f"{path}.{name}")
            name += "_"
        plain[name] = _plain(item, f"{path}.{name}", depth + 1, lossy)
    return plain


def _text(value: str, path: str, lossy: list[str]) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        lossy.append(path)
        # A valid pair written as two halves is one character; only a lone half is lost.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str(value)


def _integer(value: int, path: str, lossy: list[str]) -> int | str:
    if -INTEGER_MAX <= value <= INTEGER_MAX:
        return value
    lossy.append(path)
    # str() of an int stops at 4,300 digits; hexadecimal has no such limit.
    return str(value) if value.bit_length() < 10_000 else hex(value)


def _number(value: float, path: str, lossy: list[str]) -> float | str:
    if math.isfinite(value):
        return value
    lossy.append(path)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _other(value: object, path: str, depth: int, lossy: list[str]) -> object:
    if isinstance(value, (bytes, bytearray, memoryview)):
        lossy.append(path)
        return bytes(value).decode("utf-8", "backslashreplace")
    try:
        known = orjson.loads(orjson.dumps(value))  # dates, UUIDs, enums, dataclasses
    except (TypeError, ValueError):
        lossy.append(path)
        return _text(_repr(value), path, [])
    return _plain(known, path, depth, lossy)


def _repr(value: object) -> str:
    try:
        return str(value) if hasattr(value, "__fspath__") else repr(value)
    except Exception as error:  # noqa: BLE001  (the repr of a stranger's object may raise anything)
        return f"({type(value).__name__}, whose repr raised {type(error).__name__})"
