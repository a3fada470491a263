"""A rebuild that is killed, fails, or finds something it can't read."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projecting import Log, rebuilt
from rebuilding import beside, content, filled, foreign_content, shared_store

from projections.database import Connection, connect
from projections.projector import catch_up
from projections.rebuild import RebuildAbandoned, rebuild, rebuild_locked
from provenance_log.errors import (
    DatabaseCorrupt,
    DatabaseHeld,
    DatabaseNewer,
    LockHeld,
    NotADatabase,
    ProvlogError,
)
from provenance_log.lock_files import exclusive_lock
from provenance_log.store import Store, open_store


@pytest.fixture
def shared(store: Store, tmp_path: Path) -> Store:
    return shared_store(store, tmp_path)


REBUILD = """
import sys
from pathlib import Path
from projections.rebuild import rebuild
from provenance_log.store import open_store
store = open_store(Path(sys.argv[1]), Path(sys.argv[2]))
print("ready", flush=True)
rebuild(store)
"""


@pytest.mark.parametrize("kind", ["dedicated", "shared"])
def test_a_rebuild_killed_at_any_time_leaves_the_old_or_the_new_database(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """C2, D3: SIGKILL at random; nothing of somebody else's is lost either."""
    if kind == "shared":
        store = request.getfixturevalue("shared")
        foreign = foreign_content(store.database)
    else:
        store = filled(request.getfixturevalue("store"))
        catch_up(store)
    before = content(store)
    command = [sys.executable, "-c", REBUILD, str(store.root), str(store.database)]
    chance = random.Random(2)
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    duration_s = time.monotonic() - started
    for _ in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, duration_s / 2))
            process.send_signal(signal.SIGKILL)
        assert content(store) == before
        if kind == "shared":
            assert foreign_content(store.database) == foreign
    assert catch_up(store).lines == 0
    assert beside(store) == [store.database.name]


@pytest.mark.parametrize("step", ["projections.rebuild._swap", "provenance_log.files.replace_file"])
def test_a_rebuild_that_fails_leaves_the_old_database_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """C2: a full disk, for instance."""
    catch_up(filled(store))
    before = content(store)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(step, fail)
        with pytest.raises(ProvlogError, match="No space left"):
            rebuild(store)
    assert content(store) == before
    assert beside(store) == ["provenance.duckdb"]


@pytest.mark.parametrize("asked_count", [1, 2])
def test_a_rebuild_that_is_stopped_leaves_the_old_database_and_nothing_else(
    store: Store, asked_count: int
) -> None:
    """Between two batches, and when only the swap is left."""
    catch_up(filled(store))
    Log(store, "2026-02-01", "later")
    before, names = content(store), beside(store)
    answers = iter([False] * (asked_count - 1) + [True])

    with exclusive_lock(store.projector_lock), pytest.raises(RebuildAbandoned):
        rebuild_locked(store, is_stopped=lambda: next(answers))

    assert (content(store), beside(store)) == (before, names)


def test_leftovers_of_a_killed_rebuild_are_removed_at_the_next_start(store: Store) -> None:
    filled(store)
    side = store.database.with_name("provenance.duckdb.rebuild-123")
    side.write_bytes(b"half")
    side.with_name(f"{side.name}.wal").write_bytes(b"half")
    side.with_name(f"{side.name}.tmp").mkdir()
    catch_up(store)
    assert beside(store) == ["provenance.duckdb"]


# What can't be read.


@pytest.mark.parametrize("data", [b"", b"noise" * 5000, None], ids=["empty", "noise", "cut"])
def test_a_dedicated_database_that_can_not_be_read_is_set_aside(
    store: Store, data: bytes | None
) -> None:
    """C3: with its write-ahead log, and the new one is whole."""
    catch_up(filled(store))
    bad = store.database.read_bytes()[:5000] if data is None else data
    store.database.write_bytes(bad)
    wal = store.database.with_name("provenance.duckdb.wal")
    wal.write_bytes(b"garbage")
    report = rebuild(store)
    assert report.set_aside is not None
    assert report.set_aside.name.startswith("provenance.duckdb.corrupt-")
    assert report.set_aside.read_bytes() == bad
    assert report.set_aside.with_name(f"{report.set_aside.name}.wal").read_bytes() == b"garbage"
    assert not wal.exists()
    assert content(store) == rebuilt(store)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"notes\n", NotADatabase), (None, DatabaseCorrupt)],
    ids=["text", "cut"],
)
def test_a_file_at_a_path_of_the_users_is_never_set_aside(
    store: Store, tmp_path: Path, data: bytes | None, error: type[Exception]
) -> None:
    path = tmp_path / "own.duckdb"
    elsewhere = filled(open_store(store.root, path))
    catch_up(elsewhere)
    bad = path.read_bytes()[:5000] if data is None else data
    path.write_bytes(bad)
    with pytest.raises(error):
        rebuild(elsewhere)
    assert path.read_bytes() == bad
    assert beside(elsewhere) == ["own.duckdb"]


def test_a_database_of_a_newer_version_is_not_rebuilt(store: Store) -> None:
    """C4."""
    catch_up(filled(store))
    with connect(store.database, read_only=False) as connection:
        connection.execute("UPDATE provenance_definitions SET layout_version = 999")
    with pytest.raises(DatabaseNewer):
        rebuild(store)


def test_a_held_database_is_not_replaced(store: Store) -> None:
    """B8: what the other process sees does not change under its feet."""
    catch_up(filled(store))
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(store.database)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        inode = store.database.stat().st_ino
        with pytest.raises(DatabaseHeld, match=str(holder.pid)):
            rebuild(store, wait_s=0.1)
        assert store.database.stat().st_ino == inode
    assert beside(store) == ["provenance.duckdb"]


def test_a_second_rebuild_is_told_who_holds_the_lock(store: Store) -> None:
    """B7."""
    with exclusive_lock(store.projector_lock), pytest.raises(LockHeld, match=str(os.getpid())):
        rebuild(store, wait_s=0)


def test_our_lock_on_the_database_stays_while_it_is_open(store: Store) -> None:
    """B8: no other open of the file in this process makes the kernel drop it."""
    locks = Path("/proc/locks")
    if not locks.exists():
        pytest.skip("no /proc/locks")
    catch_up(filled(store))
    seen: list[bool] = []
    real = Connection.execute

    def watch(self: Connection, sql: str, params: object = ()) -> object:
        inode = f":{store.database.stat().st_ino} "
        if self.path == store.database:
            seen.append(inode in locks.read_text())
        return real(self, sql, params)  # type: ignore[arg-type]

    Log(store, "live", "live").add()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Connection, "execute", watch)
        catch_up(store)
        rebuild(store, verify=True)
    assert len(seen) > 20
    assert all(seen)
