"""Recording from a shell: start, record, run and end, as a script calls them."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from log_cases import read_all
from looking_cases import Ran, run_provlog

from projections.database import connect
from projections.projector import catch_up
from provenance_log.store import Store

Provlog = Callable[..., Ran]
PROVLOG = (sys.executable, "-m", "provenance_log.cli")


@pytest.fixture
def provlog(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Provlog:
    """Run a command line over the store, with these bytes on its stdin."""

    def call(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        command, *rest = arguments
        return run_provlog(capsys, store, command, *rest)

    monkeypatch.delenv("PROVLOG_SESSION", raising=False)
    return call


def run(store: Store, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [*PROVLOG, "run", "--root", str(store.root), *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)


def lines(store: Store) -> list[dict[str, Any]]:
    """The actions of the session that started last."""
    return read_all(max(store.sessions_dir.glob("*/actions.jsonl"))).values


def test_session_is_recorded_from_its_start_to_its_end(provlog: Provlog, store: Store) -> None:
    parent = provlog("start", "--agent", "outer").out.strip()
    started = provlog(
        *("start", "--agent", "sh", "--query", "q", "--model", "m", "--goal", "g", "--goal", "h"),
        *("--parent", parent[:8], "--kwargs", '{"n": 1}', "--project", "p"),
    )
    session_id = started.out.strip()
    options = ["--input", '{"file": "a.csv"}', "--output", "42", "--duration-ms", "7"]
    recorded = provlog(
        "record", session_id, "--tool", "wc", *options, "--file", "a.csv", "--read-only", "--json"
    )
    assert recorded.json == {"session_id": session_id, "action_id": 2}
    assert provlog("record", session_id, "--tool", "curl", "--error", "404").out == ""
    assert provlog("end", session_id, "--result", '{"n": 3}').code == 0

    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        (session,) = connection.rows("FROM provenance_sessions WHERE agent_type = 'sh'")
        calls = connection.rows("FROM provenance_tool_calls ORDER BY sequence_number")
    assert [session[key] for key in ("query", "model", "project", "depth", "state")] == [
        *("q", "m", "p", 1, "success"),
    ]
    assert (session["parent_session_id"], session["goals"]) == (parent, '["g","h"]')
    assert (session["kwargs"], session["result_summary"]) == ('{"n":1}', '{"n":3}')
    assert [(c["tool"], c["status"], c["duration_ms"], c["error_message"]) for c in calls] == [
        ("wc", "success", 7, None),
        ("curl", "failure", None, "404"),
    ]
    assert (calls[0]["input_params"], calls[0]["output_data"]) == ('{"file":"a.csv"}', "42")


def test_stream_of_objects_is_recorded_line_by_line_and_bad_ones_are_told(
    provlog: Provlog, store: Store
) -> None:
    session_id = provlog("start", "--agent", "sh").out.strip()
    stream = [
        b'{"tool": "Read", "files_affected": ["a"], "action_id": 99, "prev": "x"}',
        b"",
        b"not json",
        b'["tool"]',
        b'{"type": "read"}',
        b'{"tool": "Bash", "error": {"message": "m", "code": "c"}, "details": {"n": 1}}',
        b'{"tool": "Bash", "status": "odd"}',
        b'{"tool": "T", "type": "decision", "event_type": "decision"}',
    ]
    result = provlog("record", session_id, stdin=b"\n".join(stream))

    assert result.code == 1
    told = [line.partition(": ")[2] for line in result.err.splitlines()]
    assert [line.partition(": ")[0] for line in told] == [
        f"stdin, line {number}" for number in (3, 4, 5, 7)
    ]
    actions = lines(store)[1:]
    assert [(a["action_id"], a["type"], a["tool"], a["status"]) for a in actions] == [
        (2, "read", "Read", "success"),
        (3, "execute", "Bash", "failure"),
        (4, "decision", "T", "success"),
    ]


def test_session_is_taken_from_the_environment(
    provlog: Provlog, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVLOG_SESSION", provlog("start", "--agent", "sh").out.strip())

    assert provlog("record", "--tool", "x").code == 0
    assert provlog("end", "--failure").code == 0
    assert [line["event_name"] for line in lines(store)] == ["session_start", "x", "session_end"]
    assert lines(store)[-1]["details"] == {"success": False}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("record", "--tool", "x"), 1, "which session?\nhint: name it, or set PROVLOG_SESSION"),
        (("record", "nobody", "--tool", "x"), 1, "no session nobody"),
        (("record", "x", "--input", "1"), 2, "Give --tool, or JSON on stdin."),
        (("end",), 1, "which session?"),
        (("start", "--agent", "a", "--kwargs", "[1]"), 1, "--kwargs is no JSON object"),
        (("start", "--agent", "a", "--parent", "nobody"), 1, "no session nobody"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_recorded(
    provlog: Provlog, store: Store, arguments: tuple[str, ...], code: int, told: str
) -> None:
    provlog("start", "--agent", "x")
    if arguments[:2] == ("record", "x"):
        arguments = ("record", "latest", *arguments[2:])
    result = provlog(*arguments)

    assert (result.code, told in result.err) == (code, True), result.err
    assert len(lines(store)) == 1


def test_command_is_run_as_it_is_and_recorded_with_all_it_did(store: Store, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    script = "echo out; echo err >&2; echo x > made.txt; cat; exit 3"
    done = run(store, "--", "sh", "-c", script, cwd=tmp_path, input=b"given")

    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\ngiven", b"err\n")
    start, call, end = lines(store)
    assert start["details"]["session"]["query"] == f"sh -c '{script}'"
    assert call["details"] == {
        "tool_type": "shell",
        "tool_name": "sh",
        "input_params": {"command": f"sh -c '{script}'", "args": ["sh", "-c", script]},
        "exit_code": 3,
        "output_data": {"stdout": "out\ngiven", "stderr": "err\n"},
        "output_size_bytes": 13,
        "stdout_bytes": 9,
        "stderr_bytes": 4,
    }
    assert (call["status"], call["error"]) == ("failure", {"message": "err", "code": "exit_3"})
    assert call["context"]["working_directory"] == str(tmp_path)
    assert call["files_affected"] == [str(tmp_path / "made.txt")]
    assert call["duration_ms"] >= 0
    assert (end["details"]["success"], end["status"]) == (False, "failure")


def test_long_output_is_counted_whole_and_kept_at_both_ends(store: Store) -> None:
    script = "import sys; sys.stdout.write('a' * 5000 + 'b' * 100000 + 'c' * 5000)"
    done = run(store, "--", sys.executable, "-c", script)

    details = lines(store)[1]["details"]
    assert len(done.stdout) == details["stdout_bytes"] == 110_000
    assert details["output_data"]["stdout"] == (
        "a" * 4096 + "\n[… 101808 bytes left out …]\n" + "c" * 4096
    )


def test_without_output_nothing_of_it_is_known(store: Store) -> None:
    assert run(store, "--no-output", "--", "echo", "x").stdout == b"x\n"

    assert "output_data" not in lines(store)[1]["details"]


def test_what_a_command_records_goes_into_the_same_session(store: Store) -> None:
    inner = f"{sys.executable} -m provenance_log.cli record --root {store.root} --tool inner"
    assert run(store, "--agent", "script", "--", "sh", "-c", inner).returncode == 0

    assert [line["tool"] for line in lines(store)] == [
        *("AgentExecution", "inner", "Shell", "AgentExecution"),
    ]


def test_command_in_a_session_that_is_there_does_not_end_it(provlog: Provlog, store: Store) -> None:
    session_id = provlog("start", "--agent", "sh").out.strip()
    assert run(store, "--session", session_id, "--", "true").returncode == 0

    assert [line["event_name"] for line in lines(store)] == ["session_start", "run"]


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [("no-such-command", 127, "No such file"), ("./README.md", 126, "Permission denied")],
)
def test_command_that_can_not_be_started_ends_as_in_a_shell(
    store: Store, command: str, code: int, told: str
) -> None:
    done = run(store, "--", command, cwd=store.root)

    assert (done.returncode, told in done.stderr.decode()) == (code, True)
    assert lines(store)[1]["error"]["code"] == f"exit_{code}"


def test_signal_reaches_the_command_and_is_recorded(store: Store, tmp_path: Path) -> None:
    script = f"echo ready > {tmp_path}/ready; exec sleep 60"
    command = [*PROVLOG, "run", "--root", str(store.root), "--", "sh", "-c", script]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM

    call = lines(store)[1]
    assert (call["status"], call["error"]["message"]) == ("partial", "ended by SIGTERM")


SIGNALLED_AT_THE_START = """
import os, signal, subprocess, sys
from provenance_log import running

