"""JSON that Python, DuckDB and jq read alike: stricter than each of them, bounded in depth.

Beyond RFC 8259, what is refused is what one of the three rounds, replaces or chokes on: integers
beyond 2^53-1, numbers beyond a 64-bit float, half of a surrogate pair, deep nesting.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, NoReturn

import orjson

from provenance_log.errors import LineInvalid

DEPTH_MAX = 128
INTEGER_MAX = 2**53 - 1

# A number token that could be out of range: 16 digits or more, or an exponent of three digits.
# It also matches text that looks like one, which only costs the slow check.
_SUSPECT_NUMBER = re.compile(rb"[:,\[\s]-?(?:\d{16}|\d[\d.]*[eE][+-]?\d{3})")
# The possessive repeats make it linear: a string that is never closed runs to the end, once.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0a-\x0c\x0e-\x1f]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def count_brackets(document: bytes) -> int:
    """Return how often an array or object could begin: at least as often as one does."""
    return document.count(b"[") + document.count(b"{")


def nests_deeper(value: list[Any] | dict[str, Any], depth_max: int) -> bool:
    """Say whether a parsed array or object has more levels of them than this."""
    level = [value]
    for _ in range(depth_max):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def depth_exceeds(document: bytes, depth_max: int) -> bool:
    """Say the same of text that may not be JSON at all, by its brackets outside strings."""
    if count_brackets(document) <= depth_max:
        return False
    brackets = _STRING.sub(b"", document).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > depth_max


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the object of a line, or raise `LineInvalid` where the readers would not agree on it.

    Of a key that is there twice the last one counts, as in Python and jq.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _why_not_json(line, error) from error
    if not isinstance(value, dict):
        raise LineInvalid("not_object", f"the line is a {type(value).__name__}, not an object")
    # What is byte for byte as the writer makes it has exact numbers and no key twice.
    try:
        is_canonical = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER) == line
    except TypeError:
        is_canonical = False
    # Every level takes two brackets, so a short line needs no counting.
    if (
        len(line) > 2 * DEPTH_MAX
        and count_brackets(line) > DEPTH_MAX
        and (nests_deeper(value, DEPTH_MAX) if is_canonical else depth_exceeds(line, DEPTH_MAX))
    ):
        raise LineInvalid("too_deep", f"nested deeper than {DEPTH_MAX} levels")
    if not is_canonical and _SUSPECT_NUMBER.search(line):
        _check_numbers(line)
    return value


def _why_not_json(line: bytes, error: orjson.JSONDecodeError) -> LineInvalid:
    if not line.strip():
        return LineInvalid("empty", "the line is empty")
    if depth_exceeds(line, DEPTH_MAX):
        return LineInvalid("too_deep", f"nested deeper than {DEPTH_MAX} levels")
    try:
        text = line.decode()
    except UnicodeDecodeError as not_utf8:
        return LineInvalid("not_utf8", f"not UTF-8 at byte {not_utf8.start} of the line")
    message = f"{error.msg} (byte {len(text[: error.pos].encode())} of the line)"
    try:
        _check_numbers(line)
    except LineInvalid as out_of_range:
        return out_of_range
    except ValueError as not_json:
        is_control = _CONTROL_BYTE.search(line) or "control character" in str(not_json)
        return LineInvalid("control_byte" if is_control else "not_json", message)
    # Python's own parser takes it, and half a surrogate pair is all that it takes beyond JSON.
    return LineInvalid("lone_surrogate", message)


def _check_numbers(line: bytes) -> None:
    """Refuse what Python, DuckDB and jq would read as different numbers.

    Raises `LineInvalid` for such a number, and ValueError for what is not JSON at all.
    """

    def exact_integer(text: str) -> int:
        if len(text) > len(str(-INTEGER_MAX)) or abs(int(text)) > INTEGER_MAX:
            message = f"the integer {text[:40]} is beyond 2^53-1"
            raise LineInvalid("number_out_of_range", message)
        return int(text)

    def finite(text: str) -> float:
        if abs(float(text)) == float("inf"):
            message = f"the number {text[:40]} is beyond a 64-bit float"
            raise LineInvalid("number_out_of_range", message)
        return float(text)

    def no_constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is not JSON")

    json.loads(
        line.decode(), parse_int=exact_integer, parse_float=finite, parse_constant=no_constant
    )
