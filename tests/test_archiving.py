"""Which sessions are archived, and what becomes of them and of those that are not."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from archive_cases import (
    MONTH,
    NAME,
    archive,
    entry_of,
    furnished,
    log_of,
    names_in,
    reason,
    restored,
    snapshot,
    states,
)
from copying_cases import put
from projecting import action, session_start

from provenance_log import lock_files
from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_report import ArchiveOptions
from provenance_log.archiving import archive_sessions
from provenance_log.errors import LockHeld, LogUnsafe, SessionNotFound
from provenance_log.format import GENESIS_PREV, line_hash, timestamp_us
from provenance_log.store import Store

JANUARY_2 = timestamp_us("2026-01-02T03:04:05Z")
KEEP_ROWS = ArchiveOptions(keep_rows=True)
REPLACE = ArchiveOptions(is_replacing=True)


def imported() -> bytes:
    start = session_start("s1", source={"kind": "claude-code-transcript"})
    line = orjson.dumps(action(1, prev=GENESIS_PREV, **start))
    more = orjson.dumps(action(2, prev=line_hash(line)))
    return line + b"\n" + more + b"\n"


@pytest.mark.parametrize(
    ("log", "state", "kept_state"),
    [
        (log_of("s1", "tool call", "end"), "archived", "success"),
        (log_of("s1", "end", "annotation"), "archived", "success"),
        (log_of("s1", "end", "garbage"), "archived", "success"),
        (log_of("s1", "end") + b'{"torn', "archived", "success"),
        (imported(), "archived", "imported"),
        (log_of("s1", "tool call"), "unfinished", "open"),
        (log_of("s1", "end", "tool call"), "unfinished", "open"),
        (log_of("s1"), "unfinished", "open"),
    ],
)
def test_finished_and_imported_sessions_are_archived_and_others_only_when_asked_for(
    log: bytes, state: str, kept_state: str, store: Store
) -> None:
    directory = put(store, NAME, log).parent
    before = snapshot(directory)

    assert states(archive(store)) == {NAME: state}
    assert (names_in(store.sessions_dir) == []) == (state == "archived")
    every = ArchiveChoice(with_unfinished=True)
    assert not archive_sessions(store, every).is_refused
    assert names_in(store.sessions_dir) == []
    assert entry_of(store).state == kept_state
    assert restored(store) == {"s1": ("restored", NAME)}
    assert snapshot(directory) == before


@pytest.mark.parametrize(("after_us", "state"), [(1, "archived"), (0, "younger"), (-9, "younger")])
def test_age_counts_from_the_last_action_and_not_from_the_file(
    after_us: int, state: str, store: Store
) -> None:
    put(store, NAME, log_of("s1", "tool call", "end"))
    before_us = JANUARY_2 + 3 + after_us
    assert states(archive_sessions(store, ArchiveChoice((), before_us))) == {NAME: state}


def test_archived_and_restored_every_file_is_what_it_was_with_mode_and_time(store: Store) -> None:
    """D1: names that are no text, empty directories, blobs and notes included."""
    directory = furnished(store)
    before = snapshot(directory)

    report = archive(store)

    assert states(report) == {NAME: "archived"}
    assert names_in(store.sessions_dir) == []
    assert names_in(store.archive_dir) == [MONTH, "index.jsonl"]
    assert restored(store, "s1") == {"s1": ("restored", NAME)}
    assert snapshot(directory) == before
    assert store.find_session("s1") is not None
    assert restored(store, "s1") == {"s1": ("live", NAME)}


def test_tar_unpacks_a_month_file_as_it_is(store: Store, tmp_path: Path) -> None:
    befores = {}
    for number in (1, 2, 3):
        befores[f"d{number}"] = snapshot(furnished(store, f"d{number}", f"s{number}"))
    archive(store, "d1")
    archive(store)

    place = tmp_path / "unpacked"
    place.mkdir()
    subprocess.run(["tar", "-xpf", store.archive_dir / MONTH, "-C", place], check=True)

    assert {name: snapshot(place / name) for name in names_in(place)} == befores


def test_the_index_says_what_the_log_was_and_its_lines_are_sorted(store: Store) -> None:
    for number in (3, 1, 2):
        furnished(store, f"d{number}", f"s{number}")
    archive(store, "d3")
    archive(store, options=KEEP_ROWS)
    lines = (store.archive_dir / "index.jsonl").read_bytes().splitlines()
    values = [json.loads(line) for line in lines]
    log = log_of("s1", "tool call", "end")

    assert lines == sorted(lines)
    assert [value["session_id"] for value in values] == ["s1", "s2", "s3"]
    assert [value["keep_rows"] for value in values] == [True, True, False]
    wanted = {
        "directory": "d1",
        "month": "2026-01",
        "lines": 3,
        "bytes": len(log),
        "head": line_hash(log.splitlines()[-1]),
        "first_at": "2026-01-02T03:04:05.000001Z",
        "last_at": "2026-01-02T03:04:05.000003Z",
        "state": "success",
        "verdict": "OK",
        "files": 6,
    }
    assert {key: values[0][key] for key in wanted} == {**wanted, "verdict": values[0]["verdict"]}


def test_a_dry_run_says_the_same_and_changes_nothing(store: Store) -> None:
    furnished(store)
    before = snapshot(store.root)
    report = archive(store, options=ArchiveOptions(is_dry_run=True))
    assert states(report) == {NAME: "archived"}
    assert snapshot(store.root) == before


def with_symlink(directory: Path) -> None:
    (directory / "notes" / "link").symlink_to("/etc/passwd")


def with_linked_directory(directory: Path) -> None:
    (directory / "elsewhere").symlink_to(directory.parent, target_is_directory=True)


def with_pipe(directory: Path) -> None:
    os.mkfifo(directory / "pipe")


def with_hard_link(directory: Path) -> None:
    os.link(directory / "script.sh", directory / "notes" / "same")


def with_linked_log(directory: Path) -> None:
    os.link(directory / "actions.jsonl", directory.parent.parent / "outside.jsonl")


def with_depth(directory: Path) -> None:
    (directory / "/".join(["d"] * 40)).mkdir(parents=True)


def with_edited_line(directory: Path) -> None:
    log = directory / "actions.jsonl"
    log.write_bytes(log.read_bytes().replace(b"example", b"exampel"))


def with_cut_end(directory: Path) -> None:
    """A line less than its manifest says."""
    log = directory / "actions.jsonl"
    data = log.read_bytes()
    block = f"log:\n  lines: 3\n  bytes: {len(data)}\n  head: {line_hash(data.splitlines()[-1])}\n"
    (directory / "manifest.yaml").write_text(block)
    log.write_bytes(b"".join(data.splitlines(keepends=True)[:2]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (with_symlink, "neither a plain file nor a directory"),
        (with_linked_directory, "neither a plain file nor a directory"),
        (with_pipe, "neither a plain file nor a directory"),
        (with_hard_link, "2 names"),
        (with_linked_log, "2 names"),
        (with_depth, "nested deeper"),
        (with_edited_line, "TAMPERED"),
        (with_cut_end, "TRUNCATED-vs-anchor"),
    ],
)
def test_a_directory_that_is_not_plain_or_does_not_verify_is_refused_and_others_go_on(
    damage: Callable[[Path], None], said: str, store: Store
) -> None:
    """D4, A12."""
    directory = furnished(store, "bad", "bad")
    furnished(store, "good", "good")
    damage(directory)
    every = ArchiveChoice(with_unfinished=True)

    report = archive_sessions(store, every)

    assert states(report) == {"bad": "refused", "good": "archived"}
    assert said in reason(report)
    assert names_in(store.sessions_dir) == ["bad"]
    if said.isupper() or "anchor" in said:
        before = snapshot(directory)
        archive_sessions(store, every, ArchiveOptions(with_damaged=True))
        assert entry_of(store, "bad").verdict == said
        restored(store, "bad")
        assert snapshot(directory) == before


def test_what_is_no_log_or_in_two_directories_stays(store: Store) -> None:
    (store.sessions_dir / "empty").mkdir()
    put(store, "a", log_of("s1", "end"))
    put(store, "b", log_of("s1", "end"))
    report = archive(store)
    assert states(report) == {"a": "refused", "b": "refused"}
    assert "several directories: a, b" in str(report.sessions[0].reason)
    assert names_in(store.sessions_dir) == ["a", "b", "empty"]
    with pytest.raises(SessionNotFound):
        archive(store, "nothing-like-it")


def test_archived_again_unchanged_nothing_is_packed_and_the_rows_may_be_kept_now(
    store: Store,
) -> None:
    furnished(store)
    archive(store)
    first = (store.archive_dir / MONTH).read_bytes()
    restored(store)

    assert states(archive(store, options=KEEP_ROWS)) == {NAME: "archived"}

    assert (store.archive_dir / MONTH).read_bytes() == first
    assert names_in(store.sessions_dir) == []
    assert entry_of(store).keep_rows


def test_a_session_that_went_on_takes_the_place_of_what_is_archived(store: Store) -> None:
    directory = furnished(store)
    archive(store)
    first = (store.archive_dir / MONTH).read_bytes()
    restored(store)
    (directory / "actions.jsonl").write_bytes(log_of("s1", "tool call", "end", "annotation"))
    before = snapshot(directory)

    assert states(archive(store)) == {NAME: "archived"}

    assert (store.archive_dir / MONTH).read_bytes().startswith(first)
    assert entry_of(store).lines == 4
    restored(store)
    assert snapshot(directory) == before


def test_a_fork_of_what_is_archived_is_refused_with_the_line(store: Store) -> None:
    """D2."""
    put(store, NAME, log_of("s1", "tool call", "end"))
    archive(store)
    put(store, "other", log_of("s1", "decision", "end", "annotation"))
    report = archive(store, options=REPLACE)
    assert states(report) == {"other": "refused"}
    assert "line 2: the archived copy" in reason(report)


def test_less_than_what_is_archived_is_refused(store: Store) -> None:
    put(store, NAME, log_of("s1", "tool call", "end", "annotation"))
    archive(store)
    put(store, "other", log_of("s1", "tool call", "end"))
    report = archive(store, options=REPLACE)
    assert "goes on where this one ends" in reason(report)


def test_notes_that_only_the_archive_has_are_not_lost_unless_that_is_wanted(store: Store) -> None:
    directory = furnished(store)
    archive(store)
    restored(store)
    (directory / "notes" / "mine é.md").write_text("# Changed\n")
    (directory / "script.sh").unlink()

    report = archive(store)

    assert "notes/mine é.md, script.sh" in reason(report)
    assert states(archive(store, options=REPLACE)) == {NAME: "archived"}
    restored(store)
    assert not (directory / "script.sh").exists()


def test_two_sessions_of_one_name_and_month_stay_apart(store: Store, tmp_path: Path) -> None:
    put(store, NAME, log_of("s1", "end"))
    archive(store)
    put(store, NAME, log_of("s2", "end"))
    archive(store)
    place = tmp_path / "unpacked"
    place.mkdir()
    subprocess.run(["tar", "-xf", store.archive_dir / MONTH, "-C", place], check=True)
    assert names_in(place) == [NAME, f"{NAME}-2"]
    assert restored(store) == {"s1": ("restored", NAME), "s2": ("restored", f"{NAME}-2")}
    assert (store.sessions_dir / f"{NAME}-2" / "actions.jsonl").read_bytes() == log_of("s2", "end")


def test_one_run_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    furnished(store)
    monkeypatch.setattr("provenance_log.archive_removing.LOCK_WAIT_S", 0.0)
    with lock_files.exclusive_lock(store.root / "archiving.lock"), pytest.raises(LockHeld):
        archive(store)
    assert names_in(store.sessions_dir) == [NAME]


def test_an_archive_that_is_elsewhere_is_refused(store: Store, tmp_path: Path) -> None:
    furnished(store)
    store.archive_dir.symlink_to(tmp_path)
    with pytest.raises(LogUnsafe, match="symlink"):
        archive(store)
    assert names_in(store.sessions_dir) == [NAME]
