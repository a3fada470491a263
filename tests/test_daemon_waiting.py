"""How long the daemon waits for its next look, and after a hint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from projecting import Log
from watched import NEVER_S, Watched

from projections.daemon import IDLE_FACTOR, IDLE_LOOKS

if TYPE_CHECKING:
    from provenance_log.store import Store


class Clock:
    """What the daemon waits for is written down rather than waited for."""

    def __init__(self, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watched = watched
        self.waits: list[float] = []
        self.pauses: list[float] = []
        self.is_hint_coming = False
        monkeypatch.setattr(watched.daemon._wake, "wait", self._wait)
        monkeypatch.setattr(watched.daemon._stop, "wait", self.pauses.append)

    def _wait(self, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        return self.is_hint_coming

    def turns(self, count: int) -> list[float]:
        """Let the daemon look and wait so often; returns what it waited, in rescan intervals."""
        self.waits.clear()
        for _ in range(count):
            self.watched.daemon._look()
            self.watched.daemon._wait()
        return [round(wait / NEVER_S) for wait in self.waits]


@pytest.fixture
def clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> Clock:
    watched = Watched(store, rescan_s=NEVER_S, debounce_s=0.05)
    clock = Clock(watched, monkeypatch)
    while watched.daemon._files.is_due or watched.daemon._is_hinted:
        watched.daemon._look()
        watched.daemon._wait()
    watched.daemon._idle_count = 0
    clock.pauses.clear()
    return clock


def test_a_daemon_in_which_nothing_happens_looks_more_seldom_until_something_does(
    store: Store, clock: Clock
) -> None:
    idle = clock.turns(IDLE_LOOKS + 1)
    assert idle == [1] * (IDLE_LOOKS - 1) + [IDLE_FACTOR] * 2
    Log(store, "2026-01-01", "s1")  # found by the time alone
    assert clock.turns(1) == [0], "the files are due"
    while clock.watched.daemon._files.is_due:
        clock.turns(1)
    assert clock.turns(IDLE_LOOKS - 2) == [1] * (IDLE_LOOKS - 2)
    clock.is_hint_coming = True
    clock.turns(1)
    clock.is_hint_coming = False
    assert clock.turns(IDLE_LOOKS) == [1] * IDLE_LOOKS, "the first followed a hint"


def test_a_daemon_that_only_polls_never_looks_more_seldom(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(store, rescan_s=NEVER_S, is_polling=True)
    clock = Clock(watched, monkeypatch)
    clock.turns(3)
    assert clock.turns(IDLE_LOOKS + 5) == [1] * (IDLE_LOOKS + 5)


def test_the_first_hint_after_quiet_is_followed_at_once_and_those_of_a_burst_are_collected(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.is_hint_coming = True
    clock.turns(2)
    assert clock.pauses == pytest.approx([0.05, 0.05], abs=0.04), "the hint came at once"

    def wait(_timeout_s: float) -> bool:
        time.sleep(0.06)
        return True

    clock.pauses.clear()
    monkeypatch.setattr(clock.watched.daemon._wake, "wait", wait)
    clock.turns(2)
    assert clock.pauses == []
