"""A fault at every system call of projecting, of the files beside the logs, and of a rebuild."""

from pathlib import Path

import pytest
from attacks import system_calls
from attacks.effort import Effort
from attacks.injecting import why_impossible

from faults.conftest import Score

pytestmark = pytest.mark.skipif(why_impossible() is not None, reason=why_impossible() or "")

CASES = {"project a batch": 50, "write derived files": 50, "rebuild and swap": 40}
"""Evenly over all calls; a soak run takes others."""


@pytest.mark.parametrize("operation", system_calls.OF_DATABASES)
def test_after_a_fault_the_next_run_makes_the_tables_and_files_whole(
    score: Score, tmp_path: Path, operation: str
) -> None:
    """B2, B10, C1, C2: and it is told by an error of ours; the logs stay as they are."""
    score([system_calls.faults(Effort(tmp_path, seed=1), operation, cases_max=CASES[operation])])


def test_a_fault_in_the_rebuild_after_one_that_failed_costs_nothing_either(
    score: Score, tmp_path: Path
) -> None:
    """C1, C2: F20."""
    score([system_calls.pairs(Effort(tmp_path, seed=1, times=10), "rebuild and swap")])
