"""What can be in the way of a database, and what the error says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from projecting import (
    Log,
    action,
    rebuilt,
)

from projections import database, pausing
from projections.columns import make_columns
from projections.database import connect
from projections.dump import dump_tables
from projections.projector import catch_up
from projections.refusals import StatementRefused, refusal
from provenance_log.errors import (
    DatabaseCorrupt,
    DatabaseHeld,
    DatabaseNewer,
    NotADatabase,
    ProvlogError,
)
from provenance_log.store import Store, open_store

HOLD = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reader")
print("open", flush=True)
time.sleep(float(sys.argv[3]))
"""


@pytest.mark.parametrize("mode", ["reader", "writer"])
def test_a_held_database_is_waited_for_and_then_its_holder_is_named(
    store: Store, mode: str
) -> None:
    """B8: the logs keep growing, and the next run catches up."""
    log = Log(store, "a", "s")
    catch_up(store)
    log.add()
    command = [sys.executable, "-c", HOLD, str(store.database), mode]
    with subprocess.Popen([*command, "60"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(DatabaseHeld) as caught:
            catch_up(store, wait_s=0.1)
        holder.kill()
    assert f"process {holder.pid} " in caught.value.message
    assert catch_up(store).lines == 1

    log.add()
    with subprocess.Popen([*command, "0.3"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert catch_up(store, wait_s=30).lines == 1


def test_whoever_waits_for_a_database_takes_it_as_soon_as_it_is_free(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B8: between readers that come and go it is free for moments, not for a pause's length."""
    monkeypatch.setattr(pausing, "_FIRST_PAUSE_S", 60.0)
    catch_up(store)
    command = [sys.executable, "-c", HOLD, str(store.database), "reader", "0.3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        started = time.monotonic()
        with connect(store.database, read_only=False, wait_s=60):
            assert time.monotonic() - started < 25


def test_a_holder_that_the_system_does_not_tell_of_is_waited_for_with_pauses(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another container, or on another machine: to try all the time costs a processor."""
    catch_up(store)
    tried: list[Path] = []
    opened = database._open

    def count(path: Path, *, read_only: bool) -> Any:
        tried.append(path)
        return opened(path, read_only=read_only)

    monkeypatch.setattr(database, "_open", count)
    monkeypatch.setattr(pausing, "is_free", lambda _path: True)
    command = [sys.executable, "-c", HOLD, str(store.database), "reader", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(DatabaseHeld):
            connect(store.database, read_only=False, wait_s=1.5)
        holder.kill()
    assert len(tried) <= 20


def cut_short(data: bytes) -> bytes:
    return data[:5000]


def flip_a_bit_of_the_header(data: bytes) -> bytes:
    return data[:4200] + bytes([data[4200] ^ 1]) + data[4201:]


def overwrite_the_content(data: bytes) -> bytes:
    return data[:12288] + b"noise " * ((len(data) - 12288) // 6)


@pytest.mark.parametrize(
    "spoil",
    [cut_short, flip_a_bit_of_the_header, overwrite_the_content],
    ids=lambda function: function.__name__,
)
def test_a_corrupt_database_is_reported_with_the_next_command(
    store: Store, spoil: Callable[[bytes], bytes]
) -> None:
    log = Log(store, "a", "s")
    catch_up(store)
    store.database.write_bytes(spoil(store.database.read_bytes()))
    log.add()
    with pytest.raises(DatabaseCorrupt) as caught:
        catch_up(store)
    assert caught.value.path == store.database
    assert "provlog rebuild" in str(caught.value.hint)


def test_a_new_database_has_its_name_only_once_it_is_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2, F57: a kill or a power cut while DuckDB writes the headers leaves no half of one."""
    real = duckdb.connect
    sizes: list[int | None] = []

    def watch(path: str, **options: Any) -> Any:
        made = real(path, **options)
        sizes.append(store.database.stat().st_size if store.database.exists() else None)
        return made

    monkeypatch.setattr(duckdb, "connect", watch)
    catch_up(store)

    whole = 3 * 4096  # the header of the file, and two of the database
    assert sizes[0] is None
    assert all(size is not None and size >= whole for size in sizes[1:])
    assert [path.name for path in store.root.glob("*.duckdb*")] == [store.database.name]


@pytest.mark.parametrize("content", [b"", b"hello\n" * 9, b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_no_database_is_left_alone(
    store: Store, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(NotADatabase, match="not a DuckDB database"):
        catch_up(open_store(store.root, path))
    assert path.read_bytes() == content


def test_a_database_of_a_newer_version_is_not_touched(store: Store) -> None:
    """C4."""
    Log(store, "a", "s")
    catch_up(store)
    with connect(store.database, read_only=False) as connection:
        connection.execute("UPDATE provenance_definitions SET layout_version = 999")
    before = store.database.read_bytes()
    with pytest.raises(DatabaseNewer, match="layout 999"):
        catch_up(store)
    assert store.database.read_bytes() == before


CATCH_UP = """
import resource, sys
from pathlib import Path
from projections.projector import catch_up
from provenance_log.store import open_store
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    catch_up(open_store(Path(sys.argv[1])))
except Exception as error:
    print(type(error).__name__, error.message, error.hint, sep=": ")
"""


@pytest.mark.parametrize("limit_bytes", [4_000, 100_000, 300_000])
def test_a_full_disk_is_reported_and_the_next_run_catches_up(
    store: Store, limit_bytes: int
) -> None:
    """C2, A2: at the header, in the write-ahead log, in the middle of the blocks."""
    log = Log(store, "a", "s")
    lines = (action(n, details={"text": os.urandom(500).hex()}) for n in range(2, 1000))
    log.add_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    command = [sys.executable, "-c", CATCH_UP, str(store.root), str(limit_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ProvlogError: the disk is full: free some space")
    assert catch_up(store).lines == 999
    with connect(store.database, read_only=True) as connection:
        assert dump_tables(connection) == rebuilt(store)


def test_a_database_in_a_directory_that_is_not_there_is_an_error(store: Store) -> None:
    missing = open_store(store.root, store.root / "missing" / "x.duckdb")
    with pytest.raises(ProvlogError, match="does not exist"):
        catch_up(missing)


def add_more_than_4_mb_hold(store: Store) -> None:
    log = Log(store, "a", "s")
    catch_up(store)
    for _ in range(4):
        log.add(details={"output_data": "x" * 900_000})


def test_too_little_memory_is_told_and_no_line_is_taken_for_bad(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3, F58: what memory was too small for is projected when there is more."""
    add_more_than_4_mb_hold(store)
    with monkeypatch.context() as limited:
        limited.setitem(database._WRITER_SETTINGS, "memory_limit", "4MB")
        limited.setitem(database._LAVISH_SETTINGS, "memory_limit", "4MB")
        with pytest.raises(ProvlogError, match="too little memory") as caught:
            catch_up(store)
    assert caught.value.hint is not None
    assert "free some memory" in caught.value.hint

    assert catch_up(store).quarantined == 0
    with connect(store.database, read_only=True) as connection:
        assert dump_tables(connection) == rebuilt(store)


def test_what_needs_more_memory_than_a_writer_takes_at_first_gets_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3: no line stops the projector, also where the memory of DuckDB is kept small."""
    add_more_than_4_mb_hold(store)
    with monkeypatch.context() as limited:
        limited.setitem(database._WRITER_SETTINGS, "memory_limit", "4MB")
        report = catch_up(store)

    assert (report.lines, report.quarantined) == (4, 0)
    with connect(store.database, read_only=True) as connection:
        assert dump_tables(connection) == rebuilt(store)


@pytest.mark.parametrize(
    "told",
    [
        "Out of Memory Error: failed to pin block of size 256.0 KiB (4.7 MiB/4.7 MiB used)",
        "TransactionContext Error: Failed to commit: could not allocate block of size 256.0 KiB",
        "Failed to commit: failed to reserve memory data of size 1.0 MiB",
        "failed to resize block from 256.0 KiB to 1.0 MiB",
        "Failed to allocate block of 262144 bytes (bad allocation)",
    ],
)
def test_whatever_duckdb_lacks_memory_for_is_told_with_what_to_do(told: str) -> None:
    """B3, F58: and is not taken for a statement that a line is to blame for."""
    error = refusal(Path("x.duckdb"), duckdb.Error(told), is_open=True)
    assert not isinstance(error, StatementRefused)
    assert "too little memory" in error.message
    assert error.hint == (
        "free some memory and disk space and run `provlog project` again: nothing is lost"
    )


BE_KILLED = """
import os, signal, sys
from pathlib import Path
from projections.database import connect
connection = connect(Path(sys.argv[1]), read_only=False)
connection.create("theirs", "SELECT 42 AS answer")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kept_bytes", [0, 1, 100, 10_000])
def test_what_a_killed_writer_left_is_gone_after_a_run_that_has_nothing_to_do(
    store: Store, kept_bytes: int
) -> None:
    """B2: also when a power cut tore the only transaction; what was committed is in the file."""
    Log(store, "a", "s")
    catch_up(store)
    command = [sys.executable, "-c", BE_KILLED, str(store.database)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    wal = store.database.with_name("provenance.duckdb.wal")
    whole_bytes = wal.stat().st_size
    os.truncate(wal, min(kept_bytes, whole_bytes))
    assert catch_up(store).lines == 0
    assert not wal.exists()
    with connect(store.database, read_only=True) as connection:
        assert ("theirs" in connection.table_names()) == (kept_bytes >= whole_bytes)


def test_columns_that_are_inserted_leave_nothing_in_memory(tmp_path: Path) -> None:
    """A transaction keeps the temporary tables that it drops, and that of a rebuild is long."""
    rows = [(f"{number:01000}",) for number in range(1000)]
    columns = make_columns((("text", "text"),), rows)
    with connect(tmp_path / "d", read_only=False) as connection, connection.transaction():
        connection.execute("CREATE TABLE few (text VARCHAR)")
        for _ in range(20):
            select = "SELECT text FROM many WHERE text LIKE '%999'"
            connection.insert_columns("many", columns, {"few": select})
        assert connection.count("few") == 20
        used = connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()")[0][0]
    assert used < len(rows) * 1000
