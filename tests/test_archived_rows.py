"""Archived sessions in the tables: left out or kept, without an incident, and C1 holds."""

import os
import shutil
import tempfile
from contextlib import suppress

import orjson
import pytest
from archive_cases import MONTH, NAME, archive, furnished, log_of, names_in, restored
from copying_cases import put
from hypothesis import given
from hypothesis import strategies as st
from projecting import (
    LINES,
    Log,
    cleared_tables,
    content_of,
    examples,
    project,
    rebuilt,
    rows_of,
    session_end,
    session_start,
)
from test_projector_properties import fresh_store, operate

from projections.database import Connection, connect
from projections.derived import refresh
from projections.dump import dump_tables
from projections.lag import checkpoints, lags
from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_index import read_index
from provenance_log.archive_report import ArchiveOptions
from provenance_log.archiving import archive_sessions
from provenance_log.errors import SessionNotFound
from provenance_log.restoring import restore_sessions
from provenance_log.store import Store

KEEP_ROWS = ArchiveOptions(keep_rows=True)


def sessions_in(connection: Connection) -> dict[str, str]:
    return {row["session_id"]: row["log"] for row in rows_of(connection, "sessions")}


def incidents_in(connection: Connection) -> list[str]:
    return [row["kind"] for row in rows_of(connection, "incidents")]


@pytest.mark.parametrize("keep_rows", [False, True])
def test_rows_of_an_archived_session_go_or_stay_without_an_incident(
    keep_rows: bool, store: Store
) -> None:
    put(store, "a", log_of("s1", "tool call", "garbage", "end"))
    put(store, "b", log_of("s2", "end"))
    tables = cleared_tables()
    project(store, tables)
    before = dump_tables(tables)
    archive(store, "a", options=ArchiveOptions(keep_rows=keep_rows))

    projector = project(store, tables)

    assert projector.problems == []
    assert incidents_in(tables) == []
    assert sessions_in(tables) == ({"s1": "a", "s2": "b"} if keep_rows else {"s2": "b"})
    assert (dump_tables(tables) == before) == keep_rows
    assert dump_tables(tables) == rebuilt(store)
    assert projector.plan().sessions == ()
    restored(store)
    project(store, tables)
    assert dump_tables(tables) == before
    assert incidents_in(tables) == []


def test_the_state_in_the_index_is_that_of_the_tables(store: Store) -> None:
    """What is finished is told from the log alone, and means the same."""
    kinds = ("end", "failed", "silent", "tool call", "annotation", "garbage", "links")
    endings = [(), *((one,) for one in kinds), *((one, two) for one in kinds for two in kinds)]
    for number, ending in enumerate(endings):
        log = Log(store, f"d{number}")
        source = {"source": {"kind": "example"}} if number % 3 == 0 else {}
        log.add(**session_start(f"s{number}", **source))
        for kind in ending:
            if kind == "garbage":
                log.add_bytes(b"garbage\n")
            elif kind in {"failed", "silent"}:
                log.add(**session_end(**({"success": False} if kind == "failed" else {})))
            else:
                log.add(**LINES[kind])
    tables = cleared_tables()
    project(store, tables)
    wanted = {row["session_id"]: row["state"] for row in rows_of(tables, "sessions")}

    every = ArchiveChoice(with_unfinished=True)
    assert not archive_sessions(store, every, ArchiveOptions(with_damaged=True)).is_refused

    found = {session_id: entry.state for session_id, entry in read_index(store).items()}
    assert found == wanted
    assert set(found.values()) == {"success", "failure", "imported", "open"}


def test_kept_rows_are_not_unpacked_again_and_come_back_when_they_are_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a", log_of("s1", "tool call", "end"))
    tables = cleared_tables()
    project(store, tables)
    before = dump_tables(tables)
    archive(store, options=KEEP_ROWS)
    month = store.archive_dir / MONTH
    month.rename(store.root / "aside")
    assert project(store, tables).problems == []
    assert dump_tables(tables) == before

    (store.root / "aside").rename(month)
    tables = cleared_tables()
    place = store.root / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    project(store, tables)

    assert dump_tables(tables) == before
    assert names_in(place) == []
    assert names_in(store.sessions_dir) == []


