"""A thousand signals in a second while threads append."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacks.effort import Effort
from attacks.signal_storm import signals

from faults.conftest import Score
from provenance_log import files


@pytest.mark.parametrize("is_raising", [False, True])
def test_signals_cost_no_event_and_double_none(
    tmp_path: Path, score: Score, is_raising: bool
) -> None:
    """A1, A2: F09; lines are whole, whatever the handler does."""
    score([signals(Effort(tmp_path, 0, times=5), is_raising=is_raising)])


def test_lines_that_are_lost_are_violations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: else the attack would show nothing."""
    whole = files.append_bytes

    def lose(fd: int, data: bytes, start: int, path: Path) -> int:
        return start + len(data) if b'"t1-7"' in data else whole(fd, data, start, path)

    monkeypatch.setattr(files, "append_bytes", lose)
    row = signals(Effort(tmp_path, 0, times=1), is_raising=False)
    assert any("t1-7 is there 0 times" in text for text in row.violations)
