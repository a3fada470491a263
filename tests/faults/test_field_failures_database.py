"""What made the databases of others unusable, incomplete or wrong, done to ours.

Write-ahead logs that can't be replayed, locks held by others, zero-byte registries, lost sessions.
The first words of each docstring are the thread; docs/field-failures.md tells what happened there.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pytest
from projecting import Log, rebuilt
from rebuilding import beside, content, filled, foreign_content, shared_store
from soaking.processes import DaemonProcess, until
from watched import Watched

from faults.field_cases import WAIT_S, Found, call, resumed, run_script, seen, started
from projections.database import connect
from projections.projector import catch_up
from provenance_log.errors import DatabaseCorrupt, DatabaseHeld
from provenance_log.store import Store, open_store

pytestmark = pytest.mark.usefixtures("field_failure")

DIE_AT_CLOSE = """if True:
    import os, signal, sys
    from pathlib import Path
    from projections import database
    from projections.projector import catch_up
    from projections.rebuild import rebuild
    from provenance_log.store import open_store

    def die(_self):
        os.kill(os.getpid(), signal.SIGKILL)

    database.Connection.empty_leftover_log = database.Connection.close = die
    store = open_store(Path(sys.argv[2]), Path(sys.argv[3]))
    {"catch_up": catch_up, "rebuild": rebuild}[sys.argv[1]](store)
"""
"""Commits, and is killed before what it committed is in the database's own file."""


def die_after_the_commit(store: Store, work: str = "catch_up") -> Path:
    """Return the write-ahead log that is left behind."""
    command = [sys.executable, "-c", DIE_AT_CLOSE, work, str(store.root), str(store.database)]
    done = subprocess.run(command, timeout=WAIT_S, check=False)
    assert done.returncode == -signal.SIGKILL
    return store.database.with_name(f"{store.database.name}.wal")


def test_rows_that_were_deleted_and_inserted_again_are_replayed_after_a_kill(store: Store) -> None:
    """duckdb/duckdb#15836: B2, C1, F57. The session's row is made anew with every batch."""
    filled(store)
    for number in range(3):
        assert die_after_the_commit(store).stat().st_size > 0
        resumed(store, "s1", f"later {number}").close()
    catch_up(store)

    assert content(store) == rebuilt(store)
    assert beside(store) == ["provenance.duckdb"]


def test_no_constraint_and_no_unique_index_is_there_to_fail_in_a_replay(store: Store) -> None:
    """duckdb/duckdb#18732: B2, F57. Killed right after the tables were made."""
    filled(store)
    assert die_after_the_commit(store).stat().st_size > 0
    catch_up(store)

    assert content(store) == rebuilt(store)
    with connect(store.database, read_only=True) as connection:
        kinds = "SELECT DISTINCT constraint_type FROM duckdb_constraints()"
        assert connection.execute(f"{kinds} WHERE constraint_type <> 'NOT NULL'") == []
        assert connection.execute("SELECT DISTINCT is_unique FROM duckdb_indexes()") == [(False,)]


def test_tables_and_indexes_that_a_rebuild_dropped_are_replayed_after_a_kill(
    store: Store, tmp_path: Path
) -> None:
    """duckdb/duckdb#22044: C2, F57. In a database that others use too, where a rebuild drops."""
    shared = shared_store(store, tmp_path)
    before = foreign_content(shared.database)
    resumed(shared, "s1", "later").close()
    die_after_the_commit(shared, "rebuild")
    catch_up(shared)

    assert content(shared) == rebuilt(shared)
    assert foreign_content(shared.database) == before


def test_write_ahead_log_that_can_not_be_replayed_costs_a_rebuild_and_no_row(
    store: Store, tmp_path: Path
) -> None:
    """duckdb/duckdb#19712: C3, F54. Another database's, so that the open itself fails."""
    filled(store)
    catch_up(store)
    other = tmp_path / "other.duckdb"
    script = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]);"
        "c.execute('CREATE TABLE a AS SELECT 1 AS b'); c.execute('ALTER TABLE a ADD COLUMN d INT');"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(other)], timeout=WAIT_S, check=True)
    foreign = other.with_name("other.duckdb.wal").read_bytes()
    store.database.with_name("provenance.duckdb.wal").write_bytes(foreign)
    mend(store)

    assert content(store) == rebuilt(store)