def test_an_archived_log_that_was_not_projected_to_its_end_is_from_the_archive(
    store: Store,
) -> None:
    log = put(store, "a", log_of("s1", "tool call"))
    tables = cleared_tables()
    project(store, tables)
    log.write_bytes(log_of("s1", "tool call", "decision", "end"))
    archive(store, options=KEEP_ROWS)
    project(store, tables)
    assert len(rows_of(tables, "events")) == 4
    assert incidents_in(tables) == []
    assert dump_tables(tables) == rebuilt(store)


def test_a_month_file_that_is_damaged_is_a_problem_that_is_told_and_tried_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3: and the other sessions are projected."""
    put(store, "a", log_of("s1", "end"))
    put(store, "b", log_of("s2", "end"))
    archive(store, "a", options=KEEP_ROWS)
    month = store.archive_dir / MONTH
    data = month.read_bytes()
    month.write_bytes(data[:-40])
    tables = cleared_tables()

    projector = project(store, tables)

    assert sessions_in(tables) == {"s2": "b"}
    (problem,) = projector.problems
    assert str(month) in problem
    assert projector.plan().sessions == ()
    assert projector.problems == [problem]
    month.write_bytes(data)
    projector.run(tables)
    assert projector.problems == []
    assert sessions_in(tables) == {"s1": "a", "s2": "b"}


def test_while_the_index_is_damaged_nothing_is_gone_and_what_can_be_read_of_it_counts(
    store: Store,
) -> None:
    for name in ("a", "b", "c"):
        put(store, name, log_of(f"s-{name}", "end"))
    tables = cleared_tables()
    project(store, tables)
    archive(store)
    index = store.archive_dir / "index.jsonl"
    first, rest = index.read_bytes().split(b"\n", 1)
    index.write_bytes(b"<<<<<<< ours\n" + rest)

    problems = project(store, tables).problems
    assert [problem.split(": ")[:2] for problem in problems] == [
        [f"{index}, line 1", "not a line of the index"]
    ]
    assert sessions_in(tables) == {"s-a": "a"}
    index.rename(store.root / "aside")
    assert "is missing" in project(store, tables).problems[0]
    assert sessions_in(tables) == {"s-a": "a"}
    assert incidents_in(tables) == []

    index.write_bytes(first + b"\n" + rest)
    assert project(store, tables).problems == []
    assert sessions_in(tables) == {}
    assert incidents_in(tables) == []


def test_another_session_of_the_same_directory_keeps_its_own_files(store: Store) -> None:
    """The manifest of an archived session is never written into another's directory."""
    put(store, "a", log_of("s1", "tool call", "end"))
    catch_up(store)
    archive(store, options=KEEP_ROWS)
    put(store, "a", log_of("s2", "end"))
    report = catch_up(store)
    manifest = (store.sessions_dir / "a" / "manifest.yaml").read_text()
    with connect(store.database, read_only=False) as connection:
        assert sessions_in(connection) == {"s1": "a", "s2": "a"}
        assert incidents_in(connection) == []
        refreshed = refresh(store, connection, None)
        assert lags(store, checkpoints(connection)) == []
    assert report.problems == ()
    assert (refreshed.failed, refreshed.written) == ((), ())
    assert "s2" in manifest
    assert "s1" not in manifest
    assert names_in(store.by_id_dir) == ["s2"]
    assert rebuild(store, verify=True).differences == {}
    with connect(store.database, read_only=False) as connection:
        assert sessions_in(connection) == {"s1": "a", "s2": "a"}


