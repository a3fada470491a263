"""The end of a log after others appended to it, found from the end that was known before.

Processes that append in turns look at each other's lines all the time. What they ask of the few
new lines is what `reader.read_tail` asks of the last ones of any log, which costs more.
"""

from __future__ import annotations

import os

from provenance_log.errors import LineInvalid
from provenance_log.format import decode, line_hash
from provenance_log.reader import Tail

_GROWTH_BYTES_MAX = 64 * 1024


def tail_after(fd: int, known: Tail, size_bytes: int) -> Tail | None:
    """Return the end of a log of this size, given an end that it had; None where it isn't plain.

    Plain is: whole lines were added, and the last one is an action that names the hash of the
    line before it. Anything else is for `reader.read_tail`.
    """
    growth = size_bytes - known.size_bytes
    if known.is_torn or not 0 < growth <= _GROWTH_BYTES_MAX:
        return None
    data = os.pread(fd, growth, known.size_bytes)
    if len(data) != growth or not data.endswith(b"\n"):
        return None
    start = data.rfind(b"\n", 0, -1) + 1
    last = data[start:-1]
    try:
        value = decode(last)
    except LineInvalid:
        return None
    before = data[data.rfind(b"\n", 0, start - 1) + 1 : start - 1] if start else None
    prev = known.prev if before is None else line_hash(before)
    if value.get("prev") != prev:
        return None
    return Tail(size_bytes, line_hash(last), max(0, value["action_id"]), is_torn=False)
