"""Tell plain lines from others, fast: most lines of most logs are plain, and need no second look.

It may say no of a line about which there is nothing to say, but never yes of any other: what the
levels of `verifying_levels` would find is that it is an action, chained, and in its place.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from provenance_log.format import ACTION_TYPES, STATUSES, is_ordinary, looks_canonical
from provenance_log.strict_json import DEPTH_MAX

KNOWN_TYPES = frozenset(ACTION_TYPES)
KNOWN_STATUSES = frozenset(STATUSES)
_EXACT_NUMBERS = orjson.OPT_STRICT_INTEGER
# Every level takes two brackets, and what each such line has beside them 173 bytes: `timestamp`
# 41, `action_id` 14, `type` 14, `tool` 11, `status` 19, `prev` 74. So no line as short is too deep.
_SHALLOW_BYTES_MAX = 2 * DEPTH_MAX + 173
_PREV_IN_LINE = slice(-66, -2)


def is_plain(line: bytes, prev: str, action_id: int) -> bool:
    """Say that a line is byte for byte as the writer makes it, and that nothing sets it apart.

    It is an action of a known type and status that names this hash, has this number, and has no
    member that could stand for a blob.
    """
    if line[_PREV_IN_LINE] != prev.encode():
        return False
    try:
        value = orjson.loads(line)
        is_as_written = (
            value["prev"] == prev
            and value["action_id"] == action_id
            # Then its numbers are exact, and no key is there twice.
            and orjson.dumps(value, option=_EXACT_NUMBERS) == line
            and is_ordinary(value)
            and looks_canonical(value["timestamp"])
        )
        if not is_as_written:
            return False
        datetime.fromisoformat(value["timestamp"])
    except (ValueError, TypeError, KeyError):  # no JSON, no object, no such day …
        return False
    return (
        value["type"] in KNOWN_TYPES
        and value["status"] in KNOWN_STATUSES
        and (len(line) <= _SHALLOW_BYTES_MAX or line.count(b"[") + line.count(b"{") <= DEPTH_MAX)
        and not _may_name_blobs(value)
    )


def _may_name_blobs(value: dict[str, Any]) -> bool:
    for key in ("details", "error", "context"):
        holder = value.get(key)
        if holder:
            for member in holder.values():
                if type(member) is dict and "blob" in member:
                    return True
    return False
