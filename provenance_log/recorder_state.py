"""What the recorders of a store have left behind, for `provlog status`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.recorder_problems import PROBLEMS_NAME
from provenance_log.spool import SPOOL_NAME, refused_count, spooled_paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was not recorded, or not as it should be."""

    time: str
    reason: str
    event: str
    """The name of the hook event; empty where it is not known."""
    size_bytes: int
    """How long the payload was."""


@dataclass(frozen=True, slots=True)
class RecorderState:
    """What the recorders of a store have left behind."""

    problem_count: int = 0
    last_problem: Problem | None = None
    spooled_count: int = 0
    """Events that wait to be appended."""
    refused_count: int = 0
    """Events that no line could hold; each is in a file of its own in the spool."""

    def attention(self) -> Iterator[str]:
        """Yield a sentence for each thing that needs a person, with what to do about it."""
        if self.spooled_count:
            yield f"events in {SPOOL_NAME}/ that are in no log yet: run `provlog project`"
        if self.refused_count:
            yield f"events that no line can hold, {self.refused_count}: see {SPOOL_NAME}/*.refused"
        if self.problem_count:
            last = self.last_problem
            when = "" if last is None else f", the last at {last.time}: {last.reason}"
            hint = f"delete {PROBLEMS_NAME} when it is dealt with"
            yield f"recorders met problems, {self.problem_count} in all{when}; {hint}"


def recorder_state(root: Path) -> RecorderState:
    """Return what the recorders of a store have noted and spooled."""
    try:
        lines = (root / PROBLEMS_NAME).read_bytes().splitlines()
    except OSError:
        lines = []
    last = None
    for line in lines[-1:]:
        with suppress(ValueError):
            last = _problem(orjson.loads(line))
    return RecorderState(len(lines), last, len(spooled_paths(root)), refused_count(root))


def _problem(note: Any) -> Problem | None:
    if not isinstance(note, dict):
        return None
    size_bytes = note.get("size_bytes")
    time, reason, event = (str(note.get(key, "")) for key in ("time", "reason", "event"))
    return Problem(time, reason, event, size_bytes if isinstance(size_bytes, int) else 0)
