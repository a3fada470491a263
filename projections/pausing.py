"""Pauses of who waits for a database that somebody else has open."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from projections.holders import is_free

if TYPE_CHECKING:
    from pathlib import Path

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.5
_LOOK_S = 0.003
_MISLED_MAX = 3


class Pauses:
    """Pauses between attempts at a file, longer and longer, for `wait_s` seconds in all.

    Between readers that come and go the file may be free for some milliseconds only, in which a
    writer has to come; and to try all the time would cost a processor. So a pause ends as soon as
    the file is free, where the system tells of its holder.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        """Begin to wait now."""
        self._path = path
        self._deadline = time.monotonic() + wait_s
        self._pause_s = _FIRST_PAUSE_S
        self._misled_count = 0

    def pause(self) -> bool:
        """Sleep until the next attempt; False at once, when the time for them is over."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            return False
        # A holder on another machine or in another container is not among those we are told of.
        self._misled_count = self._misled_count + 1 if is_free(self._path) else 0
        # Two that wait for the same holder should not come back in step.
        longest_s = min(left_s, self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311
        self._sleep(longest_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        return True

    def _sleep(self, longest_s: float) -> None:
        is_told = self._misled_count < _MISLED_MAX
        end = time.monotonic() + longest_s
        while (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, _LOOK_S) if is_told else left_s)
            if is_told and is_free(self._path):
                return
