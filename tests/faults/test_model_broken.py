"""What the stateful model finds where the program is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attacks.effort import Effort
from attacks.model import model

from projections import checkpoints, planning
from projections.duplicates import Comparisons
from provenance_log import appender, placing
from provenance_log.event_index import FoundEvent
from provenance_log.verifying_levels import Chain


def without_a_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fused(batch: Any, tail: Any, durability: Any) -> Any:
        data, placed = placing.place(batch, tail, durability)
        return data.removeprefix(b"\n"), placed

    monkeypatch.setattr(appender, "place", fused)


def blind_to_truncation(monkeypatch: pytest.MonkeyPatch) -> None:
    examine = checkpoints.examine

    def blind(*given: Any) -> Any:
        found = examine(*given)
        return "touched" if found == "truncated" else found

    monkeypatch.setattr(planning, "examine", blind)


def every_twin_a_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Comparisons, "_first_difference", lambda *_given: None)


def the_same_event_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FoundEvent, "is_same", lambda *_given, **_more: True)


def blind_to_broken_links(monkeypatch: pytest.MonkeyPatch) -> None:
    see = Chain.see

    def trusting(self: Chain, raw: Any, value: Any) -> None:
        see(self, raw, value if value is None else {**value, "prev": raw.prev})

    monkeypatch.setattr(Chain, "see", trusting)


BROKEN = {
    without_a_seal: 0,
    blind_to_truncation: 1,
    every_twin_a_duplicate: 5,
    the_same_event_twice: 0,
    blind_to_broken_links: 1,
}
"""With each, a seed that finds it soon with the hypothesis of constraints.txt."""


@pytest.mark.parametrize("break_it", BROKEN)
def test_the_model_finds_a_broken_program(
    break_it: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5, A7, B4, D2, E2: each of them within a few slices, or the model shows nothing."""
    break_it(monkeypatch)
    for number in range(BROKEN[break_it], BROKEN[break_it] + 12):
        directory = tmp_path / str(number)
        directory.mkdir()
        if model(Effort(directory, number, times=1), shrink=False)[0].violations:
            return
    raise AssertionError("nothing was found")
