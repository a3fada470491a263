"""What a run is given, and what it hands back: figures, and the promises that were not kept."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random

from provenance_log.store import Store, initialise_store, open_store
from provenance_log.terminal import table

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run is given: how long, how often, where, and whom to tell."""

    directory: Path
    """An empty directory for this run."""
    say: Callable[[str], None]
    random: Random
    seconds_given: float | None = None
    times_given: int | None = None
    sessions_given: int | None = None

    def seconds(self, usual: float) -> float:
        """Return how long a phase lasts."""
        return usual if self.seconds_given is None else self.seconds_given

    def times(self, usual: int) -> int:
        """Return how often something is done."""
        return self.times_given or usual

    def sessions(self, usual: int) -> int:
        """Return how many sessions there are."""
        return self.sessions_given or usual

    def store(self, name: str = "store") -> Store:
        """Make an empty store of this name in the run's directory."""
        root = self.directory / name
        initialise_store(root)
        return open_store(root)


@dataclass(slots=True)
class Outcome:
    """The figures of a run, in the order in which they are shown."""

    run: str
    figures: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """The promises that were not kept, one sentence each."""

    def add(self, what: str, value: object) -> None:
        """Take a figure."""
        self.figures.append((what, f"{value:,}" if isinstance(value, int) else str(value)))

    def promise(self, is_kept: bool, text: str) -> None:
        """Note that a promise was broken, unless it was kept, and say so at once."""
        if not is_kept:
            self.broken.append(text)
            print(f"\n{self.run}: BROKEN: {text}", file=sys.stderr, flush=True)

    def render(self) -> str:
        """Return the table of the figures, and the broken promises below it."""
        lines = [table((self.run, ""), self.figures)]
        lines += [f"BROKEN: {text}" for text in self.broken]
        return "\n".join(lines)

    def json_line(self) -> str:
        """Return everything as one JSON object, with the machine it was measured on."""
        record = {
            "run": self.run,
            "figures": dict(self.figures),
            "broken": self.broken,
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "duckdb": version("duckdb"),
        }
        return json.dumps(record, ensure_ascii=False)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies; 0 of none."""
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0


def spread(values: Sequence[float]) -> str:
    """Return p50, p99 and the largest of some times in seconds, in milliseconds."""
    shown = {
        "p50": percentile(values, 0.5),
        "p99": percentile(values, 0.99),
        "max": max(values, default=0.0),
    }
    return ", ".join(f"{name} {_ms(value)}" for name, value in shown.items()) + " ms"


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
