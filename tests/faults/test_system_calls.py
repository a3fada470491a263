"""A fault at every system call of what writes to a log, and at recovering from one."""

from pathlib import Path

import pytest
from attacks import system_calls
from attacks.effort import Effort
from attacks.injecting import why_impossible

from faults.conftest import Score

pytestmark = pytest.mark.skipif(why_impossible() is not None, reason=why_impossible() or "")


@pytest.mark.parametrize("operation", system_calls.OF_LOGS)
def test_a_fault_at_any_call_loses_nothing_that_was_acknowledged(
    score: Score, tmp_path: Path, operation: str
) -> None:
    """A1, A2, A5, A9, A10: and it is told by an error of ours; the next append succeeds."""
    score([system_calls.faults(Effort(tmp_path, seed=1), operation)])


def test_a_fault_while_recovering_from_a_fault_loses_nothing_either(
    score: Score, tmp_path: Path
) -> None:
    """A1, A2, A5: F20."""
    score([system_calls.pairs(Effort(tmp_path, seed=1, times=10), "append")])


def test_an_append_that_swallows_its_errors_is_found_out(tmp_path: Path) -> None:
    """A1, A2: else the attack would show nothing."""
    effort = Effort(tmp_path, seed=1)
    row = system_calls.faults(effort, "append", sabotage="errors of writes are swallowed")
    assert any("the acknowledged event" in text for text in row.violations)
