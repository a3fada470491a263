"""`provlog tail`: which actions it shows, how they look, and how it begins and ends."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import IO, TYPE_CHECKING

import click
import orjson
import pytest
from looking_cases import (
    STARTED_AT,
    Provlog,
    decision,
    hostile_session,
    record,
    run_provlog,
    tool_call,
)

from provenance_log import tail_command
from provenance_log.appender import Appender
from provenance_log.format import decode
from provenance_log.terminal import display_width, escape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from provenance_log.store import Store

WAIT_S = 20.0


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


def details_shown(out: str) -> list[str]:
    return [line[55:] for line in out.splitlines()]


def bash(command: str, **more: Any) -> dict[str, Any]:
    return tool_call("Bash", {"command": command}, action_type="execute", **more)


@contextmanager
def following(store: Store, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run `provlog tail -f` as a process of its own."""
    command = [sys.executable, "-m", "provenance_log.cli", "tail", "-f", *arguments]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen([*command, "--root", str(store.root)], **given) as process:
        try:
            yield process
        finally:
            process.kill()


def read_lines(stream: IO[bytes] | None, count: int) -> list[str]:
    """Read that many lines from a process, however long it takes within reason."""
    assert stream is not None
    data, deadline = b"", time.monotonic() + WAIT_S
    while data.count(b"\n") < count:
        left = deadline - time.monotonic()
        assert select.select([stream], [], [], max(left, 0))[0], f"only {data!r}"
        piece = os.read(stream.fileno(), 65536)
        assert piece, f"ended after {data!r}"
        data += piece
    return data.decode().splitlines()


def test_last_actions_of_the_session_that_started_last_are_shown_by_default(
    provlog: Provlog, store: Store
) -> None:
    record(store, [bash("new")], session_id="11111111-new", started_at=STARTED_AT)
    record(
        store,
        [bash(f"old {i}") for i in range(30)],
        session_id="22222222-old",
        started_at=STARTED_AT - timedelta(days=1),
    )

    assert provlog(store, "tail").out == (
        "10:00:00 11111111 execute  AgentExec… success          session_start: what is there?\n"
        "10:00:05 11111111 execute  Bash       success    10 ms new\n"
    )
    old = provlog(store, "tail", "2222").out
    assert details_shown(old) == [f"old {i}" for i in range(10, 30)]
    assert provlog(store, "tail", "22222222-old", "-n", "1").out == old.splitlines()[-1] + "\n"


def test_session_is_named_by_id_beginning_directory_or_path(provlog: Provlog, store: Store) -> None:
    name = record(store, [bash("it")], session_id="abc-1")
    record(store, [bash("other")], session_id="abd-2", started_at=STARTED_AT)
    log = store.sessions_dir / name / "actions.jsonl"

    for given in ("abc-1", "abc", name, str(log), f"{log.parent}/"):
        assert details_shown(provlog(store, "tail", given).out)[-1] == "it"
    several = provlog(store, "tail", "ab")
    missing = provlog(store, "tail", "x\x1b[31m")
    outside = provlog(store, "tail", str(store.root))
    assert (several.code, missing.code, outside.code) == (1, 1, 1)
    assert "2 sessions begin with ab:\n  abc-1" in several.err
    assert missing.err.startswith("error: no session x\\x1b[31m\nhint: ")
    assert "is not in" in outside.err


def test_empty_store_has_nothing_to_tail(provlog: Provlog, store: Store) -> None:
    ran = provlog(store, "tail")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: there is no session yet\nhint: `provlog tail -f` waits for one\n"
    assert provlog(store, "tail", "--all") == (type(ran))(0, "", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--type", "execute"], ["ls", "rm Ärger.txt"]),
        (["--type", "execute", "--type", "read"], ["a.py", "ls", "rm Ärger.txt"]),
        (["--tool", "Read"], ["a.py"]),
        (["--tool", "read"], []),
        (["--status", "failure"], ["rm Ärger.txt"]),
        (["--grep", "ÄRGER"], ["rm Ärger.txt"]),
        (["--grep", "[a-z"], []),
        (["--grep", "command"], []),
        (["--grep", 'say "no"'], ["which: no"]),
        (["--type", "execute", "--status", "success"], ["ls"]),
        (["--since", "2026-01-31T10:00:06Z"], ["which: no"]),
        (["--since", "2026-01-31T12:00:06+02:00"], ["which: no"]),
        (["--since", "2026-01-31T10:00"], ["a.py", "ls", "rm Ärger.txt", "which: no"]),
        (["--since", "2026-02-01"], []),
        (["-n", "1", "--type", "read"], ["a.py"]),
        (["-n", "0"], []),
    ],
    ids=" ".join,
)
def test_options_choose_among_the_actions(
    provlog: Provlog, store: Store, arguments: list[str], expected: list[str]
) -> None:
    actions = [
        tool_call("Read", {"file_path": "a.py"}),
        bash("ls"),
        bash("rm Ärger.txt", status="failure"),
        decision("which", "no", 'I say "no"'),
    ]
    record(store, actions, session_id="s1")

    shown = details_shown(provlog(store, "tail", *arguments).out)
    assert [detail for detail in shown if "session_start" not in detail] == expected


