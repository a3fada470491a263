"""Catching up: turns, quarantine, stale and older tables, derived files."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from projecting import (
    Log,
    action,
    cleared_tables,
    project,
    rebuilt,
    rewrite,
    rows_of,
    session_start,
)

from projections import definitions, derived, layout, loading, work
from projections.database import Connection, connect
from projections.dump import dump_tables
from projections.projector import catch_up
from projections.work import Projector
from provenance_log import lock_files
from provenance_log.errors import LockHeld, StoreNotFound
from provenance_log.format import line_hash
from provenance_log.store import Store, open_store


@pytest.fixture
def tables() -> Connection:
    return cleared_tables()


def test_a_log_that_looks_untouched_is_not_opened(
    store: Store, tables: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    Log(store, "a", "s").add()
    project(store, tables)

    def refuse(*_: object) -> None:
        pytest.fail("opened")

    monkeypatch.setattr("projections.planning.open_log", refuse)
    assert project(store, tables).plan().sessions == ()


def test_an_unterminated_line_waits_for_its_newline(store: Store, tables: Connection) -> None:
    """B1: it is neither projected nor skipped, and does not hold up another session."""
    log, other = Log(store, "a", "s"), Log(store, "b", "t")
    line = orjson.dumps(action(2))
    log.add_bytes(line[:20])
    other.add()
    project(store, tables)
    assert tables.count("provenance_events") == 3
    log.add_bytes(line[20:])
    project(store, tables)
    assert tables.count("provenance_events") == 3
    log.add_bytes(b"\n")
    project(store, tables)
    assert tables.count("provenance_events") == 4
    assert tables.count("provenance_quarantine") == 0


def test_a_session_with_a_backlog_delays_another_by_one_batch_at_most(
    store: Store, tables: Connection
) -> None:
    """B9: batches are bounded in bytes, and sessions take turns."""
    giant, small = Log(store, "a", "giant"), Log(store, "b", "small")
    giant.add_bytes(b"".join(orjson.dumps(action(n)) + b"\n" for n in range(2, 4000)))
    small.add()
    projector = Projector(store, batch_bytes=128 * 1024)
    projector.plan()
    for _ in range(2):
        work = projector.next_work()
        assert work is not None
        projector.apply(tables, work)
    assert tables.execute("SELECT count(*) FROM provenance_events WHERE session_id = 'small'") == [
        (2,)
    ]
    assert projector.next_work() is not None


def test_a_giant_line_is_quarantined_and_the_next_one_is_projected(
    store: Store, tables: Connection
) -> None:
    """B3, B11."""
    log = Log(store, "a", "s")
    log.add_bytes(b'{"a":"' + b"x" * (17 << 20) + b'"}\n')
    log.add_bytes(orjson.dumps(action(3)) + b"\n")
    project(store, tables, batch_bytes=1 << 16)
    found = rows_of(tables, "quarantine", "line_number, reason")
    assert found == [{"line_number": 2, "reason": "too_long"}]
    assert tables.count("provenance_events") == 2


@pytest.fixture
def poisonous_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    """A definition of decisions that can't take every line."""
    real = definitions.load_sql

    def load(folder: definitions.SqlFolder, name: str) -> str:
        text = real(folder, name)
        if name != "decisions":
            return text
        return text.replace("found[7], found[8]", "CAST(found[7] AS INTEGER)::VARCHAR")

    monkeypatch.setattr(definitions, "load_sql", load)


@pytest.mark.usefixtures("poisonous_sql")
def test_a_line_that_sql_can_not_take_is_counted_among_those_in_quarantine(store: Store) -> None:
    log = Log(store, "a", "s")
    log.add(event_type="decision", details={"decision_point": "p", "reason": "not a number"})
    log.add_bytes(b"garbage\n")
    assert Projector(store).run(cleared_tables()).quarantined == 2


@pytest.mark.usefixtures("poisonous_sql")
def test_tables_filled_in_many_transactions_are_those_filled_in_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3, C1: also where a transaction has to begin again, as SQL can't take a line of it."""
    for name, reason in ("a", "1"), ("b", "not a number"), ("c", "3"):
        log = Log(store, name, f"s{name}")
        log.add(event_type="decision", details={"decision_point": "p", "reason": reason})
    written: list[Any] = []

    def write_all(*given: Any) -> int:
        written.append(given)
        return loading.write_all(*given)

    monkeypatch.setattr(work, "write_all", write_all)
    seen: list[tuple[int, int]] = []
    found = []
    for limit_bytes in work.TRANSACTION_BYTES, 1:
        monkeypatch.setattr(work, "TRANSACTION_BYTES", limit_bytes)
        tables = cleared_tables()
        projector = Projector(store)
        projector.plan()
        tally = projector.apply_all(tables, lambda *told: seen.append(told))
        assert seen[-1] == (tally.size_bytes, tally.size_bytes)
        found.append((dump_tables(tables), tally))
    assert (found[0], len(written)) == (found[1], 1 + 3)
    assert found[0][1].quarantined == 1


