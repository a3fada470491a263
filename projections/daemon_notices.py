"""What the daemon has to say: one notice when something begins, one when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from provenance_log.errors import DatabaseHeld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provenance_log.errors import ProvlogError

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth a line in the daemon's own log; `message` may quote a log."""

    level: Level
    event: str
    message: str


class Complaints:
    """Says what is wrong when it begins and when it ends, and nothing in between."""

    def __init__(self, tell: Callable[[Notice], None]) -> None:
        self._tell = tell
        self._failure: tuple[str, str] | None = None
        self._known: dict[str, set[str]] = {}

    def failed(self, error: ProvlogError) -> None:
        """Nothing could be projected."""
        # Who holds the database may change from one moment to the next.
        text = "" if isinstance(error, DatabaseHeld) else str(error)
        failure = (type(error).__name__, text)
        if failure != self._failure:
            event = "held" if isinstance(error, DatabaseHeld) else "failed"
            level: Level = "warning" if isinstance(error, DatabaseHeld) else "error"
            self._tell(Notice(level, event, str(error)))
        self._failure = failure

    def worked(self) -> None:
        """Everything there was to do was done."""
        if self._failure is not None:
            self._failure = None
            self._tell(Notice("info", "recovered", "projecting again, and caught up"))

    def about(self, kind: str, problems: Iterable[str], *, is_all: bool = True) -> None:
        """Some files could not be read or written; the rest was done.

        What was known before and is not among `problems` is over, unless only a part was looked at.
        """
        known = self._known.get(kind, set())
        found = set(problems) if is_all else {*known, *problems}
        for problem in sorted(found - known):
            self._tell(Notice("warning", kind, problem))
        if known and not found:
            self._tell(Notice("info", kind, "it is over: every one could be read or written"))
        self._known[kind] = found
