"""What a writer that lives for one line may ask a log before it writes that line.

The questions are asked under the log's lock, so the answers hold until the line is written. Each
is bounded: in bytes from the end of the log, or to the few lines that hold a given text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provenance_log.errors import LineInvalid
from provenance_log.format import decode
from provenance_log.reader import lines_backwards, lines_with

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW_BYTES = 4 * 1024 * 1024
"""How far back the recent lines reach."""


class LogEnd:
    """A log that its asker has locked."""

    def __init__(self, fd: int) -> None:
        """Use `Appender.append_planned` instead."""
        self._fd = fd

    def recent(self, *needles: bytes) -> Iterator[dict[str, Any]]:
        """Yield the actions within `WINDOW_BYTES` of the end that hold a needle, last one first.

        Without a needle: all of them. Lines that are no actions are passed over.
        """
        for line in lines_backwards(self._fd, WINDOW_BYTES):
            if not needles or any(needle in line for needle in needles):
                action = _action(line)
                if action is not None:
                    yield action

    def all_with(self, needle: bytes) -> Iterator[dict[str, Any]]:
        """Yield every action of the log that holds the needle, the first one first.

        Reads the whole log, at the speed of a search for bytes.
        """
        for line in lines_with(self._fd, needle):
            action = _action(line)
            if action is not None:
                yield action

    def mentions(self, event_id: str) -> bool:
        """Say whether any action of the log has or names an event of this id."""
        return any(True for _ in self.all_with(event_id.encode()))


def _action(line: bytes) -> dict[str, Any] | None:
    try:
        return decode(line)
    except LineInvalid:
        return None