def test_derived_files_of_an_archived_session_are_no_failure_and_indices_follow_the_tables(
    store: Store,
) -> None:
    """B10."""
    furnished(store)
    put(store, "b", log_of("s2", "end"))
    catch_up(store)
    index = store.indices_dir / "sessions.jsonl"
    both = index.read_bytes()
    archive(store, NAME, options=KEEP_ROWS)
    report = catch_up(store).derived.report
    assert report is None or report.failed == ()
    assert index.read_bytes() == both
    assert names_in(store.by_id_dir) == ["s2"]
    restored(store)
    catch_up(store)
    archive(store, NAME)
    report = catch_up(store).derived.report
    assert report is not None
    assert report.failed == ()
    assert [orjson.loads(line)["session_id"] for line in index.read_bytes().splitlines()] == ["s2"]
    assert not (store.sessions_dir / NAME).exists()


def test_a_fork_beside_a_restored_session_is_forgotten_when_its_directory_goes(
    store: Store,
) -> None:
    """C1: being archived too keeps no checkpoint of a log that is not there."""
    put(store, "a", log_of("s1", "tool call", "end"))
    archive(store)
    restored(store)
    put(store, "b", log_of("s1", "decision", "end"))
    tables = cleared_tables()
    project(store, tables)
    assert incidents_in(tables) == ["fork"]
    shutil.rmtree(store.sessions_dir / "b")
    projector = project(store, tables)
    assert dump_tables(tables) == rebuilt(store)
    assert projector.plan().sessions == ()


def test_a_directory_that_is_lost_without_being_archived_is_still_an_incident(
    store: Store,
) -> None:
    put(store, "a", log_of("s1", "end"))
    put(store, "b", log_of("s2", "end"))
    tables = cleared_tables()
    project(store, tables)
    archive(store, "b")
    shutil.rmtree(store.sessions_dir / "a")
    project(store, tables)
    assert incidents_in(tables) == ["gone"]
    assert rows_of(tables, "checkpoints") == []


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("append", "append", "copy", "rename", "remove", "truncate", "edit", "replace"),
                *("archive", "archive", "keep", "keep", "restore", "project", "project"),
            ]
        ),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=3,
    max_size=14,
)


def with_archive(store: Store, operation: str, one: int) -> None:
    """Archive or restore, where there is something to do it with."""
    with suppress(SessionNotFound):  # there is none of that name just now
        if operation == "restore":
            restore_sessions(store, [f"session-{one % 2}"])
        else:
            every = ArchiveChoice((f"d{one}",), with_unfinished=True)
            options = ArchiveOptions(operation == "keep", with_damaged=True, is_replacing=True)
            archive_sessions(store, every, options)


@examples(8)
@given(OPERATIONS)
def test_any_history_with_archiving_and_restoring_gives_what_a_rebuild_gives(
    operations: list[tuple[str, int, int]],
) -> None:
    """C1: archived, kept or not, restored, changed, copied, lost: a function of what is there."""
    connection = cleared_tables()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _fd: None)  # no power cut is a part of these histories
        patch.setattr(os, "fdatasync", lambda _fd: None)
        store = fresh_store(folder)
        for name in ("d0", "d1"):
            Log(store, name).add_bytes(content_of(f"session-{name[1]}", ["tool call"]))
        for number, (operation, one, other) in enumerate(operations):
            if operation == "project":
                project(store, connection, batch_bytes=300)
            elif operation in {"archive", "keep", "restore"}:
                with_archive(store, operation, one)
            else:
                operate(store, operation, one, other)
            for place, directory in enumerate(store.session_directories()):
                if directory.log.exists() and directory.log.stat().st_mtime_ns > 10**18 // 2:
                    # Time passes between two operations, and no two logs were written at once:
                    # a restored log has its time again, and perhaps the inode of another.
                    time_ns = 10 * number + place
                    os.utime(directory.log, ns=(time_ns, time_ns))
        project(store, connection)
        assert dump_tables(connection) == rebuilt(store)
