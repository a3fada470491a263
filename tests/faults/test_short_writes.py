"""Only n bytes of a line have room, for every n: nothing of it stays, and the next append works."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacks import short_writes as attack
from attacks.effort import Effort
from attacks.short_writes import short_writes

from faults.conftest import Score
from provenance_log import files


def test_a_short_write_at_every_byte_leaves_nothing_and_the_same_appender_goes_on(
    tmp_path: Path, score: Score
) -> None:
    """A1, A2: F04; of the line too long for the room nothing stays."""
    score(short_writes(Effort(tmp_path, 0)))


def test_a_part_that_stays_in_the_log_is_a_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2: else the attack would show nothing."""
    monkeypatch.setattr(files, "_cut_back", lambda _fd, _start, _written: False)
    rows = attack.short_writes(Effort(tmp_path, 0, times=3))
    assert any("a part of the line stayed" in text for text in rows[0].violations)
