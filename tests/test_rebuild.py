"""A rebuild gives the same content, harms nothing else, and may be killed at any time."""

import shutil
from pathlib import Path

import duckdb
import pytest
from projecting import Log, rebuilt
from rebuilding import beside, content, filled, foreign_content, shared_store

from projections import loading
from projections import rebuild as rebuild_module
from projections.database import connect
from projections.layout import stale_tables
from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log.store import Store, open_store


@pytest.fixture
def shared(store: Store, tmp_path: Path) -> Store:
    return shared_store(store, tmp_path)


def test_a_deleted_database_comes_back_with_the_same_content(store: Store) -> None:
    """C1: and so do the derived files."""
    catch_up(filled(store))
    before = content(store)
    files = {path: path.read_bytes() for path in store.root.rglob("*") if is_derived(path)}
    assert len(files) == 3 * 2 + 3
    for path in [store.database, *files]:
        path.unlink()
    report = rebuild(store)
    assert content(store) == before == rebuilt(store)
    assert {path: path.read_bytes() for path in files} == files
    assert (report.tally.lines, report.tally.quarantined) == (18, 3)
    assert (report.is_swapped, report.is_compared, report.problems) == (True, False, ())
    assert beside(store) == ["provenance.duckdb"]


def is_derived(path: Path) -> bool:
    return path.name in {
        *("manifest.yaml", "summary.md", "sessions.jsonl", "tools.jsonl", "files.jsonl")
    }


def test_the_rebuilt_database_is_followed_where_the_old_one_stopped(store: Store) -> None:
    catch_up(filled(store))
    inode = store.database.stat().st_ino
    rebuild(store)
    assert store.database.stat().st_ino != inode  # nothing of somebody else's: a new file
    assert catch_up(store).lines == 0
    with (store.sessions_dir / "2026-01-01" / "actions.jsonl").open("ab") as file:
        file.write(b"more\n")
    assert catch_up(store).lines == 1
    assert content(store) == rebuilt(store)


def test_a_link_to_the_database_stays_a_link(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.duckdb"
    store.database.symlink_to(elsewhere)
    catch_up(filled(store))
    rebuild(store)
    assert store.database.readlink() == elsewhere
    assert content(store) == rebuilt(store)
    assert [path.name for path in tmp_path.glob("elsewhere*")] == ["elsewhere.duckdb"]


def test_incidents_of_the_past_are_carried_over_and_relations_are_derived(store: Store) -> None:
    """B4: what was seen to happen can't be seen again in the logs."""
    catch_up(filled(store))
    shutil.rmtree(store.sessions_dir / "2026-01-01")
    shutil.copytree(store.sessions_dir / "2026-01-02", store.sessions_dir / "copy")
    catch_up(store)
    for _ in range(2):
        rebuild(store)
        with connect(store.database, read_only=True) as connection:
            kinds = connection.execute("SELECT kind FROM provenance_incidents ORDER BY 1")
        assert kinds == [("duplicate",), ("gone",)]


# Comparing.


def test_verify_says_equal_of_what_is_equal(store: Store) -> None:
    catch_up(filled(store))
    report = rebuild(store, verify=True)
    assert (report.is_compared, report.differences, report.is_swapped) == (True, {}, True)


def test_verify_compares_what_the_logs_held_when_the_old_tables_were_caught_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live session must not look like a difference."""
    catch_up(filled(store))
    log = Log(store, "live", "live")
    log.add()
    real = rebuild_module._build

    def append_and_build(*arguments: object) -> object:
        log.add()
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rebuild_module, "_build", append_and_build)
    report = rebuild(store, verify=True)
    assert (report.is_compared, report.differences) == (True, {})
    assert catch_up(store).lines == 1
    assert content(store) == rebuilt(store)


CHANGES = {
    "UPDATE provenance_events SET tool = 'x' WHERE sequence_number = 2": ("provenance_events", 3),
    "DELETE FROM provenance_quarantine WHERE session_id = 's1'": ("provenance_quarantine", 1),
    "INSERT INTO provenance_tool_calls (call_id) VALUES ('x')": ("provenance_tool_calls", 1),
    "INSERT INTO provenance_entity_links SELECT * FROM provenance_entity_links LIMIT 1": (
        "provenance_entity_links",
        1,
    ),
    "ALTER TABLE provenance_decisions ADD COLUMN mine INTEGER": ("provenance_decisions", 12),
}


@pytest.mark.parametrize("statement", CHANGES)
def test_verify_names_the_table_that_was_changed_and_leaves_it(
    store: Store, statement: str
) -> None:
    """Issue 2, shown by 5."""
    catch_up(filled(store))
    with connect(store.database, read_only=False) as connection:
        connection.execute(statement)
    changed = content(store)
    report = rebuild(store, verify=True)
    table, row_count = CHANGES[statement]
    assert (report.differences, report.is_swapped) == ({table: row_count}, False)
    assert content(store) == changed
    assert beside(store) == ["provenance.duckdb"]


def test_verify_replaces_what_differs_only_when_told_to(store: Store) -> None:
    catch_up(filled(store))
    with connect(store.database, read_only=False) as connection:
        connection.execute("DELETE FROM provenance_events")
    assert rebuild(store, verify=True).is_swapped is False
    report = rebuild(store, verify=True, swap=True)
    assert (report.differences, report.is_swapped) == ({"provenance_events": 15}, True)
    assert content(store) == rebuilt(store)


def test_verify_without_old_tables_has_nothing_to_compare(store: Store) -> None:
    report = rebuild(filled(store), verify=True)
    assert (report.is_compared, report.is_swapped) == (False, True)


# A database that holds more than our tables.


def test_what_is_not_ours_survives_a_rebuild(shared: Store) -> None:
    """Issue 2, shown by 6: only our tables are dropped and made."""
    before = foreign_content(shared.database)
    inode = shared.database.stat().st_ino
    rebuild(shared)
    assert foreign_content(shared.database) == before
    assert shared.database.stat().st_ino == inode
    assert content(shared) == rebuilt(shared)
    with connect(shared.database, read_only=True) as connection:
        assert connection.execute("SELECT sum(calls) FROM busy") == [(12,)]
        assert stale_tables(connection) == []
    assert beside(shared) == ["microgrow.duckdb"]


def test_a_user_database_without_our_tables_gets_them(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "own.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE provenance_events (mine INTEGER)")
        connection.execute("INSERT INTO provenance_events VALUES (1)")
    shared = filled(open_store(store.root, path))
    assert rebuild(shared).kept_tables == ("provenance_before_events",)
    with connect(path, read_only=True) as connection:
        assert connection.execute("FROM provenance_before_events") == [(1,)]
    assert content(shared) == rebuilt(shared)


def test_sessions_selected_a_few_at_a_time_are_those_selected_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, sessions=7)
    rebuild(store)
    together = content(store)
    monkeypatch.setattr(loading, "SESSIONS_PER_SELECT", 2)
    rebuild(store)
    assert content(store) == together
    with connect(store.database, read_only=True) as connection:
        assert connection.count("provenance_sessions") == 7
        assert connection.count("provenance_unrefreshed") == 0
