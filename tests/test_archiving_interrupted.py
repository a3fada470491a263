"""Archiving and restoring that are killed before any of their steps: nothing is ever lost."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archive_cases import (
    MONTH,
    NAME,
    archive,
    entry_of,
    furnished,
    log_of,
    names_in,
    restored,
    snapshot,
    states,
)
from copying_cases import new_store, put

from provenance_log import files
from provenance_log.archive_index import read_index
from provenance_log.errors import StoreNotWritable
from provenance_log.restoring import unpacked_session
from provenance_log.store import Store

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.utime"}


def killed_before_step(step: int, work: Callable[[], object]) -> bool:
    """Do it in a process that is killed before its n-th change; return whether it was."""
    pid = os.fork()
    if pid == 0:
        _work_and_die(step, work)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def _work_and_die(step: int, work: Callable[[], object]) -> None:
    left = step

    def count_down(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        is_change = event in CHANGES
        if event == "open" and isinstance(arguments[2], int):
            is_change = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if is_change:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(count_down)
        work()
        os._exit(0)
    finally:
        os._exit(3)


def is_safe(store: Store, before: dict[str, Any]) -> bool:
    """Say whether the session is live as it was, or in the archive and its index."""
    live = [snapshot(directory.path) for directory in store.session_directories()]
    if before in live:
        return True
    with unpacked_session(store, entry_of(store)) as unpacked:
        return unpacked.log.read_bytes() == before["actions.jsonl"][2]


@pytest.mark.parametrize("case", ["first", "second", "again", "longer"])
def test_killed_at_any_step_of_archiving_the_session_is_live_or_archived(
    case: str, tmp_path: Path
) -> None:
    """D5: and the next run, whichever it is, finishes and leaves nothing lying about."""
    step, was_killed = 0, True
    while was_killed:
        step += 1
        store = new_store(tmp_path / f"{case}-{step}")
        directory = put(store, NAME, log_of("s1", "end")).parent
        (directory / "notes").mkdir()
        (directory / "notes" / "a.md").write_text("mine\n")
        if case == "second":
            put(store, "other", log_of("s0", "end"))
            archive(store, "other")
        if case in {"again", "longer"}:
            archive(store)
            restored(store)
        if case == "longer":
            (directory / "actions.jsonl").write_bytes(log_of("s1", "end", "annotation"))
        before = snapshot(directory)

        was_killed = killed_before_step(step, lambda: archive(store, "s1"))

        assert is_safe(store, before)
        if step % 2 and "s1" in read_index(store) and case != "longer":
            restored(store, "s1")
            assert snapshot(directory) == before
        if names_in(store.sessions_dir) == [NAME] or step % 2:
            assert set(states(archive(store)).values()) <= {"archived"}
        else:
            restored(store, "s1")
            archive(store)
        assert names_in(store.sessions_dir) == []
        assert names_in(store.archive_dir) == [MONTH, "index.jsonl"]
        restored(store)
        assert snapshot(directory) == before
        assert names_in(store.sessions_dir) == [NAME, *(["other"] if case == "second" else [])]
    assert step > 12


def test_killed_at_any_step_of_restoring_it_is_all_or_nothing(tmp_path: Path) -> None:
    """D5."""
    step, was_killed = 0, True
    while was_killed:
        step += 1
        store = new_store(tmp_path / f"target-{step}")
        directory = put(store, NAME, log_of("s1", "end")).parent
        (directory / "blobs").mkdir()
        (directory / "blobs" / ("b" * 64)).write_bytes(b"payload")
        before = snapshot(directory)
        archive(store)

        was_killed = killed_before_step(step, lambda: restored(store))

        live = [one for one in store.session_directories() if one.log.exists()]
        assert [snapshot(one.path) for one in live] in ([], [before])
        assert restored(store) == {"s1": ("live" if live else "restored", NAME)}
        assert snapshot(directory) == before
        assert names_in(store.sessions_dir) == [NAME]
    assert step > 8


def test_a_hidden_directory_that_is_not_as_archived_gets_its_name_back(store: Store) -> None:
    directory = furnished(store)
    archive(store)
    restored(store)
    (directory / "late.md").write_text("late\n")
    before = snapshot(directory)
    directory.rename(directory.with_name(f".archiving-{NAME}"))
    other = furnished(store, NAME, "s2")

    archive(store, "s2")

    assert not other.exists()
    assert names_in(store.sessions_dir) == [f"{NAME}-2"]
    assert snapshot(store.sessions_dir / f"{NAME}-2") == before


def test_a_full_disk_is_said_and_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = furnished(store)
    before = snapshot(directory)

    def full(path: Path, _pieces: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_new", full)
    with pytest.raises(StoreNotWritable, match="No space left"):
        archive(store)
    assert snapshot(directory) == before
    assert names_in(store.archive_dir) == []
    monkeypatch.undo()

    archive(store)
    monkeypatch.setattr(files, "write_new", full)
    with pytest.raises(StoreNotWritable, match="No space left"):
        restored(store)
    assert names_in(store.sessions_dir) == []
