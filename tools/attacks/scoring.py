"""What an attack hands back, and the table in which all of them end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from provenance_log.terminal import table


@dataclass(slots=True)
class Attacked:
    """One row of the table: what was injected into what, how often, and what broke."""

    attack: str
    """What was attacked, as `system calls: append`."""
    kind: str
    """What was injected, as `faults`, `kills`, `power cuts`, `steps`, `inputs`."""
    injected: int = 0
    runs: int = 0
    violations: list[str] = field(default_factory=list)
    """One sentence each, with the seed and number that repeat it."""

    def violated(self, texts: Iterable[str], where: str) -> None:
        """Note broken promises, with what is needed to see them again."""
        self.violations += [f"{self.attack}, {where}: {text}" for text in texts]


def render(rows: Iterable[Attacked]) -> str:
    """Return the table of all attacks, rows of the same attack and kind added up."""
    added: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        sums = added.setdefault((row.attack, row.kind), [0, 0, 0])
        for place, number in enumerate((row.injected, row.runs, len(row.violations))):
            sums[place] += number
    body = [
        (attack, kind, *(f"{number:,}" for number in sums))
        for (attack, kind), sums in sorted(added.items())
    ]
    return table(("attack", "injected", "how many", "runs", "violations"), body)
