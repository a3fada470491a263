"""A fault at every system call of copying, archiving, and draining the spool."""

from pathlib import Path

import pytest
from attacks import system_calls
from attacks.effort import Effort
from attacks.injecting import why_impossible

from faults.conftest import Score

pytestmark = pytest.mark.skipif(why_impossible() is not None, reason=why_impossible() or "")

CASES = 50
"""Evenly over all calls; a soak run takes others."""


@pytest.mark.parametrize("operation", system_calls.OF_SESSIONS)
def test_after_a_fault_the_next_run_finishes_what_was_begun(
    score: Score, tmp_path: Path, operation: str
) -> None:
    """A1, A2, A8, C1, D5: every session and event is there once, on every side."""
    score([system_calls.faults(Effort(tmp_path, seed=1), operation, cases_max=CASES)])
