"""What a recorder could not record: it may not say so to the agent, so it notes it in the store.

A note says when, why, of which event and how many bytes, never what the event held.
`recorder_state` reads the notes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from provenance_log import files

if TYPE_CHECKING:
    from pathlib import Path

PROBLEMS_NAME = "recorder-problems.jsonl"
FILE_BYTES_MAX = 256 * 1024
"""Of a longer file the older half is dropped."""
_REASON_LENGTH_MAX = 300


def note_problem(root: Path, time: str, reason: str, event_name: str, size_bytes: int) -> bool:
    """Add a note; return whether that was possible."""
    note = {
        "time": time,
        "reason": reason[:_REASON_LENGTH_MAX],
        "event": event_name,
        "size_bytes": size_bytes,
    }
    path = root / PROBLEMS_NAME
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, files.FILE_MODE)
        try:
            os.write(fd, orjson.dumps(note, default=str) + b"\n")
            is_long = os.fstat(fd).st_size > FILE_BYTES_MAX
        finally:
            os.close(fd)
        if is_long:
            newer = path.read_bytes()[-FILE_BYTES_MAX // 2 :]
            files.write_atomically(path, newer[newer.find(b"\n") + 1 :])
    except (OSError, TypeError):  # a reason in a form that is no text
        return False
    return True
