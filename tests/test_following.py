"""`provlog follow claude-code`: transcripts are imported as they grow."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hook_cases import Feed, as_bytes, payload, project_of, run_hook
from imported_sessions import call_ids, logs_of
from transcript_records import SESSION, Script, text, use

from provenance_log.claude_code.following import TranscriptFollower
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.claude_code.intake import Intake
from provenance_log.cli import provlog
from provenance_log.store import Store

LONG_AGO = 1_600_000_000.0
WAIT_S = 30.0


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = LONG_AGO

    def __call__(self) -> float:
        return self.now


class Growing:
    """A transcript that grows record by record, each at the time of the clock."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.script = Script()
        self.script.prompt("go")
        self.script.call("a", "Bash", command="ls")
        self.script.result("a", toolUseResult={"stdout": "x"})
        self.script.answer(text("Looking."), use("b", "Bash", command="sleep 9"), message_id="m")
        self.script.result("b", toolUseResult={"stdout": ""})

    def grow(self, count: int) -> None:
        self.script.write(self.path, count)
        os.utime(self.path, (self.clock.now, self.clock.now))


def told(store: Store) -> list[str]:
    actions = logs_of(store).get(SESSION, [])
    return [str(one["details"].get("call_id") or one["event_name"]) for one in actions]


def test_what_may_still_change_waits_until_the_session_is_quiet(
    store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    file = Growing(tmp_path / "project" / f"{SESSION}.jsonl", clock)
    follower = TranscriptFollower(store, [tmp_path / "project"], now=clock)
    assert follower.step().grown == []
    file.grow(3)
    (grown,) = follower.step().grown
    assert (grown.state, grown.added_count) == ("new", 3)
    assert told(store) == ["session_start", "user_prompt", "a"]
    file.grow(4)
    follower.step()
    assert told(store)[3:] == ["assistant_message"]
    clock.now += 29
    assert follower.step().grown == []
    clock.now += 1
    follower.step()
    assert told(store)[4:] == ["assistant_message", "b"]
    file.grow(5)
    follower.step()
    (_a, pending, done) = (one for one in logs_of(store)[SESSION] if "call_id" in one["details"])
    assert (pending["status"], done["status"]) == ("partial", "success")
    clock.now += 100
    follower.step()
    assert follower.step().grown == []
    assert import_transcripts(store, [file.path]).added_count == 0


def test_what_is_left_out_is_imported_at_the_end(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    file = Growing(tmp_path / "t.jsonl", clock)
    file.grow(4)
    follower = TranscriptFollower(store, [file.path], now=clock)
    follower.step()
    follower.finish()
    assert told(store)[-1] == "b"


def test_what_is_quiet_is_not_read_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    file = Growing(tmp_path / "quiet" / "t.jsonl", clock)
    file.grow(5)
    clock.now += 1000
    follower = TranscriptFollower(store, [file.path.parent], now=clock)
    assert len(follower.step().grown) == 1
    monkeypatch.setattr("provenance_log.claude_code.following.import_transcripts", None)
    assert follower.step().grown == []


def test_a_file_that_is_no_transcript_is_told_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("[]\n")
    follower = TranscriptFollower(store, [tmp_path])
    assert [len(follower.step().refused) for _ in range(3)] == [1, 0, 0]


def test_the_transcript_of_a_subagent_brings_its_session_along(
    store: Store, tmp_path: Path
) -> None:
    trunk = Script()
    trunk.prompt("go")
    trunk.call("task", "Task", prompt="look")
    agent = Script(isSidechain=True, agentId="sub")
    agent.prompt("you are sub")
    agent.call("s1", "Grep")
    agent.result("s1")
    path = trunk.write(tmp_path / f"{SESSION}.jsonl")
    follower = TranscriptFollower(store, [tmp_path], quiet_s=0)
    follower.step()
    agent.write(path.with_suffix("") / "subagents" / "agent-sub.jsonl")
    follower.step()
    parents = {
        key: log[0]["details"]["session"].get("parent_session_id")
        for key, log in logs_of(store).items()
    }
    assert sorted(map(str, parents.values())) == sorted(["None", SESSION])
    assert sorted(call_ids(store).values()) == [["s1"], ["task"]]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not _is_so(condition):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _is_so(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (FileNotFoundError, IndexError):  # a session that is being made has no line yet
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_tells_of_growth_and_ends_when_told_to(
    store: Store, tmp_path: Path, number: signal.Signals
) -> None:
    file = Growing(tmp_path / "t.jsonl", Clock())
    file.script.write(file.path, 3)
    command = [sys.executable, "-m", "provenance_log.cli", "follow", "claude-code", str(file.path)]
    process = subprocess.Popen(
        [*command, "--root", str(store.root), "--every", "0.05", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: told(store)[-1:] == ["a"])
        file.script.write(file.path, 4)
        wait_for(lambda: told(store)[-1:] == ["assistant_message"])
        process.send_signal(number)
        output, complaints = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    assert (process.returncode, complaints) == (0, "")
    lines = [json.loads(line) for line in output.splitlines()]
    assert [(one["state"], one["actions_added"]) for one in lines] == [
        *(("new", 3), ("grown", 1), ("grown", 2))
    ]


def claude_home(monkeypatch: pytest.MonkeyPatch, store: Store, directory: Path) -> Path:
    """Return where the transcripts of the store's project are to be found."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(directory))
    monkeypatch.setenv("CLAUDE_CODE_PROJECT_DIR_NAME", "here")
    return directory / "projects" / "here"


def test_an_intake_drains_the_spool_and_follows_only_where_that_is_set(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = claude_home(monkeypatch, store, tmp_path / "home")
    Growing(home / f"{SESSION}.jsonl", Clock()).grow(5)
    complaints: list[str] = []
    intake = Intake(store, complaints.append)
    intake.step()
    assert logs_of(store) == {}
    (store.root / "config.yaml").write_text("claude_code: {follow: true}\n")
    intake.step()
    assert told(store)[-1] == "b"
    (store.root / "config.yaml").write_text("claude_code: {follow: maybe}\n")
    intake.step()
    intake.step()
    assert len(complaints) == 1
    assert "claude_code.follow is neither true nor false" in complaints[0]


def test_a_daemon_takes_in_what_recorders_left_in_the_spool(store: Store) -> None:
    Feed(store)(payload("SessionStart"))
    (directory,) = store.session_directories()
    with directory.log.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run_hook(as_bytes(payload("Stop")), project_of(store))
    command = [sys.executable, "-m", "provenance_log.cli", "daemon", "--root", str(store.root)]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(logs_of(store)[SESSION]) == 2)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(WAIT_S) == 0
    finally:
        daemon.kill()


def test_projecting_drains_the_spool_first_and_the_status_tells_of_it_before(
    store: Store,
) -> None:
    Feed(store)(payload("SessionStart"))
    (directory,) = store.session_directories()
    with directory.log.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run_hook(as_bytes(payload("Stop")), project_of(store))
    before = CliRunner().invoke(provlog, ["status", "--root", str(store.root)])
    assert before.exit_code == 1
    assert "events in spool/ that are in no log yet: run `provlog project`" in before.output
    done = CliRunner().invoke(provlog, ["project", "--root", str(store.root)])
    assert done.output.startswith("appended 1 events that recorders had left in the spool\n")
    after = CliRunner().invoke(provlog, ["status", "--root", str(store.root), "--json"])
    assert (after.exit_code, json.loads(after.output)["recorders"]["spooled_count"]) == (0, 0)
