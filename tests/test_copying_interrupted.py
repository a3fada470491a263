"""Copies that are killed, refused by the disk, or overtaken by the source: invariant D5."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from copying_cases import (
    ALL,
    FOUR,
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
)
from log_cases import read_all

from provenance_log import files
from provenance_log.copying import copy_sessions
from provenance_log.errors import StoreNotWritable
from provenance_log.store import Store

APPEND_MANY = """if True:
    import sys
    from pathlib import Path
    from provenance_log.appender import Appender
    log = Appender(Path(sys.argv[1]))
    for _ in range(300):
        log.append({"type": "read", "tool": "Read", "status": "success"})
"""


@pytest.fixture
def target(tmp_path: Path) -> Store:
    """The store that is copied into; `store` is the one copied from."""
    return new_store(tmp_path / "target")


def killed_before_step(step: int, source: Store, target: Store) -> bool:
    """Copy in a process that is killed before its n-th change; return whether it was."""
    pid = os.fork()
    if pid == 0:
        _copy_and_die(step, source, target)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def _copy_and_die(step: int, source: Store, target: Store) -> None:
    left = step

    def count_down(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        is_change = event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod"}
        if event == "open" and isinstance(arguments[2], int):
            is_change = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if is_change:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(count_down)
        copy_sessions(source, target, ALL)
        os._exit(0)
    finally:
        os._exit(3)


def test_a_log_that_changes_while_it_is_copied_is_refused_and_nothing_of_it_stays(
    store: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = put(store, NAME, b"".join(FOUR))
    write_new = files.write_new

    def edit_first(path: Path, pieces: Any) -> None:
        log.write_bytes(b"".join(OTHER_END)[: log.stat().st_size].ljust(log.stat().st_size))
        write_new(path, pieces)

    monkeypatch.setattr(files, "write_new", edit_first)

    copy = only(copy_sessions(store, target, ALL))

    assert copy.state == "refused"
    assert "was changed while it was copied" in str(copy.reason)
    assert names_in(target) == []


def test_a_destination_that_is_full_is_said_and_what_was_copied_stays(
    store: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a", b"".join(FOUR))
    put(store, "b", b"".join(lines_of("second")))
    write_new = files.write_new
    calls: list[Path] = []

    def full_at_second(path: Path, pieces: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(path))
        write_new(path, pieces)

    monkeypatch.setattr(files, "write_new", full_at_second)

    with pytest.raises(StoreNotWritable, match="No space left"):
        copy_sessions(store, target, ALL)
    assert names_in(target) == ["a"]
    assert states(copy_sessions(store, target, ALL)) == {"a": "equal", "b": "copied"}


@pytest.mark.parametrize("there", [None, FOUR[0], b"".join(FOUR)[:-9]])
def test_killed_at_any_step_it_is_all_or_nothing_and_the_next_run_finishes(
    there: bytes | None, tmp_path: Path
) -> None:
    """D5, and the note of where it came from is written exactly once."""
    source = new_store(tmp_path / "source")
    directory = put(source, NAME, b"".join(FOUR)).parent
    blob = blob_of(directory, b"payload")
    (directory / "summary.md").write_text("# Mine\n")
    step, was_killed = 0, True
    while was_killed:
        step += 1
        target = new_store(tmp_path / f"target-{step}")
        if there is not None:
            put(target, NAME, there)
        was_killed = killed_before_step(step, source, target)

        visible = target.session_directories()
        logs = [one.log.read_bytes() for one in visible if one.log.exists()]
        assert logs in ([], [b"".join(FOUR)], [there])
        copy_sessions(source, target, ALL)

        assert names_in(target) == [NAME]
        assert log_in(target) == b"".join(FOUR)
        assert names_of(target.sessions_dir / NAME) == ["actions.jsonl", "blobs", "summary.md"]
        assert names_of(target.sessions_dir / NAME / "blobs") == [blob]
        assert [record["lines"] for record in noted(target)] == [4]
    assert step > 8
    assert event_count(target) == 4


def test_a_session_that_goes_on_is_followed_line_by_line(store: Store, target: Store) -> None:
    """D3: each copy is whole lines of one chain, whatever the writer does meanwhile."""
    log = put(store, NAME, FOUR[0])
    with subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(log)]) as writer:
        while writer.poll() is None:
            assert only(copy_sessions(store, target, ALL)).state in {"copied", "forwarded", "equal"}
            assert log_in(target).endswith(b"\n")
            assert log.read_bytes().startswith(log_in(target))
    assert writer.returncode == 0
    copy_sessions(store, target, ALL)

    assert log_in(target) == log.read_bytes()
    reading = read_all(target.sessions_dir / NAME / "actions.jsonl")
    assert (len(reading.good), reading.bad, reading.unchained) == (301, [], [])
    assert event_count(target) == 301


def test_a_session_that_starts_under_the_same_name_at_that_moment_keeps_its_directory(
    store: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty directory is a session that is about to write its first line."""
    put(store, NAME, b"".join(FOUR))
    place_directory = files.place_directory

    def start_first(staged: Path, path: Path) -> None:
        monkeypatch.setattr(files, "place_directory", place_directory)
        path.mkdir()
        place_directory(staged, path)

    monkeypatch.setattr(files, "place_directory", start_first)

    copy = only(copy_sessions(store, target, ALL))

    assert (copy.state, copy.directory) == ("copied", f"{NAME}-2")
    assert list((target.sessions_dir / NAME).iterdir()) == []
    assert [record["directory"] for record in noted(target)] == [f"{NAME}-2"]


def test_what_is_left_of_an_interrupted_copy_is_no_session_to_anybody(
    store: Store, target: Store
) -> None:
    """D5, D4: and a pending note that somebody else wrote does nothing."""
    leftover = target.sessions_dir / ".copy-0123abcd"
    leftover.mkdir()
    (leftover / "actions.jsonl").write_bytes(b"".join(FOUR))
    pending = {"directory": "../../outside", "lines": 1, "head": ""}
    (target.sessions_dir / ".copy-pending.json").write_text(json.dumps(pending))
    put(store, NAME, b"".join(FOUR))
    assert target.session_directories() == []

    copy_sessions(store, target, ALL)

    assert names_in(target) == [NAME]
