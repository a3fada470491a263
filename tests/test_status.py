"""What `provlog status` finds: behind, damaged, held, odd; and that looking changes nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest
from looking_cases import make_store, record, tool_call

from projections.daemon_state import DaemonError
from projections.database import connect
from projections.holders import Holder, holders
from projections.lag import checkpoints, count_lines, lags
from projections.projector import catch_up
from projections.status import (
    DaemonFacts,
    IncidentRow,
    LagRow,
    QuarantineRow,
    StatusReport,
    read_status,
)
from provenance_log.recording import reopen_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from projections.lag import Lag
    from provenance_log.store import Store

NAME = "2026-01-31-10-00"


@pytest.fixture
def filled(store: Store) -> Store:
    """One session of three lines, projected."""
    record(store, [tool_call("Read", {"file_path": "a"})], session_id="s1", success=True)
    catch_up(store)
    return store


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same store for all tests that change nothing in it."""
    store = make_store(tmp_path_factory.mktemp("calm"))
    record(store, [tool_call("Read", {"file_path": "a"})], session_id="s1", success=True)
    catch_up(store)
    return store


def status_of(store: Store) -> StatusReport:
    return read_status(store, wait_s=0.2)


def lags_of(store: Store) -> list[Lag]:
    with connect(store.database, read_only=True) as connection:
        return lags(store, checkpoints(connection))


def ageless(rows: Sequence[LagRow]) -> tuple[LagRow, ...]:
    """The rows without what depends on the clock."""
    return tuple(replace(row, age_s=None, quiet_s=None) for row in rows)


def log_of(store: Store, name: str = NAME) -> Path:
    return store.sessions_dir / name / "actions.jsonl"


def append(store: Store, number: int) -> int:
    """Append some actions and return how many bytes they are."""
    log = log_of(store)
    before = log.stat().st_size
    recording = reopen_session(store, "s1")
    assert recording is not None
    recording.append_many([tool_call("Read", {"file_path": "b"})] * number)
    recording.close()
    return log.stat().st_size - before


def test_a_store_that_is_up_to_date_needs_nobody(calm: Store) -> None:
    report = status_of(calm)

    assert (report.session_count, report.lag, report.pending_lines) == (1, (), 0)
    assert (report.quarantine, report.incidents, report.stale_tables) == ((), (), ())
    assert report.is_projected
    assert report.attention == ()


def test_a_store_without_a_database_is_behind_by_everything_and_well(store: Store) -> None:
    record(store, [tool_call("Read", {})], session_id="s1")
    size_bytes = log_of(store).stat().st_size

    report = status_of(store)

    assert ageless(report.lag) == (LagRow(NAME, "new", 2, size_bytes),)
    assert (report.pending_lines, report.pending_bytes) == (2, size_bytes)
    assert (report.is_projected, report.database_bytes, report.attention) == (False, None, ())


def test_an_empty_store_that_was_projected_is_well(store: Store) -> None:
    catch_up(store)

    report = status_of(store)

    assert (report.is_projected, report.session_count, report.lag) == (True, 0, ())
    assert report.attention == ()


def test_lag_is_told_in_lines_and_bytes(filled: Store) -> None:
    pending_bytes = append(filled, 5)

    report = status_of(filled)

    assert ageless(report.lag) == (LagRow(NAME, "behind", 5, pending_bytes),)
    assert (report.pending_lines, report.pending_bytes) == (5, pending_bytes)
    assert report.attention == ()


def test_a_torn_tail_is_no_lag(filled: Store) -> None:
    """B1: what no newline follows is not there yet."""
    with log_of(filled).open("ab") as log:
        log.write(b'{"torn')
    torn = filled.sessions_dir / "torn-from-the-start"
    torn.mkdir()
    (torn / "actions.jsonl").write_bytes(b'{"torn')

    assert lags_of(filled) == []


def test_what_happened_to_a_log_is_told_from_its_status(filled: Store) -> None:
    log = log_of(filled)
    content = log.read_bytes()

    def kinds_after(change: str) -> list[str]:
        if change == "shrunk":
            log.write_bytes(content[:100])
        elif change == "touched":
            log.write_bytes(content)
            os.utime(log, ns=(1, 1))
        elif change == "gone":
            log.unlink()
        return [lag.kind for lag in lags_of(filled)]

    assert kinds_after("shrunk") == ["shrunk"]
    assert kinds_after("touched") == ["touched"]
    assert kinds_after("gone") == ["gone"]


def test_what_is_no_plain_file_is_not_opened_and_not_counted(filled: Store) -> None:
    for name in ("pipe", "link", "folder"):
        (filled.sessions_dir / name).mkdir()
    os.mkfifo(log_of(filled, "pipe"))
    log_of(filled, "link").symlink_to(log_of(filled))
    log_of(filled, "folder").mkdir()

    assert lags_of(filled) == []


