"""The mark that stands where a secret stood, and whether two texts agree but for their marks.

A mark is `[redacted:RULE:DIGEST]`. The digest is keyed by the store, so the same secret gives the
same mark there, and nobody without the key can try guesses against it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

REDACTED_KEY = "_redacted"
"""Member of `details` that lists what was taken out, each with rule, path and digest."""
REDACTED_ENTRIES_MAX = 1_000
"""Entries that are listed one by one; a last one says how many more there were."""
MARK_START = "[redacted:"

AnyHit = TypeVar("AnyHit", bound=tuple[Any, ...])

_MARK = re.compile(r"\[redacted:[\w.-]{1,64}:[0-9a-f]{8}\]", re.ASCII)


def digest_of(key: bytes, secret: str) -> str:
    """Return the first 8 hex digits of the HMAC-SHA-256 of a secret."""
    return hmac.new(key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]


def mark(rule: str, digest: str) -> str:
    """Return the text that takes the place of a secret."""
    return f"{MARK_START}{rule}:{digest}]"


def without_marked(hits: list[AnyHit], text: str) -> list[AnyHit]:
    """Return the hits but for those in marks, whose rule and digest may look like a secret."""
    if MARK_START not in text:
        return hits
    spans = [match.span() for match in _MARK.finditer(text)]
    starts = [start for start, _ in spans]
    return [hit for hit in hits if not _is_within(hit, spans, bisect_right(starts, hit[0]) - 1)]


def _is_within(hit: tuple[Any, ...], spans: list[tuple[int, int]], index: int) -> bool:
    return index >= 0 and hit[1] <= spans[index][1]


def agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Say whether two actions are the same, if a mark may stand for any text.

    This is how an event is known again that was written with another key, with other rules, or
    before there were any. Without a mark on either side, only equal actions agree.
    """
    may_differ = bool(_listed(one) or _listed(other))
    return _agree(_without_list(one), _without_list(other), may_differ=may_differ)


def _listed(action: dict[str, Any]) -> object:
    details = action.get("details")
    return details.get(REDACTED_KEY) if isinstance(details, dict) else None


def _without_list(action: dict[str, Any]) -> dict[str, Any]:
    details = action.get("details")
    if not isinstance(details, dict) or REDACTED_KEY not in details:
        return action
    rest = {key: value for key, value in details.items() if key != REDACTED_KEY}
    without = {key: value for key, value in action.items() if key != "details"}
    # An action without details has them for the list alone.
    return {**without, "details": rest} if rest else without


def _agree(one: Any, other: Any, *, may_differ: bool) -> bool:
    if one == other:
        return True
    if not may_differ:
        return False
    if isinstance(one, str) and isinstance(other, str):
        return _fits(one, other) or _fits(other, one)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_agree(a, b, may_differ=True) for a, b in pairs)
    if isinstance(one, dict) and isinstance(other, dict):
        if _is_blob(one) and _is_blob(other):
            return True  # the content of a blob differs with its marks, and so does its name
        return len(one) == len(other) and all(
            _agree(a, b, may_differ=True) for a, b in _paired(one, other)
        )
    return _is_mark(one) or _is_mark(other)


def _paired(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Pair the members of one name, and those that are left in their order, names included."""
    for key in one.keys() & other.keys():
        yield one[key], other[key]
    left = [[key, item] for key, item in one.items() if key not in other]
    right = [[key, item] for key, item in other.items() if key not in one]
    yield from zip(left, right, strict=True)


def _is_blob(value: dict[str, Any]) -> bool:
    return value.keys() == {"blob", "bytes", "media_type"}


def _is_mark(value: object) -> bool:
    return isinstance(value, str) and _MARK.fullmatch(value) is not None


def _fits(pattern: str, text: str) -> bool:
    """Say whether a text is this one with something else in the place of each mark."""
    first, *rest = _MARK.split(pattern)
    if not rest or not text.startswith(first):
        return False
    last = rest.pop()
    position = len(first)
    for piece in rest:
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(text) - position >= len(last) and text.endswith(last)
