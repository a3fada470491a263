"""The files of a database cut, exchanged, deleted, and left by killed writers (B2, C1, C3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attacks.databases import cuts, databases, healed, wals
from attacks.effort import Effort
from attacks.scoring import Attacked

Score = Callable[[list[Attacked]], None]


def test_a_database_that_is_cut_at_any_4_kib_is_noticed_and_healed(
    tmp_path: Path, score: Score
) -> None:
    """C3, F54: 400 of the 1,027 cuts of a file of 4 MB, from all over it."""
    score(cuts(Effort(tmp_path, seed=1, times=400)))


def test_no_write_ahead_log_that_is_cut_or_exchanged_gives_wrong_numbers(
    tmp_path: Path, score: Score
) -> None:
    """C3, B2, F54: cut at every 512 bytes, of another database, of an older one, noise."""
    score(wals(Effort(tmp_path, seed=1)))


def test_a_daemon_heals_its_database_whatever_was_done_to_the_files(
    tmp_path: Path, score: Score
) -> None:
    """C3, F54: each harm while it runs, and while it does not."""
    score(healed(Effort(tmp_path, seed=1, times=44)))


def test_random_harms_to_own_and_shared_databases_give_no_wrong_numbers(
    tmp_path: Path, score: Score
) -> None:
    """C1, C3, F54: as a soak run does them, with a table of somebody else in every second one."""
    score(databases(Effort(tmp_path, seed=1, times=60)))
