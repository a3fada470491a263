"""Copying sessions between stores: what is there decides what is done (invariants D1 to D3)."""

import hashlib
import os
from pathlib import Path

import pytest
from copying_cases import (
    ALL,
    FOUR,
    ID,
    NAME,
    OTHER_END,
    blob_of,
    event_count,
    lines_of,
    log_in,
    names_in,
    names_of,
    new_store,
    noted,
    only,
    put,
    states,
    tree_of,
)
from hypothesis import given
from hypothesis import strategies as st
from log_cases import read_all
from projecting import cleared_tables, examples, project, rows_of

from projections.projector import catch_up
from provenance_log import files
from provenance_log.appender import Appender
from provenance_log.blobs import read_blob
from provenance_log.copying import copy_sessions
from provenance_log.errors import ProvlogError
from provenance_log.reader import read_tail
from provenance_log.store import Store, open_store


@pytest.fixture
def target(tmp_path: Path) -> Store:
    """The store that is copied into; `store` is the one copied from."""
    return new_store(tmp_path / "target")


# What the destination has (None: no such session), what the source has, what follows.
CASES: dict[str, tuple[bytes | None, bytes, str, bytes]] = {
    "nothing there": (None, b"".join(FOUR), "copied", b"".join(FOUR)),
    "equal": (b"".join(FOUR), b"".join(FOUR), "equal", b"".join(FOUR)),
    "behind": (b"".join(FOUR[:2]), b"".join(FOUR), "forwarded", b"".join(FOUR)),
    "behind, torn": (b"".join(FOUR)[:-9], b"".join(FOUR), "forwarded", b"".join(FOUR)),
    "ahead": (b"".join(FOUR), b"".join(FOUR[:2]), "ahead", b"".join(FOUR)),
    "live source": (None, b"".join(FOUR)[:-9], "copied", b"".join(FOUR[:3])),
    "live source, behind": (FOUR[0], b"".join(FOUR)[:-9], "forwarded", b"".join(FOUR[:3])),
    "live source, equal": (
        b"".join(FOUR[:3]),
        b"".join(FOUR)[:-9],
        "equal",
        b"".join(FOUR[:3]),
    ),
    "torn there": (b"".join(FOUR)[:-9], b"".join(FOUR[:3]), "equal", b"".join(FOUR)[:-9]),
    "fork": (b"".join(OTHER_END), b"".join(FOUR), "refused", b"".join(OTHER_END)),
    "fork, longer": (b"".join(OTHER_END), b"".join(FOUR[:3]), "refused", b"".join(OTHER_END)),
    "fork, torn there": (
        b"".join(FOUR[:2]) + b'{"x',
        b"".join(FOUR),
        "refused",
        b"".join(FOUR[:2]) + b'{"x',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_there_decides_what_is_done(case: str, store: Store, target: Store) -> None:
    """D1, D2, D3: and the chain, the rows and the source are what they were."""
    before, source_data, state, after = CASES[case]
    put(store, "renamed", source_data)
    if before is not None:
        put(target, NAME, before)
    source_before = tree_of(store.root)

    copy = only(copy_sessions(store, target, ALL))

    name = "renamed" if before is None else NAME
    assert (copy.state, copy.session_id, copy.directory) == (state, ID, name)
    assert log_in(target, name) == after
    assert tree_of(store.root) == source_before
    reading = read_all(target.sessions_dir / name / "actions.jsonl")
    assert (reading.bad, reading.unchained) == ([], [])
    assert event_count(target) == after.count(b"\n")
    assert names_in(target) == [name]
    assert [record["lines"] for record in noted(target)] == (
        [after.count(b"\n")] if state in {"copied", "forwarded"} else []
    )


@pytest.mark.parametrize("case", CASES)
def test_a_dry_run_says_the_same_and_writes_nothing(case: str, store: Store, target: Store) -> None:
    before, source_data, state, _ = CASES[case]
    put(store, "renamed", source_data)
    if before is not None:
        put(target, NAME, before)
    trees = tree_of(store.root), tree_of(target.root)

    copy = only(copy_sessions(store, target, ALL, is_dry_run=True))

    assert copy.state == state
    assert (tree_of(store.root), tree_of(target.root)) == trees


@pytest.mark.parametrize("case", CASES)
def test_copying_again_changes_nothing(case: str, store: Store, target: Store) -> None:
    """D5: a copy is idempotent."""
    before, source_data, _, _ = CASES[case]
    put(store, "renamed", source_data)
    if before is not None:
        put(target, NAME, before)
    copy_sessions(store, target, ALL)
    tree = tree_of(target.root)

    again = only(copy_sessions(store, target, ALL))

    assert again.state in {"equal", "ahead", "refused"}
    assert tree_of(target.root) == tree


def test_a_fork_is_refused_with_both_heads_and_the_first_differing_line(
    store: Store, target: Store
) -> None:
    """D2."""
    put(store, NAME, b"".join(FOUR))
    put(target, NAME, b"".join(OTHER_END))

    copy = only(copy_sessions(store, target, ALL))

    heads = [hashlib.sha256(lines[-1][:-1]).hexdigest() for lines in (FOUR, OTHER_END)]
    assert copy.reason == (
        f"forked at line 3: the source has 4 lines and the head {heads[0]}, "
        f"{NAME} has 4 and {heads[1]}"
    )


def test_as_fork_keeps_both_once_and_the_projector_reports_the_fork(
    store: Store, target: Store
) -> None:
    """D2: nothing is counted twice."""
    put(store, NAME, b"".join(FOUR))
    put(target, NAME, b"".join(OTHER_END))

    first = only(copy_sessions(store, target, ALL, as_fork=True))
    again = only(copy_sessions(store, target, ALL, as_fork=True))

    assert (first.state, first.directory) == ("fork kept", f"{NAME}-2")
    assert (again.state, again.directory) == ("equal", f"{NAME}-2")
    assert (log_in(target), log_in(target, f"{NAME}-2")) == (b"".join(OTHER_END), b"".join(FOUR))
    connection = cleared_tables("copied")
    project(target, connection)
    assert len(rows_of(connection, "events")) == 4
    assert [row["kind"] for row in rows_of(connection, "incidents")] == ["fork"]


def test_a_name_that_another_session_has_gets_the_next_suffix(store: Store, target: Store) -> None:
    put(store, NAME, b"".join(FOUR))
    put(store, f"{NAME}-2", b"".join(lines_of("second")))
    put(target, NAME, b"".join(lines_of("another")))
    (target.sessions_dir / f"{NAME}-3").mkdir()

    report = copy_sessions(store, target, ALL)

    assert [copy.directory for copy in report.copies] == [f"{NAME}-2", f"{NAME}-4"]
    assert log_in(target) == b"".join(lines_of("another"))
    assert log_in(target, f"{NAME}-2") == b"".join(FOUR)
    assert event_count(target) == 6


def test_the_longest_copy_in_the_source_wins_whatever_the_order(
    store: Store, target: Store
) -> None:
    put(store, "a", FOUR[0])
    put(store, "b", b"".join(FOUR))
    put(store, "c", b"".join(FOUR[:2]))

    planned = copy_sessions(store, target, ALL, is_dry_run=True)
    report = copy_sessions(store, target, ALL)

    assert states(report) == {"a": "copied", "b": "forwarded", "c": "ahead"}
    assert states(planned) == states(report)
    assert names_in(target) == ["a"]
    assert log_in(target, "a") == b"".join(FOUR)


@examples(25)
@given(data=st.data())
def test_any_two_beginnings_of_one_log_end_equal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """D2, D3: wherever a copy was cut, copying brings every whole line and no other byte."""
    whole = b"".join(FOUR) + b"not json \xff\n\n" + FOUR[1]
    cuts = st.integers(len(FOUR[0]), len(whole))
    ours, theirs = data.draw(cuts), data.draw(cuts)
    place = tmp_path_factory.mktemp("beginnings")
    source, target = new_store(place / "source"), new_store(place / "target")
    put(source, NAME, whole[:ours])
    put(target, NAME, whole[:theirs])

    assert not copy_sessions(source, target, ALL).is_refused

    end = whole.rfind(b"\n", 0, ours) + 1
    assert log_in(target) == whole[: max(end, theirs)]


def test_the_copy_can_be_appended_to_and_the_chain_goes_on(store: Store, target: Store) -> None:
    """D3."""
    put(store, NAME, b"".join(FOUR)[:-9])
    copy_sessions(store, target, ALL)
    log = target.sessions_dir / NAME / "actions.jsonl"

    Appender(log).append({"type": "read", "tool": "Read", "status": "success"})

    reading = read_all(log)
    assert (len(reading.good), reading.bad, reading.unchained) == (4, [], [])


def test_an_append_between_comparing_and_appending_is_not_overwritten(
    store: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2: the copy is compared again under its lock, and is then found to have forked."""
    put(store, NAME, b"".join(FOUR))
    log = put(target, NAME, FOUR[0])
    lock = files.lock

    def append_first(fd: int, path: Path) -> None:
        monkeypatch.setattr(files, "lock", lock)
        Appender(log).append({"type": "read", "tool": "Read", "status": "success"})
        lock(fd, path)

    def lock_the_log_only(fd: int, path: Path) -> None:
        (append_first if path == log else lock)(fd, path)

    monkeypatch.setattr(files, "lock", lock_the_log_only)

    copy = only(copy_sessions(store, target, ALL))

    assert copy.state == "refused"
    assert copy.fork is not None
    assert copy.fork.line_number == 2
    assert log_in(target).startswith(FOUR[0])
    assert read_all(log).unchained == []
    assert noted(target) == []


def test_a_source_that_is_being_written_is_copied_without_waiting_for_its_lock(
    store: Store, target: Store
) -> None:
    """D3: no lock is taken on the source."""
    log = put(store, NAME, b"".join(FOUR))
    fd = os.open(log, os.O_RDWR)
    files.lock(fd, log)
    try:
        assert only(copy_sessions(store, target, ALL)).state == "copied"
    finally:
        os.close(fd)


def test_blobs_come_along_if_their_content_has_the_hash_of_their_name(
    store: Store, target: Store
) -> None:
    directory = put(store, NAME, b"".join(FOUR[:2])).parent
    good = blob_of(directory, b"payload")
    blob_of(directory, b"changed", "0" * 64)
    blob_of(directory, b"x", "notes.txt")
    os.mkfifo(directory / "blobs" / ("1" * 64))
    (directory / "blobs" / ("2" * 64)).symlink_to("/etc/hostname")

    first = only(copy_sessions(store, target, ALL))

    assert first.blob_count == 1
    assert first.notes == (
        "blobs/notes.txt: not named as a blob",
        f"blobs/{'0' * 64}: does not have the content its name promises",
        f"blobs/{'1' * 64}: a pipe, not a plain file",
        f"blobs/{'2' * 64}: a symlink, not a plain file",
    )
    assert names_of(target.sessions_dir / NAME / "blobs") == [good]
    reference = {"blob": good, "media_type": "text/plain"}
    assert read_blob(target.sessions_dir / NAME, reference) == "payload"

    (directory / "actions.jsonl").write_bytes(b"".join(FOUR))
    later = blob_of(directory, b"later")
    second = only(copy_sessions(store, target, ALL))

    assert (second.state, second.blob_count) == ("forwarded", 1)
    assert names_of(target.sessions_dir / NAME / "blobs") == sorted([good, later])
    assert names_in(target) == [NAME]


def test_files_that_a_person_wrote_come_along_and_derived_ones_are_made_anew(
    store: Store, target: Store
) -> None:
    """D1: a database that came along is never copied, let alone opened."""
    put(store, NAME, b"".join(FOUR[:2]))
    catch_up(store)
    directory = store.sessions_dir / NAME
    (directory / "summary.md").write_text("# Mine\n")
    (directory / "stray.duckdb").write_bytes(b"\0" * 64)
    (directory / "notes.txt").write_text("x")

    copy = only(copy_sessions(store, target, ALL))

    there = target.sessions_dir / NAME
    assert names_of(there) == ["actions.jsonl", "summary.md"]
    assert (there / "summary.md").read_text() == "# Mine\n"
    assert copy.notes == ("notes.txt: no part of a session", "stray.duckdb: derived, never copied")

    catch_up(target)
    (there / "summary.md").write_text("# Theirs\n")
    (directory / "actions.jsonl").write_bytes(b"".join(FOUR))
    (directory / "manifest.yaml").write_text("mine: true\n")
    second = only(copy_sessions(store, target, ALL))

    assert (there / "manifest.yaml").read_text() == "mine: true\n"
    assert (there / "summary.md").read_text() == "# Theirs\n"
    assert f"summary.md: {NAME} has one of its own" in second.notes


def test_the_destination_knows_where_a_session_came_from(store: Store, target: Store) -> None:
    put(store, "renamed", b"".join(FOUR[:2]))
    put(target, "renamed", b"".join(lines_of("another")))
    copy_sessions(store, target, ALL)
    (store.sessions_dir / "renamed" / "actions.jsonl").write_bytes(b"".join(FOUR))
    copy_sessions(store, target, ALL)

    records = noted(target)
    times = [record.pop("copied_at") for record in records]
    common = {
        "session_id": ID,
        "directory": "renamed-2",
        "source_root": str(store.root.resolve()),
        "source_directory": "renamed",
    }
    heads = [hashlib.sha256(line[:-1]).hexdigest() for line in (FOUR[1], FOUR[3])]
    assert records == [
        {**common, "lines": 2, "head": heads[0]},
        {**common, "lines": 4, "head": heads[1]},
    ]
    assert times == sorted(times)


def test_a_store_is_not_copied_into_itself(store: Store) -> None:
    with pytest.raises(ProvlogError, match="the same store"):
        copy_sessions(store, open_store(store.root), ALL)


def test_a_tail_that_a_copy_completes_leaves_the_log_ready_for_the_next_append(
    store: Store, target: Store
) -> None:
    put(store, NAME, b"".join(FOUR))
    log = put(target, NAME, b"".join(FOUR)[:-9])
    copy_sessions(store, target, ALL)
    with log.open("rb") as file:
        tail = read_tail(file.fileno())
    assert (tail.action_id, tail.is_torn) == (4, False)
