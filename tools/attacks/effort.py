"""What an attack is given: where to work, from which seed, and how often or until when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from provenance_log.store import Store, initialise_store, open_store


class Impossible(Exception):
    """This machine can't do what an attack needs: a tool, a device or a right is missing."""


def _tell_nobody(_text: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: `times` runs, or as many as begin before `deadline`."""

    directory: Path
    """Empty, and removed by whoever gave it."""
    seed: int
    times: int | None = None
    deadline: float = float("inf")
    """By `time.monotonic`; without it, `times` alone decides."""
    say: Callable[[str], None] = _tell_nobody
    """Shows how far it is, on one line that is written over."""

    def numbers(self) -> Iterator[int]:
        """Count the runs, from 0, until there were enough of them or the time is over."""
        number = 0
        while (self.times is None or number < self.times) and time.monotonic() < self.deadline:
            yield number
            number += 1

    def random(self, number: int) -> Random:
        """Return the chance of one run, so that the run can be repeated without those before."""
        return Random(f"{self.seed}/{number}")

    def part(self, number: int, name: str, times: int) -> Effort:
        """Return a part of the effort in a directory and with a seed of its own."""
        directory = self.directory / f"{name}-{number}"
        directory.mkdir()
        seed = self.random(number).randrange(1_000_000)
        return Effort(directory, seed, times, self.deadline, self.say)

    def store(self, name: str) -> Store:
        """Make an empty store of this name in the directory."""
        root = self.directory / name
        initialise_store(root)
        return open_store(root)