def test_since_an_age_shows_all_of_it_and_not_only_the_last_twenty(
    provlog: Provlog, store: Store
) -> None:
    now = datetime.now(UTC)
    ages = [timedelta(hours=30)] * 5 + [timedelta(minutes=5)] * 30
    actions = [bash(f"{i}", timestamp=(now - age).isoformat()) for i, age in enumerate(ages)]
    record(store, actions, session_id="s1", started_at=now - timedelta(days=2))

    for age, count in (("10m", 30), ("2h", 30), ("3d", 36), ("1m", 0)):
        assert len(provlog(store, "tail", "--since", age).out.splitlines()) == count
    for text in ("yesterday", "999999w", "0001-01-01T00:00+23:00", "10 m"):
        wrong = provlog(store, "tail", "--since", text)
        assert (wrong.code, wrong.err.splitlines()[0]) == (1, f"error: '{text}' is not a time")


def test_all_sessions_are_shown_in_the_order_of_time(provlog: Provlog, store: Store) -> None:
    for number in (1, 2):
        moments = (f"2026-01-31T10:00:0{second + number}Z" for second in (0, 3))
        record(
            store,
            [bash(f"{number}", timestamp=moment) for moment in moments],
            session_id=f"s{number}",
        )

    assert details_shown(provlog(store, "tail", "--all", "--tool", "Bash").out) == list("1212")


def test_json_is_the_value_and_raw_the_bytes_of_each_line(
    store: Store,
) -> None:
    hostile_session(store)
    (log,) = store.sessions_dir.glob("*/actions.jsonl")
    lines = log.read_bytes().splitlines(keepends=True)
    root = ["--root", str(store.root)]
    command = [sys.executable, "-m", "provenance_log.cli", "tail", *root]
    as_json = subprocess.run([*command, "--json"], capture_output=True, check=True)
    as_raw = subprocess.run([*command, "--raw"], capture_output=True, check=True)

    assert as_raw.stdout == b"".join(lines)
    assert [orjson.loads(line) for line in as_json.stdout.splitlines()] == [
        decode(line) for line in lines
    ]
    assert escape(as_json.stdout.decode(), keep="\n") == as_json.stdout.decode()


def test_lines_that_are_no_actions_are_told_whatever_is_chosen(
    provlog: Provlog, store: Store
) -> None:
    """B3: never passed over silently."""
    name = record(store, [bash("ls")], session_id="s1")
    with (store.sessions_dir / name / "actions.jsonl").open("ab") as file:
        file.write(b"\x1b[31mnot json\x1b]52;c;eA==\x07\n\n")
    notices = [
        f"-- {name}: line 3 is no action: control_byte",
        f"-- {name}: line 4 is no action: empty",
    ]

    assert provlog(store, "tail", "--tool", "Nothing").out.splitlines() == notices
    assert provlog(store, "tail", "-n", "1").out.splitlines() == notices[1:]
    as_raw = provlog(store, "tail", "--raw", "-n", "2")
    assert as_raw.out == "\x1b[31mnot json\x1b]52;c;eA==\x07\n\n"
    assert as_raw.err.splitlines() == notices
    assert provlog(store, "tail", "--raw", "--tool", "Nothing").out == ""
    as_json = provlog(store, "tail", "--json")
    assert [orjson.loads(line)["tool"] for line in as_json.out.splitlines()][1:] == ["Bash"]
    assert as_json.err.splitlines() == notices


def test_log_that_cannot_be_read_is_told_and_is_an_error(provlog: Provlog, store: Store) -> None:
    name = record(store, [bash("ls")], session_id="s1")
    (store.sessions_dir / "odd" / "actions.jsonl").mkdir(parents=True)
    ran = provlog(store, "tail", "--all")

    assert ran.code == 1
    assert ran.out.splitlines()[0] == "-- odd: can't be read: not a plain file"
    assert details_shown(ran.out)[-1] == "ls"
    assert provlog(store, "tail", name).code == 0


