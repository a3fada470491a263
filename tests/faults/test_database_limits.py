"""A database that is held, of another version, without room, or whose writer is killed (C4)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from attacks.databases_held import held
from attacks.databases_kills import database_kills
from attacks.databases_layouts import layouts
from attacks.databases_limits import full_disk, little_memory
from attacks.effort import Effort, Impossible
from attacks.scoring import Attacked

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from projecting import Log, rebuilt
from rebuilding import content
from test_older_database import ROWS, SCHEMA_1_0_0

from projections.projector import catch_up
from provenance_log.store import Store, open_store

Score = Callable[[list[Attacked]], None]


def test_somebody_who_holds_the_database_is_named_and_delays_nothing_but_the_tables(
    tmp_path: Path, score: Score
) -> None:
    """B8, F50: appends go on, and everything is caught up when it is free."""
    score(held(Effort(tmp_path, seed=1, times=6)))


def test_databases_of_other_versions_are_made_anew_or_refused_untouched(
    tmp_path: Path, score: Score
) -> None:
    """C4, F55: every stale, missing and older table, and a newer layout."""
    score(layouts(Effort(tmp_path, seed=1)))


@pytest.mark.parametrize("name", ["own", "shared"])
def test_tables_of_schema_1_0_0_are_kept_beside_the_new_ones(
    store: Store, tmp_path: Path, name: str
) -> None:
    """C4, F55: in the store's own database and in one that the user named."""
    path = store.database if name == "own" else tmp_path / "microgrow.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute(SCHEMA_1_0_0 + ROWS)
    older = open_store(store.root, path)
    log = Log(store, "2026-01-01-10-00", "s")
    before = log.path.read_bytes()

    assert len(catch_up(older).kept_tables) == 3
    assert content(older) == rebuilt(store)
    with duckdb.connect(str(path), read_only=True) as database:
        kept = database.execute("SELECT count(*) FROM provenance_before_sessions").fetchall()
        theirs = database.execute("SELECT count(*) FROM media").fetchall()
    assert (kept, theirs) == ([(2,)], [(2,)])
    assert log.path.read_bytes() == before


def test_a_process_that_is_killed_with_the_database_open_costs_no_database(
    tmp_path: Path, score: Score
) -> None:
    """B2, C2, F57: in a big transaction, in a checkpoint, while a log is replayed."""
    score(database_kills(Effort(tmp_path, seed=1, times=50)))


def test_too_little_memory_is_told_and_made_up_for(tmp_path: Path, score: Score) -> None:
    """B3, F58: with 2 to 40 MB."""
    score(little_memory(Effort(tmp_path, seed=1, times=8)))


def test_a_full_disk_is_told_and_made_up_for(tmp_path: Path, score: Score) -> None:
    """B3, F06, F58: while blocks, the log and temporary files are written."""
    try:
        score(full_disk(Effort(tmp_path, seed=1, times=8)))
    except Impossible as reason:
        pytest.skip(str(reason))
