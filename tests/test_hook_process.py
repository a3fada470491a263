"""The recorder as a process: it prints nothing, exits 0, does not wait, and loses what it must.

F21 of the fault matrix.
"""

import fcntl
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hook_cases import COMMAND, SESSION, SILENT, Feed, as_bytes, payload, post, pre, project_of
from hook_cases import run_hook as run
from imported_sessions import calls_of, logs_of
from secret_samples import SAMPLES

from provenance_log.claude_code.recorder import drain_store
from provenance_log.recorder_state import recorder_state
from provenance_log.settings import load_settings
from provenance_log.spool import SPOOL_NAME, spooled_paths
from provenance_log.store import Store, find_root


def reasons_of(store: Store) -> list[str]:
    path = store.root / "recorder-problems.jsonl"
    if not path.exists():
        return []
    return [json.loads(line)["reason"] for line in path.read_text().splitlines()]


def test_a_call_is_recorded_by_two_processes(store: Store) -> None:
    for one in (pre("a"), post("a")):
        assert run(as_bytes(one), project_of(store)) == SILENT
    (call,) = calls_of(logs_of(store)[SESSION])
    assert call["details"]["duration_source"] == "hook_times"
    assert reasons_of(store) == []


def test_the_console_script_does_the_same(store: Store) -> None:
    script = Path(sys.executable).with_name("provlog-hook")
    assert run(as_bytes(pre("a")), project_of(store), command=[str(script)]) == SILENT
    assert len(logs_of(store)[SESSION]) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "stdin is empty"),
        (b" \n", "stdin is empty"),
        (b'{"session_id": "x", "prompt": "secr', "not JSON: "),
        (b"\xff\xfe", "not JSON: "),
        (b"[" * 100_000, "not JSON: "),
        (b"[1]", "not a JSON object"),
        (b'{"test": true}', "no session_id"),
        (b'{"session_id": "x"}', "no hook_event_name"),
    ],
)
def test_what_is_no_payload_is_noted_without_its_text(
    store: Store, data: bytes, reason: str
) -> None:
    assert run(data, project_of(store)) == SILENT
    (noted,) = reasons_of(store)
    assert noted.startswith(reason)
    assert "secr" not in (store.root / "recorder-problems.jsonl").read_text()
    state = recorder_state(store.root)
    assert (state.problem_count, state.last_problem and state.last_problem.size_bytes) == (
        1,
        len(data),
    )
    assert logs_of(store) == {}