def test_what_excludes_each_other_is_refused(
    provlog: Provlog, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, session_id="s1")
    assert provlog(store, "tail", "--json", "--raw").code == 2
    assert provlog(store, "tail", "--all", "s1").code == 2
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ran = provlog(store, "tail", "--raw")
    assert (ran.code, ran.out) == (2, "")


def test_nothing_in_a_log_acts_on_the_terminal(provlog: Provlog, store: Store) -> None:
    """S1: CSI, OSC 8 and 52, C1, bidirectional and hidden characters are escaped everywhere."""
    hostile_session(store)
    ran = provlog(store, "tail", "--all")

    assert len(ran.out.splitlines()) == 5
    assert escape(ran.out, keep="\n") == ran.out
    assert "\\x1b[31m" in ran.out


def on_terminal(store: Store, **environment: str) -> str:
    """What `provlog tail --all` sends to a terminal of 80 columns."""
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "provenance_log.cli", "tail", "--root", str(store.root)]
    given = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    given |= {"COLUMNS": "80", "TERM": "xterm", **environment}
    shown = b""
    with subprocess.Popen(command, stdout=writer, env=given):
        os.close(writer)
        while True:
            try:
                shown += os.read(reader, 65536)
            except OSError:  # Linux reports the end of a terminal as an error
                break
    os.close(reader)
    return shown.decode().replace("\r\n", "\n")


def test_colour_is_for_a_terminal_that_wants_it(provlog: Provlog, store: Store) -> None:
    record(store, [bash("ls " * 100, status="failure")], session_id="s1")
    plain = on_terminal(store, NO_COLOR="1")

    assert "\x1b[31mfailure\x1b[0m" in on_terminal(store)
    assert escape(plain, keep="\n") == plain
    assert on_terminal(store, TERM="dumb") == plain
    assert [display_width(line) for line in plain.splitlines()][1] == 80
    assert "\x1b" not in provlog(store, "tail").out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_shows_what_comes_and_ends_with_0_when_told_to(
    store: Store, number: signal.Signals
) -> None:
    name = record(store, [bash("first")], session_id="s1")
    log = store.sessions_dir / name / "actions.jsonl"
    with following(store, "-n", "1") as process:
        assert details_shown("\n".join(read_lines(process.stdout, 1))) == ["first"]
        Appender(log).append(bash("second"))
        assert details_shown("\n".join(read_lines(process.stdout, 1))) == ["second"]
        os.truncate(log, 0)
        (notice,) = read_lines(process.stdout, 1)
        assert notice.startswith(f"-- {name}: the log was truncated")
        record(store, [bash("third")], session_id="s2")
        assert details_shown("\n".join(read_lines(process.stdout, 2)))[1] == "third"
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT_S)

    assert (process.returncode, out, err) == (0, b"", b"")


def test_following_can_be_ended_while_it_still_looks_for_what_to_show(store: Store) -> None:
    record(store, [bash("never asked for")], session_id="s1")
    printer = tail_command._Printer(store, tail_command.Wanted(tools=("Nothing",)), "text")
    selection = tail_command._select(store, "s1")

    with pytest.raises(click.exceptions.Exit) as ended:
        tail_command._follow(store, selection, printer, 1, lambda: True)
    assert ended.value.exit_code == 0


def test_following_an_empty_store_waits_for_the_first_session(store: Store) -> None:
    with following(store, "--json") as process:
        time.sleep(0.1)
        record(store, [bash("first")], session_id="s1")
        lines = read_lines(process.stdout, 2)

    assert [orjson.loads(line)["tool"] for line in lines] == ["AgentExecution", "Bash"]


def test_following_latest_leaves_other_sessions_alone_and_takes_new_ones(store: Store) -> None:
    old = record(store, session_id="s1", started_at=STARTED_AT - timedelta(days=1))
    latest = record(store, session_id="s2")
    with following(store, "--json", "-n", "1") as process:
        read_lines(process.stdout, 1)
        Appender(store.sessions_dir / old / "actions.jsonl").append(bash("not shown"))
        Appender(store.sessions_dir / latest / "actions.jsonl").append(bash("shown"))
        record(store, [], session_id="s3")
        lines = read_lines(process.stdout, 2)

    assert [orjson.loads(line)["tool"] for line in lines] == ["Bash", "AgentExecution"]


def test_closed_pipe_ends_following_quietly_though_nothing_is_appended(store: Store) -> None:
    record(store, [bash("first")], session_id="s1")
    with following(store) as process:
        read_lines(process.stdout, 2)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(WAIT_S) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""
