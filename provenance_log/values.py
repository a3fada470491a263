"""Make any Python value representable in a line, and say where something was lost.

An agent hands over whatever it has: NaN, huge integers, half a surrogate pair, sets, paths,
objects. A recorder that refuses them loses the action, so they are written in the nearest form
that Python, DuckDB and jq read alike, and the JSON paths that changed are listed in
`details._lossy`.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import orjson

from provenance_log.strict_json import DEPTH_MAX, INTEGER_MAX, count_brackets, nests_deeper

LOSSY_KEY = "_lossy"
LOSSY_PATHS_MAX = 1_000
"""Paths that are listed one by one; a last entry says how many more there were."""
_DEPTH_LEFT = 8
"""Levels that the action itself needs around a value of its details."""


def representable(action: Mapping[str, Any]) -> dict[str, Any]:
    """Return the action with every value in a form that all readers read alike.

    The common case costs one encoding and changes nothing. Otherwise: NaN and infinities and
    integers beyond 2^53-1 become texts, lone surrogates become U+FFFD, bytes are decoded,
    tuples and sets become arrays, what is nested too deep, inside itself, or unknown becomes its
    text. `details._lossy` then lists the JSON paths that were changed. Never raises for a value.
    """
    if exact_json(action) is not None:
        return dict(action)
    lossy = _Lossy()
    value = _object(action, "$", 1, lossy)
    details = value.get("details")
    # Details that are no object are refused by the encoder, with what they hold in sight.
    if lossy.paths and (details is None or isinstance(details, dict)):
        value["details"] = {**(details or {}), LOSSY_KEY: lossy.listed()}
    return value


class _Lossy:
    """The paths that changed, and the containers that the walk is inside of."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.count = 0
        self.inside: set[int] = set()

    def note(self, path: str) -> None:
        self.count += 1
        if self.count <= LOSSY_PATHS_MAX:
            self.paths.append(path)

    def listed(self) -> list[str]:
        more = self.count - len(self.paths)
        return [*self.paths, f"and {more} more"] if more else self.paths


def exact_json(action: Mapping[str, Any]) -> bytes | None:
    """Return the encoded action where every reader reads it as it is; else None."""
    try:
        encoded = orjson.dumps(action, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        return None
    has_null = encoded.find(b"null") >= 0
    if not has_null and count_brackets(encoded) < DEPTH_MAX:
        return encoded
    value = orjson.loads(encoded)
    # orjson writes NaN and infinities as null, and then the value no longer equals its source.
    is_exact = not nests_deeper(value, DEPTH_MAX - 1) and (not has_null or bool(value == action))
    return encoded if is_exact else None


def _plain(value: object, path: str, depth: int, lossy: _Lossy) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path, lossy)
    if isinstance(value, int):
        return _integer(int(value), path, lossy)
    if isinstance(value, float):
        return _number(float(value), path, lossy)
    if depth >= DEPTH_MAX - _DEPTH_LEFT or id(value) in lossy.inside:
        lossy.note(path)
        where = "inside itself" if id(value) in lossy.inside else "nested too deep"
        return f"({type(value).__name__} {where})"
    lossy.inside.add(id(value))
    try:
        return _container(value, path, depth, lossy)
    except Exception:  # noqa: BLE001  (a stranger's object may raise anything when looked into)
        lossy.note(path)
        return whole_characters(_repr(value))
    finally:
        lossy.inside.discard(id(value))


def _container(value: object, path: str, depth: int, lossy: _Lossy) -> object:
    if isinstance(value, Mapping):
        return _object(value, path, depth, lossy)
    if isinstance(value, (list, tuple)):
        return _array(value, path, depth, lossy)
    if isinstance(value, AbstractSet):
        return _array(sorted(value, key=_repr), path, depth, lossy)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name, None) for field in _fields(value)}
        return _object(fields, path, depth, lossy)
    return _other(value, path, depth, lossy)


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _object(value: Mapping[Any, Any], path: str, depth: int, lossy: _Lossy) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, item in value.items():
        name = _text(key if isinstance(key, str) else _repr(key), f"{path}.(key)", lossy)
        while name in plain:
            lossy.note(f"{path}.{name}")
            name += "_"
        plain[name] = _plain(item, f"{path}.{name}", depth + 1, lossy)
    return plain


def _array(items: Iterable[object], path: str, depth: int, lossy: _Lossy) -> list[object]:
    return [_plain(item, f"{path}[{i}]", depth + 1, lossy) for i, item in enumerate(items)]


def _text(value: str, path: str, lossy: _Lossy) -> str:
    value = str.__str__(value)  # str() of an enumeration's member is its name, not its text
    try:
        value.encode()
    except UnicodeEncodeError:
        lossy.note(path)
        return whole_characters(value)
    return value


def whole_characters(value: str) -> str:
    """Return a text as a log holds it: half of a surrogate pair becomes U+FFFD."""
    # A valid pair written as two halves is one character; only a lone half is lost.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _integer(value: int, path: str, lossy: _Lossy) -> int | str:
    if -INTEGER_MAX <= value <= INTEGER_MAX:
        return value
    lossy.note(path)
    # str() of an int stops at 4,300 digits; hexadecimal has no such limit.
    return str(value) if value.bit_length() < 10_000 else hex(value)


def _number(value: float, path: str, lossy: _Lossy) -> float | str:
    if math.isfinite(value):
        return value
    lossy.note(path)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _other(value: object, path: str, depth: int, lossy: _Lossy) -> object:
    if isinstance(value, (bytes, bytearray, memoryview)):
        lossy.note(path)
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, enum.Enum):
        return _plain(value.value, path, depth + 1, lossy)
    array = _as_list(value)
    if array is not None:
        return _plain(array, path, depth, lossy)
    try:
        known = orjson.loads(orjson.dumps(value))  # dates, times, UUIDs
    except (TypeError, ValueError):
        lossy.note(path)
        return whole_characters(_repr(value))
    return _plain(known, path, depth, lossy)


def _as_list(value: Any) -> object:
    """Return what NumPy's arrays and scalars, and those who imitate them, say they hold."""
    try:
        held = value.tolist()
    except Exception:  # noqa: BLE001  (a stranger's method may raise anything)
        return None
    return held if isinstance(held, (list, int, float, str)) else None


def _repr(value: object) -> str:
    try:
        is_number = isinstance(value, (str, int, float)) or _is_decimal(value)
        is_its_text = is_number or hasattr(value, "__fspath__")
        return str(value) if is_its_text else repr(value)
    except Exception as error:  # noqa: BLE001  (the repr of a stranger's object may raise anything)
        return f"({type(value).__name__}, whose repr raised {type(error).__name__})"


def _is_decimal(value: object) -> bool:
    # Who never imported the module, which is dear, has no number of it.
    decimal = sys.modules.get("decimal")
    return decimal is not None and isinstance(value, decimal.Decimal)
