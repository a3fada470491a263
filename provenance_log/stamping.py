"""What every action gets of its own when it is appended: the time, and a random id."""

from __future__ import annotations

import os
import struct
import time
from datetime import UTC, datetime

from provenance_log.format import format_timestamp

_IDS_AT_ONCE = 32
_UUID_BYTES = 16
_VERSION = int.from_bytes(bytes.fromhex("00000000000040008000000000000000") * _IDS_AT_ONCE)
_RANDOM = int.from_bytes(bytes.fromhex("ffffffffffff0fff3fffffffffffffff") * _IDS_AT_ONCE)
_FIELDS = struct.Struct("8s4s4s4s12s")

_second: tuple[int, bytes] = (-1, b"")
"""The last second that was asked for, and its text, as many actions are of one second."""
_unused: list[bytes] = []


def now_text() -> bytes:
    """Return the time as a log writes it."""
    global _second  # noqa: PLW0603  (one tuple, replaced as a whole: threads need no lock)
    second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
    known, text = _second
    if known != second:
        text = format_timestamp(datetime.fromtimestamp(second, UTC))[:20].encode()
        _second = second, text
    return b"%b%06dZ" % (text, nanosecond // 1000)


def new_event_id() -> bytes:
    """Return a random UUID (version 4) as text, from randomness that only this process has had."""
    unused = _unused
    while True:
        try:
            return unused.pop()
        except IndexError:
            unused += _new_event_ids()


def _new_event_ids() -> list[bytes]:
    bits = int.from_bytes(os.urandom(_UUID_BYTES * _IDS_AT_ONCE)) & _RANDOM | _VERSION
    digits = bits.to_bytes(_UUID_BYTES * _IDS_AT_ONCE).hex().encode()
    return [b"-".join(fields) for fields in _FIELDS.iter_unpack(digits)]


def _forget_ids() -> None:
    # A new list, as the fork may have been within a call that goes on to fill the old one.
    global _unused  # noqa: PLW0603
    _unused = []


# The parent goes on to use those that were made before the fork.
os.register_at_fork(after_in_child=_forget_ids)