@pytest.mark.usefixtures("poisonous_sql")
@pytest.mark.parametrize("is_replayed", [False, True])
def test_a_line_that_sql_can_not_take_is_found_and_quarantined(
    store: Store, *, is_replayed: bool
) -> None:
    """B3: the batch is halved until the lines are found; all others are projected."""
    tables = cleared_tables()
    log = Log(store, "a", "s")
    if is_replayed:
        log.add()
        project(store, tables)
        rewrite(log, [])
        log.number = 0
        log.add(**session_start("s"))
    for reason in ("1", "not a number", "2", "3", "nor this"):
        log.add(event_type="decision", details={"decision_point": "p", "reason": reason})
    project(store, tables, batch_bytes=600)
    found = rows_of(tables, "quarantine", "line_number, reason, sha256")
    assert found == [
        {"line_number": n, "reason": "sql_error", "sha256": line_hash(log.lines[n - 1])}
        for n in (3, 6)
    ]
    assert tables.execute("SELECT reason FROM provenance_decisions ORDER BY 1") == [
        ("1",),
        ("2",),
        ("3",),
    ]
    assert tables.execute("SELECT quarantined_count FROM provenance_sessions") == [(2,)]
    assert "not a number" in rows_of(tables, "quarantine", "line_number, detail")[0]["detail"]
    assert dump_tables(tables) == rebuilt(store)


def test_tables_of_another_definition_are_made_anew_from_the_logs(store: Store) -> None:
    """C4: a fingerprint that does not match makes the tables stale."""
    log = Log(store, "a", "s")
    catch_up(store)
    with connect(store.database, read_only=False) as connection:
        connection.execute(
            "UPDATE provenance_definitions SET fingerprint = 'old' "
            "WHERE name = 'provenance_decisions'"
        )
        connection.execute("UPDATE provenance_events SET tool = 'old'")
    log.add()
    report = catch_up(store)
    assert (report.rebuilt, report.lines) == (("provenance_decisions",), 2)
    with connect(store.database, read_only=True) as connection:
        assert dump_tables(connection) == rebuilt(store)
        assert layout.stale_tables(connection) == []


def test_a_dropped_table_is_made_anew_from_the_logs(store: Store) -> None:
    Log(store, "a", "s").add()
    catch_up(store)
    with connect(store.database, read_only=False) as connection:
        connection.drop("provenance_events")
    assert catch_up(store).rebuilt == ("provenance_events",)
    with connect(store.database, read_only=True) as connection:
        assert connection.count("provenance_events") == 2


OLD_SCHEMA = """
CREATE TABLE provenance_sessions (session_id VARCHAR PRIMARY KEY, agent_type VARCHAR NOT NULL,
    parent_session_id VARCHAR,
    FOREIGN KEY (parent_session_id) REFERENCES provenance_sessions(session_id));
CREATE TABLE provenance_events (event_id VARCHAR PRIMARY KEY, session_id VARCHAR NOT NULL,
    FOREIGN KEY (session_id) REFERENCES provenance_sessions(session_id));
CREATE TABLE provenance_decisions (decision_id VARCHAR PRIMARY KEY, session_id VARCHAR NOT NULL,
    FOREIGN KEY (session_id) REFERENCES provenance_sessions(session_id));
CREATE INDEX idx_prov_events_session ON provenance_events(session_id);
CREATE TABLE provenance_before_events (mine INTEGER);
INSERT INTO provenance_sessions VALUES ('old', 'agent', NULL);
INSERT INTO provenance_events VALUES ('e', 'old');
"""