signal.signal(int(sys.argv[2]), signal.SIG_DFL)  # whoever runs the tests may ignore it

class Signalled(subprocess.Popen):
    def __init__(self, *given, **named):
        moment, number = sys.argv.pop(1), int(sys.argv.pop(1))
        if moment == "before":
            os.kill(os.getpid(), number)
        super().__init__(*given, **named)
        if moment == "after":
            os.kill(os.getpid(), number)

subprocess.Popen = Signalled
print(running.run_command(["sleep", "60"]).signal_name)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signal_that_comes_while_the_command_starts_reaches_it(moment: str, name: str) -> None:
    number = str(int(signal.Signals[name]))
    script = [sys.executable, "-c", SIGNALLED_AT_THE_START, moment, number]
    done = subprocess.run(script, capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "")


def test_ignored_signal_is_ignored_by_the_command_too(store: Store) -> None:
    code = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    done = subprocess.run(
        ["nohup", *PROVLOG, "run", "--root", str(store.root), "--", sys.executable, "-c", code],
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, b"True\n")


def test_command_runs_also_where_it_can_not_be_recorded(store: Store) -> None:
    store.sessions_dir.rmdir()
    done = run(store, "--", "echo", "done")

    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert done.stderr.startswith(b"provlog run: not recorded: ")


def test_options_of_the_command_are_its_own(store: Store) -> None:
    assert run(store, "--", "echo", "--root", "x", "--help").stdout == b"--root x --help\n"
    assert orjson.dumps(lines(store)[1]["details"]["input_params"]["args"]) == (
        b'["echo","--root","x","--help"]'
    )
