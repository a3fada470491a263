"""Space, files and descriptors run out during every operation, and are there again later."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacks.effort import Effort, Impossible
from attacks.exhaustion import exhausted
from attacks.scoring import Attacked

from faults.conftest import Score
from provenance_log import files
from provenance_log.errors import AppendNotWritten

OF_LOGS = ["append", "append to a torn tail", "append_many", "create session", "drain the spool"]


def exhausted_or_skipped(directory: Path, what: str, operation: str, times: int) -> Attacked:
    try:
        return exhausted(Effort(directory, 0, times=times), what, operation)
    except Impossible as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("operation", OF_LOGS)
@pytest.mark.parametrize("what", ["space", "inodes", "writing", "descriptors"])
def test_what_a_log_lacks_is_told_and_costs_no_acknowledged_event(
    tmp_path: Path, score: Score, what: str, operation: str
) -> None:
    """A1, A2, A5, F05, F07: the same appender goes on when there is enough again."""
    score([exhausted_or_skipped(tmp_path, what, operation, 6)])


def test_an_error_of_the_system_that_comes_through_is_a_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2: else the attack would show nothing."""

    whole = files.append_bytes

    def bare(fd: int, data: bytes, start: int, path: Path) -> int:
        try:
            return whole(fd, data, start, path)
        except AppendNotWritten as error:
            raise RuntimeError from error

    monkeypatch.setattr(files, "append_bytes", bare)
    row = exhausted_or_skipped(tmp_path, "space", "append_many", 1)
    assert any("no error of ours" in text for text in row.violations)
