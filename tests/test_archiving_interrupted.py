"""Archiving and restoring that are killed before any of their steps: nothing is ever lost."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from archive_cases import (
    MONTH,
    NAME,
    Snapshot,
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
from provenance_log.store import Store, open_store

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


def is_safe(store: Store, before: Snapshot) -> bool:
    """Say whether the session is live as it was, or in the archive and its index."""
    live = [snapshot(directory.path) for directory in store.session_directories()]
    if before in live:
        return True
    with unpacked_session(store, entry_of(store)) as unpacked:
        return unpacked.log.read_bytes() == before["actions.jsonl"][2]


def copy_of(store: Store, root: Path) -> Store:
    """The same store at another place: quicker than to make it again for every step."""
    shutil.copytree(store.root, root)
    return open_store(root)


@pytest.mark.parametrize("case", ["first", "longer"])
def test_killed_at_any_step_of_archiving_the_session_is_live_or_archived(
    case: str, tmp_path: Path
) -> None:
    """D5: and the next run, whichever it is, finishes and leaves nothing lying about."""
    origin = new_store(tmp_path / "origin")
    put(origin, "other", log_of("s0", "end"))
    log = put(origin, NAME, log_of("s1", "end"))
    (log.parent / "notes").mkdir()
    (log.parent / "notes" / "a.md").write_text("mine\n")
    archive(origin, "other", *(["s1"] if case == "longer" else []))
    if case == "longer":
        restored(origin, "s1")
        log.write_bytes(log_of("s1", "end", "annotation"))
    before = snapshot(log.parent)
    step, was_killed = 0, True
    while was_killed:
        step += 1
        store = copy_of(origin, tmp_path / f"{case}-{step}")

        was_killed = killed_before_step(step, partial(archive, store, "s1"))

        assert is_safe(store, before)
        if step % 2 or NAME in names_in(store.sessions_dir):
            assert set(states(archive(store)).values()) <= {"archived"}
        else:
            assert restored(store, "s1") == {"s1": ("restored", NAME)}
            archive(store)
        assert names_in(store.sessions_dir) == []
        assert names_in(store.archive_dir) == [MONTH, "index.jsonl"]
        restored(store, "s1")
        assert snapshot(store.sessions_dir / NAME) == before
        assert sorted(read_index(store)) == ["s0", "s1"]
    assert step > 12


def test_killed_at_any_step_of_restoring_it_is_all_or_nothing(tmp_path: Path) -> None:
    """D5."""
    origin = new_store(tmp_path / "origin")
    directory = put(origin, NAME, log_of("s1", "end")).parent
    (directory / "blobs").mkdir()
    (directory / "blobs" / ("b" * 64)).write_bytes(b"payload")
    before = snapshot(directory)
    archive(origin)
    step, was_killed = 0, True
    while was_killed:
        step += 1
        store = copy_of(origin, tmp_path / f"target-{step}")

        was_killed = killed_before_step(step, partial(restored, store))

        live = [one for one in store.session_directories() if one.log.exists()]
        assert [snapshot(one.path) for one in live] in ([], [before])
        assert restored(store) == {"s1": ("live" if live else "restored", NAME)}
        assert snapshot(store.sessions_dir / NAME) == before
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
    assert names_in(store.archive_dir) == ["index.jsonl"]
    monkeypatch.undo()

    archive(store)
    monkeypatch.setattr(files, "write_new", full)
    with pytest.raises(StoreNotWritable, match="No space left"):
        restored(store)
    assert names_in(store.sessions_dir) == []