def test_rows_of_schema_1_0_0_are_kept_under_another_name(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "microgrow.duckdb"
    with duckdb.connect(str(path)) as old:
        old.execute(OLD_SCHEMA)
    Log(store, "a", "s").add()
    shared = open_store(store.root, path)
    report = catch_up(shared)
    assert set(report.kept_tables) == {"provenance_before_sessions", "provenance_before_events_2"}
    with connect(path, read_only=True) as connection:
        assert connection.execute("FROM provenance_before_sessions") == [("old", "agent", None)]
        assert connection.execute("FROM provenance_before_events_2") == [("e", "old")]
        assert connection.count("provenance_events") == 2
    assert catch_up(shared).kept_tables == ()


RUN = """
import sys
from pathlib import Path
from projections.database import connect
from projections.work import Projector
from provenance_log.store import open_store
store = open_store(Path(sys.argv[1]))
print("ready", flush=True)
with connect(store.database, read_only=False) as connection:
    Projector(store, batch_bytes=20_000).run(connection)
"""


def test_a_projector_killed_at_any_time_leaves_what_its_checkpoints_say(store: Store) -> None:
    """B2: SIGKILL at random; the rows are those of a beginning of each log, and no line is lost."""
    catch_up(store)
    chance = random.Random(4)
    names = ("a", "b", "c")
    logs = [Log(store, name, name) for name in names]
    command = [sys.executable, "-c", RUN, str(store.root)]
    for _ in range(4):
        for log in logs:
            lines = [action(n, database_event_id=None) for n in range(1, chance.randint(2, 900))]
            log.add_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.4))
            process.kill()
        with connect(store.database, read_only=True) as connection:
            events = connection.execute(
                "SELECT session_id, count(*) FROM provenance_events GROUP BY ALL"
            )
            known = connection.execute("SELECT session_id, line_number FROM provenance_checkpoints")
        assert sorted(events) == sorted(known)
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        assert dump_tables(connection) == rebuilt(store)


# What is in the way; see also test_database.


def test_a_missing_sessions_directory_is_an_error_and_empties_nothing(store: Store) -> None:
    Log(store, "a", "s").add()
    catch_up(store)
    store.sessions_dir.rename(store.root / "elsewhere")
    with pytest.raises(StoreNotFound, match="no sessions directory"):
        catch_up(store)
    with connect(store.database, read_only=True) as connection:
        assert connection.count("provenance_events") == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_that_can_not_be_read_is_reported_and_keeps_its_rows(store: Store) -> None:
    log, other = Log(store, "a", "s"), Log(store, "b", "t")
    catch_up(store)
    log.add()
    other.add()
    log.path.chmod(0)
    report = catch_up(store)
    assert report.session_ids == ("t",)
    assert len(report.problems) == 1
    assert str(log.path) in report.problems[0]


def test_a_log_that_is_a_symlink_is_passed_over_and_reported(store: Store) -> None:
    """A12: what a symlink points to may be anything."""
    log = Log(store, "a", "s")
    target = store.root / "target"
    log.path.rename(target)
    log.path.symlink_to(target)
    report = catch_up(store)
    assert report.lines == 0
    assert [str(log.path) in problem for problem in report.problems] == [True]


def test_a_second_projector_is_told_who_holds_the_lock(store: Store) -> None:
    with lock_files.exclusive_lock(store.projector_lock), pytest.raises(LockHeld) as caught:
        catch_up(store, wait_s=0)
    assert str(os.getpid()) in caught.value.message


# Derived files.


def test_derived_files_that_fail_do_not_roll_back_and_are_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B10: rows are committed; what was not written is remembered in the database."""
    Log(store, "a", "s").add()
    with monkeypatch.context() as patched:

        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(derived, "refresh", fail)
        report = catch_up(store)
    assert "No space left" in str(report.derived.problem)
    manifest = store.sessions_dir / "a" / "manifest.yaml"
    assert not manifest.exists()
    again = catch_up(store)
    assert (again.lines, again.derived.problem) == (0, None)
    assert manifest.exists()
    with connect(store.database, read_only=True) as connection:
        assert connection.count("provenance_unrefreshed") == 0


def test_catching_up_reports_what_it_did_and_how_far_it_is(store: Store) -> None:
    for name in ("a", "b"):
        log = Log(store, name, f"session-{name}")
        log.add()
        log.add_bytes(b"garbage\n")
    seen: list[tuple[int, int]] = []
    report = catch_up(store, on_progress=lambda done, total: seen.append((done, total)))
    size = sum(directory.log.stat().st_size for directory in store.session_directories())
    assert (report.lines, report.quarantined, report.sessions) == (6, 2, 2)
    assert report.size_bytes == size
    assert seen[-1] == (size, size)
    assert catch_up(store).lines == 0


def test_the_database_is_its_owners_alone(store: Store) -> None:
    """A12: it holds what the logs hold."""
    catch_up(store)
    assert store.database.stat().st_mode & 0o777 == 0o600
