"""What made the hooks and recorders of others lose events, hang an agent or mix sessions up.

The first words of each docstring are the thread; docs/field-failures.md tells what happened there.
"""

import fcntl
import json
import os
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from hook_cases import (
    COMMAND,
    SESSION,
    SILENT,
    as_bytes,
    payload,
    post,
    pre,
    project_of,
    run_hook,
)
from imported_sessions import calls_of, logs_of, new_store
from log_cases import read_all

from provenance_log.claude_code.recorder import drain_store
from provenance_log.cli import provlog
from provenance_log.store import Store

pytestmark = pytest.mark.usefixtures("field_failure")


def problems(store: Store) -> list[str]:
    path = store.root / "recorder-problems.jsonl"
    return [json.loads(line)["reason"] for line in path.read_text().splitlines()]


def test_empty_stdin_is_counted_and_the_call_is_told_by_its_other_event(tmp_path: Path) -> None:
    """anthropics/claude-code#67326: A8, F21. Nothing is lost without a word."""
    store = new_store(tmp_path)
    assert run_hook(as_bytes(pre("t1", "Edit")), project_of(store)) == SILENT
    for data in (b"", b"\n", b" "):
        assert run_hook(data, project_of(store)) == SILENT
    assert run_hook(as_bytes(payload("SessionEnd")), project_of(store)) == SILENT

    assert problems(store) == ["stdin is empty"] * 3
    (actions,) = logs_of(store).values()
    assert [(one["details"]["call_id"], one["status"]) for one in calls_of(actions)] == [
        ("t1", "skipped")
    ]


def test_hooks_of_parallel_calls_corrupt_nothing_and_lose_none(tmp_path: Path) -> None:
    """memvid/claude-brain#13: A4, A6, F11. 24 processes for one session at the same time."""
    store = new_store(tmp_path)
    payloads = [as_bytes(post(f"t{number}")) for number in range(24)]
    with ThreadPoolExecutor(24) as pool:
        ran = Counter(pool.map(lambda one: run_hook(one, project_of(store)), payloads))
    drain_store(store)

    assert ran == {SILENT: 24}
    (actions,) = logs_of(store).values()
    found = sorted(one["details"]["call_id"] for one in calls_of(actions))
    assert found == sorted(f"t{number}" for number in range(24))
    (directory,) = store.session_directories()
    reading = read_all(directory.log)
    assert (reading.bad, reading.unchained) == ([], [])
    assert [one["action_id"] for one in actions] == list(range(1, 26))


def test_hook_whose_log_nobody_lets_go_of_ends_by_itself_and_has_a_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """os-factory/har#328: A8, F13. The event waits in the spool."""
    store = new_store(tmp_path)
    assert run_hook(as_bytes(payload("SessionStart")), project_of(store)) == SILENT
    (directory,) = store.session_directories()
    with directory.log.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run_hook(as_bytes(post("t1")), project_of(store)) == SILENT
        assert read_all(directory.log).values[1:] == []
    assert drain_store(store) == 1
    assert [one["details"]["call_id"] for one in calls_of(logs_of(store)[SESSION])] == ["t1"]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert CliRunner().invoke(provlog, ["install", "claude-code"]).exit_code == 0
    settings = json.loads((tmp_path / ".claude" / "settings.json").read_text())
    handlers = [
        handler
        for entries in settings["hooks"].values()
        for entry in entries
        for handler in entry["hooks"]
    ]
    assert len(handlers) > 5
    assert {handler["timeout"] for handler in handlers} == {10}


def test_events_of_sessions_at_once_are_each_in_their_own_log(tmp_path: Path) -> None:
    """anthropics/claude-code#26964: A4, D2. Three sessions of one project, interleaved."""
    store = new_store(tmp_path)
    payloads = [
        as_bytes({**post(f"{name}-{number}"), "session_id": name * 8})
        for number in range(8)
        for name in "abc"
    ]
    with ThreadPoolExecutor(6) as pool:
        ran = Counter(pool.map(lambda one: run_hook(one, project_of(store)), payloads))
    drain_store(store)

    assert ran == {SILENT: 24}
    found = {
        actions[0]["details"]["session"]["kwargs"].get("session_id"): sorted(
            one["details"]["call_id"] for one in calls_of(actions)
        )
        for actions in logs_of(store).values()
    }
    assert found == {name * 8: [f"{name}-{number}" for number in range(8)] for name in "abc"}


def test_session_goes_on_in_the_project_where_it_is_copied_or_moved_to(tmp_path: Path) -> None:
    """anthropics/claude-code#41344: D1, D2, F37. And nothing of before is overwritten."""
    here, there, moved = (tmp_path / name for name in ("here", "there", "moved"))
    store = new_store(here)
    assert run_hook(as_bytes(post("before")), here) == SILENT
    shutil.copytree(here, there)
    assert run_hook(as_bytes(post("in the copy")), there) == SILENT
    assert run_hook(as_bytes(post("in the first")), here) == SILENT
    before = {one.name: one.log.read_bytes() for one in store.session_directories()}
    here.rename(moved)
    assert run_hook(as_bytes(post("after the move")), moved) == SILENT

    def told(project: Path) -> list[str]:
        (log,) = project.glob(".claude/provenance/sessions/*/actions.jsonl")
        return [one["details"]["call_id"] for one in calls_of(read_all(log).values)]

    assert told(there) == ["before", "in the copy"]
    assert told(moved) == ["before", "in the first", "after the move"]
    for name, content in before.items():
        log = moved / ".claude" / "provenance" / "sessions" / name / "actions.jsonl"
        assert log.read_bytes().startswith(content)
    assert not here.exists()


def test_hook_without_a_store_still_reads_all_that_it_is_given(tmp_path: Path) -> None:
    """ruvnet/ruflo#1172: A8, F21. Or the agent that writes would meet a broken pipe."""
    data = as_bytes(post("t1", tool_response={"stdout": "x" * 4_000_000}))
    environment = {"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(tmp_path)}
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, env=environment, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdin.write(data) == len(data)
        process.stdin.close()
        assert process.wait(60) == 0
    assert list(tmp_path.iterdir()) == []
