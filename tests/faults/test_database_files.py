"""The files of a database cut, exchanged, deleted, and left by killed writers (B2, C1, C3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attacks.databases import cuts, databases, healed, wals
from attacks.databases_image import Harmed, make_image_with_wal
from attacks.databases_looks import project_and_heal
from attacks.effort import Effort
from attacks.scoring import Attacked

from projections.projector import catch_up
from provenance_log.errors import DatabaseCorrupt

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


_BLOCK_BYTES = 256 * 1024
_HEADERS_BYTES = 3 * 4096


def test_a_shared_database_is_healed_or_refused_whichever_block_is_damaged_beside_a_left_log(
    tmp_path: Path,
) -> None:
    """B2, C3: a killed writer's log goes into the file only once a damaged table is gone.

    Where the block is one of an index, two threads of DuckDB would wait for it for ever.
    """
    image = make_image_with_wal(tmp_path, is_shared=True)
    noise = b"\xa5" * 999
    refused = []
    for place in range(_HEADERS_BYTES, len(image.database), _BLOCK_BYTES):
        changed = image.database[:place] + noise + image.database[place + len(noise) :]
        harmed = Harmed(f"noise at {place}", changed, image.wal)
        image.put(harmed)
        try:
            catch_up(image.store)
        except DatabaseCorrupt:
            refused.append(place)
            image.put(harmed)
            assert project_and_heal(image) == [], harmed.name
    assert refused