def test_write_ahead_log_with_a_wrong_checksum_costs_a_rebuild_and_no_row(store: Store) -> None:
    """gizmodata/gizmosql#53: C3, F54."""
    filled(store)
    catch_up(store)
    resumed(store, "s1", "later").close()
    wal = die_after_the_commit(store)
    damaged = bytearray(wal.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    wal.write_bytes(damaged)
    mend(store)

    assert content(store) == rebuilt(store)


def mend(store: Store) -> None:
    """What a daemon does with a database that is none; `provlog project` says how to do it."""
    with pytest.raises(DatabaseCorrupt, match="run `provlog rebuild`"):
        catch_up(store)
    watched = Watched(store)
    watched.look()
    assert "failed" not in watched.events
    assert any(".corrupt-" in name for name in beside(store))


HOLD = """if True:
    import duckdb, sys
    held = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(database: Path, how: str) -> Iterator[None]:
    """Somebody else has the database open, for reading or for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate(timeout=WAIT_S)


READ = """if True:
    import json, sys
    from pathlib import Path
    from projections.database import connect
    with connect(Path(sys.argv[1]), read_only=True, wait_s=60) as connection:
        print(json.dumps(connection.count("provenance_sessions")))
"""


def test_readers_get_in_while_the_daemon_runs(store: Store, tmp_path: Path) -> None:
    """vivekchand/clawmetry#1039: B8, F50. The daemon has the database only for a batch."""
    started(store, "s1", "a").close()
    with DaemonProcess(store, tmp_path / "daemon.log", "--rescan", "0.2") as daemon:
        until(store.database.exists, "the database")
        for number in range(5):
            started(store, f"later {number}", "b").close()
            assert run_script(READ, store.database) <= 2 + number
        assert daemon.end() == 0
    assert {tools[0] for tools, _ in seen(store).values()} == {"a", "b"}


def test_somebody_who_holds_the_database_at_the_start_delays_rows_and_stops_nothing(
    store: Store, tmp_path: Path
) -> None:
    """vivekchand/clawmetry#1771: B8, F50. There it was 21 hours without an event."""
    started(store, "s1", "before").close()
    catch_up(store)
    with ExitStack() as stack:
        with held(store.database, "write"):
            log = tmp_path / "daemon.log"
            daemon = stack.enter_context(DaemonProcess(store, log, "--rescan", "0.2"))
            resumed(store, "s1", "meanwhile").close()
            daemon.wait_until_it_said("held")
        daemon.wait_until_it_said("recovered")
        resumed(store, "s1", "after").close()
        assert daemon.end() == 0
    assert seen(store) == {"s1": (["before", "meanwhile", "after"], [])}


def test_reader_that_stays_takes_the_writer_s_place_from_nobody(
    store: Store, tmp_path: Path
) -> None:
    """vivekchand/clawmetry#1810: B7, B8, F50. Only the projector opens for writing, by its lock."""
    started(store, "s1", "before").close()
    catch_up(store)
    with held(store.database, "read"):
        resumed(store, "s1", "meanwhile").close()
        with pytest.raises(DatabaseHeld):
            catch_up(store, wait_s=0)
        assert run_script(READ, store.database) == 1
    with DaemonProcess(store, tmp_path / "daemon.log", "--rescan", "0.2") as daemon:
        daemon.wait_until_it_projects()
        assert run_script(READ, store.database) == 1
        assert daemon.end() == 0
    assert seen(store) == {"s1": (["before", "meanwhile"], [])}


def test_session_that_began_while_the_database_was_locked_is_in_it_once(store: Store) -> None:
    """NousResearch/hermes-agent#12563: B2, B8, C1. No recorder needs the database."""
    started(store, "s1", "a").close()
    catch_up(store)
    with held(store.database, "write"):
        for number in range(5):
            started(store, f"locked out {number}", "a", "b").close()
    expected: dict[str, Found] = {f"locked out {number}": (["a", "b"], []) for number in range(5)}
    assert seen(store) == {"s1": (["a"], []), **expected}
    assert seen(store) == {"s1": (["a"], []), **expected}
    assert content(store) == rebuilt(store)


def test_database_that_is_restored_from_before_is_brought_up_to_the_logs(store: Store) -> None:
    """NousResearch/hermes-agent#100960: C1, F56. Neither is a session missing nor a row doubled."""
    started(store, "s1", "a").close()
    catch_up(store)
    backup = store.database.read_bytes()
    resumed(store, "s1", "b").close()
    for number in range(12):
        started(store, f"since then {number}", "c").close()
    catch_up(store)
    store.database.write_bytes(backup)
    catch_up(store)

    assert content(store) == rebuilt(store)
    assert len(seen(store)) == 13


def test_database_of_no_bytes_is_made_anew(store: Store) -> None:
    """elastic/beats#3537: C3, F18, F54. As a power cut left Filebeat's registry."""
    filled(store)
    catch_up(store)
    store.database.write_bytes(b"")
    mend(store)
    assert content(store) == rebuilt(store)


def test_database_and_derived_files_of_nul_bytes_are_made_anew(store: Store) -> None:
    """elastic/beats#4733: B10, C3, F18, F54."""
    filled(store)
    catch_up(store)
    store.database.write_bytes(b"\0" * store.database.stat().st_size)
    manifests = sorted(store.sessions_dir.glob("*/manifest.yaml"))
    whole = [path.read_bytes() for path in manifests]
    for path in store.indices_dir.glob("*.jsonl"):
        path.write_bytes(b"\0" * 100)
    indices = {path.name: b"\0" * 100 for path in store.indices_dir.glob("*.jsonl")}
    mend(store)

    assert content(store) == rebuilt(store)
    assert [path.read_bytes() for path in manifests] == whole
    assert {p.name: p.read_bytes() for p in store.indices_dir.glob("*.jsonl")} != indices


def test_file_that_can_not_be_parsed_is_read_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kenn-io/agentsview#1416: B3. There the daemon tried it again and again, at 300 % CPU."""
    Log(store, "bad").add_bytes(b"not json\n" * 1000 + b"\0" * 4096 + b"\n")
    Log(store, "good", "s1").add()
    first = catch_up(store)

    def refuse(*_arguments: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("projections.following.read_chunk", refuse)
    second = catch_up(store)
    assert (first.lines, first.quarantined) == (1003, 1001)
    assert (second.lines, second.quarantined, second.session_ids) == (0, 0, ())


def test_driver_of_duckdb_itself_agrees_on_what_is_there(store: Store) -> None:
    """NousResearch/hermes-agent#24955: C1. As many sessions in the database as in the directory."""
    for number in range(40):
        recording = started(store, f"s{number}", "a")
        if number % 3 == 0:
            with recording.directory.log.open("ab") as file:
                file.write(b"garbage\n")
        recording.append(call("b"))
        recording.close()
    catch_up(store)
    with duckdb.connect(str(store.database), read_only=True) as connection:
        rows = connection.execute("SELECT log FROM provenance_sessions ORDER BY log").fetchall()
    assert [name for (name,) in rows] == [one.name for one in store.session_directories()]
    assert open_store(store.root).session_directories() == store.session_directories()
