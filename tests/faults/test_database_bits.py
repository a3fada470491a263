"""Bits of a database flipped: noticed and healed, or harmless (C1, C3; F54)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attacks.databases import bits
from attacks.effort import Effort
from attacks.scoring import Attacked

Score = Callable[[list[Attacked]], None]


def test_no_flipped_bit_of_a_database_gives_numbers_that_the_logs_do_not_give(
    tmp_path: Path, score: Score
) -> None:
    """C1, C3, F54: 500 flips, met by a reader, a command or a daemon; a soak run goes on."""
    score(bits(Effort(tmp_path, seed=1, times=500)))
