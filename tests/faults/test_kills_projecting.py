"""Projectors, rebuilds and daemons, killed at random at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.effort import Effort
from attacks.kills_projecting import daemons, projectors, rebuilds
from attacks.scoring import Attacked

from faults.conftest import Score

SEED = 5


def test_killed_projectors_leave_tables_that_are_what_the_logs_give(
    tmp_path: Path, score: Score
) -> None:
    """B2, B7, C1, F57: up to the checkpoints, after every kill."""
    score(projectors(Effort(tmp_path, SEED, times=4)))


def test_killed_rebuilds_leave_the_old_or_the_new_database_and_what_is_somebody_elses(
    tmp_path: Path, score: Score
) -> None:
    """C1, C2."""
    score(rebuilds(Effort(tmp_path, SEED, times=2)))


def test_killed_daemons_leave_tables_from_which_the_next_one_goes_on(
    tmp_path: Path, score: Score
) -> None:
    """B2, B7, C1, F53, F57."""
    score(daemons(Effort(tmp_path, SEED, times=3)))


@pytest.mark.parametrize(
    ("attack", "sabotage", "texts"),
    [
        (projectors, "commit checkpoints first", {"rows differ"}),
        (rebuilds, "rebuild in place", {"there is no database", "somebody's table"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_projector_that_commits_in_parts_is_found_out(
    tmp_path: Path, attack: Callable[..., list[Attacked]], sabotage: str, texts: set[str]
) -> None:
    """B2, C2: the attacks can fail."""
    (row,) = attack(Effort(tmp_path, SEED, times=2), sabotage=sabotage)
    assert any(text in violation for violation in row.violations for text in texts)