def test_without_a_store_nothing_is_recorded_and_nothing_is_made(tmp_path: Path) -> None:
    one = payload("Stop", cwd=str(tmp_path))
    assert run(as_bytes(one), tmp_path, cwd=tmp_path) == SILENT
    assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_is_gone_is_survived(store: Store, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$0" && rmdir "$0" && exec "$@"'
    command = ["sh", "-c", script, str(gone), *COMMAND]
    data = as_bytes(payload("Stop", cwd=str(gone)))
    assert run(data, project_of(store), command=command) == SILENT
    assert len(logs_of(store)[SESSION]) == 2


def test_the_store_is_found_from_the_directory_of_the_session_where_the_project_has_none(
    store: Store, tmp_path: Path
) -> None:
    below = project_of(store) / "src" / "deep"
    below.mkdir(parents=True)
    data = as_bytes(payload("Stop", cwd=str(below)))
    assert run(data, tmp_path / "elsewhere", cwd=tmp_path) == SILENT
    assert find_root(below) == store.root
    assert len(logs_of(store)[SESSION]) == 2


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_log_that_is_locked_delays_nobody_and_its_event_waits_in_the_spool(
    store: Store,
) -> None:
    """A8, F13: the agent goes on after a bounded time; the event comes into the log later."""
    Feed(store)(pre("a"))
    (directory,) = store.session_directories()
    with locked(directory.log):
        started = time.monotonic()
        assert run(as_bytes(post("a")), project_of(store)) == SILENT
        assert time.monotonic() - started < 10
        assert len(spooled_paths(store.root)) == 1
    assert calls_of(logs_of(store)[SESSION]) == []
    assert run(as_bytes(payload("Stop")), project_of(store)) == SILENT
    assert spooled_paths(store.root) == []
    assert reasons_of(store) == []
    (_closed, call) = calls_of(logs_of(store)[SESSION])
    assert call["details"]["output_data"] == {"stdout": "of a"}


def test_a_spool_is_drained_in_the_order_of_time_and_each_event_once(store: Store) -> None:
    """A8."""
    Feed(store)(payload("SessionStart"))
    (directory,) = store.session_directories()
    with locked(directory.log):
        for one in (pre("a"), post("a"), payload("UserPromptSubmit", prompt="x"), pre(None)):
            assert run(as_bytes(one), project_of(store)) == SILENT
    kept = {path: path.read_bytes() for path in spooled_paths(store.root)}
    assert drain_store(store) == 4
    for path, content in kept.items():  # as if the drain had been killed before it removed them
        path.write_bytes(content)
    assert drain_store(store) == 4
    names = [one["event_type"] for one in logs_of(store)[SESSION]]
    assert names == ["lifecycle", "tool_start", "tool_call", "log", "tool_start"]
    assert list((store.root / SPOOL_NAME).iterdir()) == []


def test_what_is_no_spooled_event_is_set_aside_and_the_others_are_drained(store: Store) -> None:
    Feed(store)(payload("SessionStart"))
    (directory,) = store.session_directories()
    with locked(directory.log):
        run(as_bytes(payload("Stop")), project_of(store))
    (store.root / SPOOL_NAME / "0-torn.json").write_bytes(b'{"payload": ')
    assert drain_store(store) == 1
    state = recorder_state(store.root)
    assert (state.spooled_count, state.refused_count) == (0, 1)
    (about,) = state.attention()
    assert about == "events that no line can hold, 1: see spool/*.refused"


def limited(setting: int, value: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(setting, (value, value))

    return limit


@pytest.mark.parametrize(
    ("setting", "value"), [(resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 4)]
)
def test_a_disk_that_takes_nothing_and_files_that_can_not_be_opened_are_survived(
    store: Store, setting: int, value: int
) -> None:
    """F05, F21: nothing can be written, not even that; the agent does not notice."""
    Feed(store)(payload("SessionStart"))
    (directory,) = store.session_directories()
    before = directory.log.read_bytes()
    done = subprocess.run(
        COMMAND,
        input=as_bytes(payload("Stop")),
        capture_output=True,
        env={"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(project_of(store))},
        preexec_fn=limited(setting, value),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == SILENT
    assert directory.log.read_bytes() == before
    assert run(as_bytes(payload("Stop")), project_of(store)) == SILENT
    assert len(logs_of(store)[SESSION]) == 2


def test_a_log_that_is_no_plain_file_is_not_written_and_the_event_is_kept(
    store: Store, tmp_path: Path
) -> None:
    """A12, F40."""
    Feed(store)(payload("SessionStart"))
    (directory,) = store.session_directories()
    os.link(directory.log, tmp_path / "other name")
    assert run(as_bytes(payload("Stop")), project_of(store)) == SILENT
    assert len(spooled_paths(store.root)) == 1
    (reason,) = reasons_of(store)
    assert reason.startswith("spooled: the file has 2 names")


def test_settings_that_can_not_be_read_are_noted_and_the_defaults_taken(store: Store) -> None:
    (store.root / "config.yaml").write_text("durability: sometimes\n")
    assert run(as_bytes(post("a")), project_of(store)) == SILENT
    (call,) = calls_of(logs_of(store)[SESSION])
    assert call["type"] == "execute"
    assert reasons_of(store) == ["durability is not one of process, disk"]


@pytest.mark.parametrize("count", [12])
def test_hooks_that_run_at_once_make_one_session_and_each_call_once(
    store: Store, count: int
) -> None:
    """F11: Claude Code runs all hooks of a moment at the same time."""
    events = [one for n in range(count // 2) for one in (post(str(n)), pre(str(n)))]
    environment = {"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(project_of(store))}
    running: list[Any] = [
        subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        for _ in events
    ]
    for process, one in zip(running, events, strict=True):
        process.stdin.write(as_bytes(one))
        process.stdin.close()
    assert [(one.stdout.read(), one.wait(60)) for one in running] == [(b"", 0)] * count
    for process in running:
        process.stdout.close()
    drain_store(store)
    ((_, actions),) = logs_of(store).items()
    calls = calls_of(actions)
    assert sorted(one["details"]["call_id"] for one in calls) == [str(n) for n in range(count // 2)]
    assert len(actions) == 1 + count


def test_the_recorder_loads_little(store: Store) -> None:
    """What it imports is most of what a hook costs."""
    Feed(store)(payload("SessionStart"))
    load_settings(store.root)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from provenance_log.claude_code import hook, arriving\n"
        "arriving.arrive(sys.stdin.buffer.read(), 0); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent.parent)],
        input=as_bytes(post("a", "Read")),
        capture_output=True,
        env={"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(project_of(store))},
        check=True,
    )
    loaded = set(done.stdout.decode().split())
    assert "provenance_log.claude_code.recorder" in loaded
    dear = {"click", "duckdb", "yaml", "importlib.resources", "subprocess", "decimal", "tempfile"}
    own = {"conversation", "importing", "items", "session_import", "shell_commands", "transcripts"}
    assert loaded & (dear | {f"provenance_log.claude_code.{name}" for name in own}) == set()
    assert "provenance_log.event_index" not in loaded


def test_no_planted_secret_reaches_the_spool_the_log_or_the_notes(store: Store) -> None:
    """A11, F84: neither what waits for the lock nor what comes into the log afterwards."""
    secrets = [sample.secret for sample in SAMPLES if "\n" not in sample.secret]
    texts = "\n\n".join(sample.text for sample in SAMPLES)
    Feed(store)(pre("a"))
    (directory,) = store.session_directories()
    answer = post("a", tool_input={"command": texts}, tool_response={"stdout": texts})
    with locked(directory.log):
        assert run(as_bytes(answer), project_of(store)) == SILENT
        (spooled,) = spooled_paths(store.root)
        assert [one for one in secrets if one in spooled.read_text()] == []
    prompt = payload("UserPromptSubmit", prompt=texts)
    assert run(as_bytes(prompt), project_of(store)) == SILENT
    torn = as_bytes(prompt)[:-1]
    assert run(torn, project_of(store)) == SILENT

    assert spooled_paths(store.root) == []
    content = b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())
    assert content.count(b"[redacted:") >= len(secrets)
    assert [one for one in secrets if one.encode() in content] == []