def test_lines_are_counted_in_pieces_and_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456\n" * 400_000)

    assert count_lines(path, 0) == 400_000
    assert count_lines(path, 8 * 399_999) == 1
    assert count_lines(path, 8 * 400_000) == 0
    assert count_lines(path, 0, bytes_max=16) == 2
    assert count_lines(path, 0, lines_max=1) >= 1
    assert count_lines(tmp_path / "missing", 0) == 0


def test_quarantined_lines_are_listed_with_the_place_of_the_first(filled: Store) -> None:
    log = log_of(filled)
    offset = log.stat().st_size
    with log.open("ab") as file:
        file.write(b"not json\nnot json either\n\xff\n")
    catch_up(filled)

    report = status_of(filled)

    assert report.quarantine == (
        QuarantineRow(NAME, "s1", "not_json", 2, 4, offset),
        QuarantineRow(NAME, "s1", "not_utf8", 1, 6, offset + len(b"not json\nnot json either\n")),
    )
    assert report.attention == ("3 lines in 1 log could not be read",)


def test_an_incident_needs_a_person(filled: Store) -> None:
    log = log_of(filled)
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    catch_up(filled)

    report = status_of(filled)

    assert [(row.kind, row.log, row.session_id) for row in report.incidents] == [
        ("truncated", NAME, "s1")
    ]
    assert report.attention == ("1 incident",)


def test_a_stale_table_needs_a_person(filled: Store) -> None:
    with connect(filled.database, read_only=False) as connection:
        connection.execute(
            "UPDATE provenance_definitions SET fingerprint = 'old' WHERE name = 'provenance_events'"
        )

    report = status_of(filled)

    assert report.stale_tables == ("provenance_events",)
    assert report.attention == (
        "filled by another definition: provenance_events; run `provlog project`",
    )


def test_unsafe_names_and_directories_without_a_log_are_told(store: Store) -> None:
    for name in ("-rf", "bad name", "kept-by-hand"):
        (store.sessions_dir / name).mkdir()

    report = status_of(store)

    assert report.unsafe_names == ("-rf", "bad name")
    assert report.logless_names == ("kept-by-hand",)
    assert report.session_count == 0


def test_manifests_and_summaries_of_a_person_are_told(store: Store) -> None:
    directory = store.sessions_dir / NAME
    directory.mkdir()
    (directory / "manifest.yaml").write_text("goals: [mine]\n")
    (directory / "summary.md").write_text("my own words\n")

    assert status_of(store).handwritten == (
        f"sessions/{NAME}/manifest.yaml",
        f"sessions/{NAME}/summary.md",
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "not a DuckDB database"), (b"noise" * 5000, "not a DuckDB database")],
)
def test_a_file_that_is_no_database_needs_a_person(
    store: Store, content: bytes, expected: str
) -> None:
    path = store.root / "other.duckdb"
    path.write_bytes(content)

    report = status_of(replace(store, database=path))

    # An empty file is one that DuckDB may take for a new database.
    if report.problem is not None:
        assert expected in report.problem
        assert report.attention != ()
        assert (report.lag, report.pending_lines) == ((), None)
    assert path.read_bytes() == content


HOLD = """
import sys
from pathlib import Path
from projections.database import connect
connection = connect(Path(sys.argv[1]), read_only=sys.argv[2] == "read")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(calm: Store, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that has the database open to read or to write."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(calm.database), request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("held", ["write"], indirect=True)
def test_whoever_holds_the_database_is_named(calm: Store, held: subprocess.Popen[str]) -> None:
    report = status_of(calm)

    assert [(holder.pid, holder.mode) for holder in report.holders] == [(held.pid, "write")]
    assert report.holders[0].command.startswith(sys.executable)
    assert report.problem is not None
    assert f"process {held.pid}" in report.attention[0]
    assert (report.session_count, report.pending_lines) == (1, None)


@pytest.mark.parametrize("held", ["read"], indirect=True)
def test_a_reader_is_named_and_needs_nobody(calm: Store, held: subprocess.Popen[str]) -> None:
    report = status_of(calm)

    assert [(holder.pid, holder.mode) for holder in report.holders] == [(held.pid, "read")]
    assert (report.problem, report.attention) == (None, ())


def test_our_own_lock_is_nobodys(calm: Store) -> None:
    with connect(calm.database, read_only=True):
        assert holders(calm.database) == ()


def test_every_key_of_the_json_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "status.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    below = {
        "lag": LagRow,
        "holders": Holder,
        "quarantine": QuarantineRow,
        "incidents": IncidentRow,
        "daemon": DaemonFacts,
        "daemon.last_error": DaemonError,
    }
    keys = {field.name for field in fields(StatusReport)}
    keys |= {f"{key}.{field.name}" for key, row in below.items() for field in fields(row)}

    assert documented == keys


def test_looking_at_the_status_changes_no_file(filled: Store) -> None:
    append(filled, 2)
    before = {path: path.stat() for path in filled.root.rglob("*") if path.is_file()}

    status_of(filled)

    after = {path: path.stat() for path in filled.root.rglob("*") if path.is_file()}
    assert {p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in after.items()} == {
        p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in before.items()
    }
