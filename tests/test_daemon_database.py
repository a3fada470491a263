"""What others do to the daemon's database while it is closed, and what the daemon makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from projecting import Log, rebuilt
from rebuilding import beside, content, filled, foreign_content, shared_store
from watched import WAIT_S, Watched

import projections.rebuild as rebuild_module
from projections.daemon_database import DatabaseChanged, Doubt
from projections.database import Connection, connect
from projections.layout import read_everything, stale_tables
from projections.rebuild import rebuild
from provenance_log.errors import DatabaseCorrupt, ProvlogError
from provenance_log.store import Store

HOLD_FOR_A_MOMENT = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
time.sleep(0.7)
"""

BLOCK_BYTES = 256 * 1024
HEADER_BYTES = 3 * 4096


def overwrite_blocks(whole: bytes) -> list[bytes]:
    starts = range(HEADER_BYTES, len(whole), BLOCK_BYTES)
    noise = b"\xa5" * BLOCK_BYTES
    return [
        (whole[:start] + noise + whole[start + BLOCK_BYTES :])[: len(whole)] for start in starts
    ]


def cut_blocks(whole: bytes) -> list[bytes]:
    return [whole[:end] for end in range(len(whole) - BLOCK_BYTES, HEADER_BYTES, -BLOCK_BYTES)]


def opens(database: Path) -> bool:
    """Whether nothing is wrong as far as a daemon looks that trusts the file."""
    try:
        with connect(database, read_only=True) as connection:
            return not stale_tables(connection) and bool(connection.query("checkpoints"))
    except ProvlogError:
        return False


def is_whole(database: Path) -> bool:
    try:
        with connect(database, read_only=True) as connection:
            read_everything(connection)
    except DatabaseCorrupt:
        return False
    return True


@pytest.mark.parametrize("spoil", [overwrite_blocks, cut_blocks], ids=lambda item: item.__name__)
def test_damage_in_parts_that_nobody_reads_is_found_and_the_file_kept_aside(
    store: Store, spoil: Callable[[bytes], list[bytes]]
) -> None:
    """C3, F54: DuckDB opens such a file, and would fail only when it comes to the part."""
    watched = Watched(filled(store))
    watched.look()
    whole = store.database.read_bytes()
    for bad in spoil(whole):
        store.database.write_bytes(bad)
        if opens(store.database) and not is_whole(store.database):
            break
    else:
        pytest.fail("no damage was found that DuckDB opens")

    watched.look()

    assert watched.told == ["quarantined", "rebuilding", "rebuilt"]
    assert content(store) == rebuilt(store)
    (aside,) = [name for name in beside(store) if ".corrupt-" in name]
    assert not is_whole(store.database.with_name(aside))


def test_the_same_damage_is_found_by_a_daemon_that_starts(store: Store) -> None:
    """C3: what happened while none ran."""
    Watched(filled(store)).look()
    for bad in overwrite_blocks(store.database.read_bytes()):
        store.database.write_bytes(bad)
        if opens(store.database) and not is_whole(store.database):
            break
    watched = Watched(store)
    watched.look()
    assert watched.told == ["rebuilding", "rebuilt"]
    assert content(store) == rebuilt(store)


def test_somebody_who_drops_his_own_tables_costs_no_rebuild(store: Store, tmp_path: Path) -> None:
    """A shared database may well become shorter; nothing of ours is lost by it."""
    shared = shared_store(store, tmp_path)
    path = shared.database
    with duckdb.connect(str(path)) as theirs:
        theirs.execute("CREATE TABLE big AS SELECT random() AS x FROM range(400000)")
    watched = Watched(shared)
    watched.look()
    before = foreign_content(path)
    size_bytes = path.stat().st_size
    with duckdb.connect(str(path)) as theirs:
        theirs.execute("DROP TABLE big")
        theirs.execute("CHECKPOINT")
    assert path.stat().st_size < size_bytes

    Log(store, "2026-02-01", "later")
    watched.look()

    assert "rebuilding" not in watched.told
    assert content(shared) == rebuilt(store)
    assert foreign_content(path) == before


def test_what_we_wrote_ourselves_is_not_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every batch would cost as much as there are rows."""
    watched = Watched(filled(store))
    watched.look()

    def refuse(_connection: Connection) -> None:
        pytest.fail("all tables were read")

    monkeypatch.setattr("projections.layout.read_everything", refuse)
    log = Log(store, "2026-02-01", "later")
    for _ in range(3):
        log.add()
        watched.look()
    assert content(store) == rebuilt(store)


def test_a_database_whose_log_can_not_be_written_into_it_is_kept_aside(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: a rebuild must not fail for ever over the file that it replaces."""
    Watched(filled(store)).look()
    checkpoint = Connection.checkpoint

    def refuse(connection: Connection) -> None:
        if connection.path == store.database:
            raise DatabaseCorrupt("the database can't be read", path=store.database)
        checkpoint(connection)

    with monkeypatch.context() as damaged:
        damaged.setattr(Connection, "checkpoint", refuse)
        report = rebuild(store)
    assert report.set_aside is not None
    assert is_whole(report.set_aside)
    assert content(store) == rebuilt(store)


def test_a_reader_at_the_end_of_a_rebuild_delays_it_and_costs_no_second_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B8: to replay everything may take minutes, and readers come and go."""
    watched = Watched(filled(store))
    watched.look()
    build = rebuild_module._build
    readers: list[subprocess.Popen[str]] = []

    def build_and_read(*arguments: Any) -> Any:
        report = build(*arguments)
        command = [sys.executable, "-c", HOLD_FOR_A_MOMENT, str(store.database)]
        readers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert readers[-1].stdout is not None
        assert readers[-1].stdout.readline() == "open\n"
        return report

    monkeypatch.setattr(rebuild_module, "_build", build_and_read)
    monkeypatch.setattr("projections.daemon_database._HELD_WAIT_S", 0.05)
    watched.daemon._database.doubt = Doubt("the tables are stale")
    watched.look()
    for reader in readers:
        reader.communicate(timeout=WAIT_S)
    assert watched.told == ["quarantined", "rebuilding", "rebuilt"]
    assert content(store) == rebuilt(store)


def test_database_that_is_cut_while_the_daemon_waits_for_it_is_looked_at_again(
    store: Store,
) -> None:
    """F54: some versions of DuckDB open a shorter file; to write to it would hide the cut."""
    filled(store)
    watched = Watched(store)
    watched.look()
    whole = content(store)
    command = [sys.executable, "-c", HOLD_FOR_A_MOMENT, str(store.database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with ThreadPoolExecutor() as pool:
            opening = pool.submit(open_and_close, watched)
            while not opening.running():
                pass
            os.truncate(store.database, store.database.stat().st_size // 2)
            assert isinstance(opening.exception(WAIT_S), DatabaseChanged | DatabaseCorrupt)
    watched.look()

    assert content(store) == whole == rebuilt(store)
    assert "rebuilt" in watched.events


def open_and_close(watched: Watched) -> None:
    with watched.daemon._database.opened():
        pass
