"""Writers, recorders of hooks and drainers of the spool, killed at random; holders stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.effort import Effort
from attacks.kills import stopped_holders, writers
from attacks.kills_recording import drainers, recorders
from attacks.scoring import Attacked

from faults.conftest import Score

SEED = 5


def test_killed_writers_leave_what_they_were_told_is_there_and_no_hole(
    tmp_path: Path, score: Score
) -> None:
    """A1, A2, A6, A9, F12: of every thread the first events, in order, one chain."""
    score(writers(Effort(tmp_path, SEED, times=6)))


def test_a_stopped_holder_of_the_lock_makes_hooks_spool_and_harms_nothing_afterwards(
    tmp_path: Path, score: Score
) -> None:
    """A8, A9, F13."""
    score(stopped_holders(Effort(tmp_path, SEED, times=4)))


def test_killed_recorders_lose_no_event_that_they_ended_well_with(
    tmp_path: Path, score: Score
) -> None:
    """A1, A2, A8, F21."""
    score(recorders(Effort(tmp_path, SEED, times=8)))


def test_killed_drainers_bring_every_spooled_event_into_a_log_once(
    tmp_path: Path, score: Score
) -> None:
    """A1, A2, A8."""
    score(drainers(Effort(tmp_path, SEED, times=5)))


@pytest.mark.parametrize(
    ("attack", "sabotage", "text"),
    [
        (writers, "fuse torn tails", "is not chained"),
        (writers, "acknowledge early", "events acknowledged"),
        (recorders, "drop events", "told, and there 0 times"),
        (drainers, "unlink before recording", "told, and there 0 times"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_product_that_loses_or_fuses_lines_is_found_out(
    tmp_path: Path, attack: Callable[..., list[Attacked]], sabotage: str, text: str
) -> None:
    """A1, A2: the attacks can fail."""

    def is_found(seed: int) -> bool:
        (row,) = attack(Effort(tmp_path / f"{seed}", seed, times=4), sabotage=sabotage)
        return any(text in violation for violation in row.violations)

    # On a busy machine all may be killed before they have done anything, and nothing is told.
    seeds = range(SEED, SEED + 5)
    for seed in seeds:
        (tmp_path / f"{seed}").mkdir()
    assert any(map(is_found, seeds))
