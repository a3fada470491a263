"""The files of a database cut, exchanged, deleted, and left by killed writers (B2, C1, C3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.databases import cuts, databases, healed, wals
from attacks.databases_image import Harmed, Image, make_image_with_wal
from attacks.databases_looks import project_and_heal
from attacks.effort import Effort
from attacks.scoring import Attacked

from projections.database import connect
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
_PLACES = """
SELECT min(block_id) FROM pragma_storage_info('provenance_events')
WHERE block_id >= 0 GROUP BY column_name ORDER BY ALL
"""


def _places_of_our_table(image: Image) -> list[int]:
    image.put()
    with connect(image.store.database, read_only=True) as connection:
        blocks = {block for (block,) in connection.execute(_PLACES)}
    return [_HEADERS_BYTES + block * _BLOCK_BYTES for block in sorted(blocks)]


def test_a_shared_database_with_a_damaged_table_of_ours_is_healed_with_what_a_killed_writer_left(
    tmp_path: Path,
) -> None:
    """B2, C3: the write-ahead log goes into the file only once the damaged table is gone."""
    image = make_image_with_wal(tmp_path, is_shared=True)
    noise = b"\xa5" * 999
    for place in _places_of_our_table(image):
        changed = image.database[:place] + noise + image.database[place + len(noise) :]
        harmed = Harmed(f"noise at {place}", changed, image.wal)
        image.put(harmed)
        with pytest.raises(DatabaseCorrupt, match="provlog rebuild"):
            catch_up(image.store)
        image.put(harmed)
        assert project_and_heal(image) == [], harmed.name
