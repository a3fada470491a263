"""The commands that look, run as a person runs them."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import click
import pytest
from looking_cases import Provlog, make_store, record, run_provlog, tool_call

from projections import commands
from projections.database import connect
from projections.projector import catch_up
from provenance_log.recording import reopen_session

if TYPE_CHECKING:
    from pathlib import Path

    from provenance_log.store import Store

READING = (
    ["sessions"],
    ["show", "latest"],
    ["stats"],
    ["query", "FROM provenance_events"],
    ["ask", "recent"],
    ["ask", "trace", "latest"],
)
"""The commands that need a database."""


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Twenty-one sessions, projected; the latest has a tool call."""
    store = make_store(tmp_path_factory.mktemp("commands"))
    for number in range(20):
        record(store, session_id=f"{number:08d}-quiet", success=True)
    calls = [tool_call("Read", {"file_path": f"src/{n}.py"}, duration_ms=n) for n in range(30)]
    record(store, calls, session_id="busy", success=False, agent_type="worker")
    catch_up(store)
    return store


def test_sessions_lists_the_newest_twenty_and_says_how_many_there_are(
    provlog: Provlog, filled: Store
) -> None:
    ran = provlog(filled, "sessions")

    assert ran.code == 0
    assert len(ran.out.splitlines()) == 21
    assert ran.err == "the newest 20 of 21 sessions; use --all or --limit\n"
    assert len(provlog(filled, "sessions", "--all").out.splitlines()) == 22
    assert len(provlog(filled, "sessions", "--limit", "3").out.splitlines()) == 4


def test_sessions_shows_one_session_in_one_line(provlog: Provlog, filled: Store) -> None:
    header, line = provlog(filled, "sessions", "--agent", "worker").out.splitlines()

    assert re.split("  +", header) == [
        *("session", "start (UTC)", "agent", "state", "actions", "calls", "failed"),
        *("duration", "tokens", "query"),
    ]
    cells = re.split("  +", line.strip())
    assert cells[:7] == ["busy", "2026-01-31 10:00", "worker", "failure", "32", "30", "1"]
    assert cells[-1] == "what is there?"


def test_sessions_filters_by_state_and_time(provlog: Provlog, filled: Store) -> None:
    def ids(*arguments: str) -> list[str]:
        found = provlog(filled, "sessions", "--json", *arguments).json
        return [row["session_id"] for row in found]

    assert ids("--state", "failure") == ["busy"]
    assert len(ids("--state", "success", "--all")) == 20
    assert ids("--since", "2026-02-01") == []
    assert len(ids("--since", "2026-01-31", "--all")) == 21


def test_show_takes_the_number_of_actions(provlog: Provlog, filled: Store) -> None:
    def action_ids(*arguments: str) -> list[int]:
        shown = provlog(filled, "show", "busy", "--json", *arguments).json
        return [row["action_id"] for row in shown["actions"]]

    assert action_ids() == list(range(13, 33))
    assert action_ids("--actions", "2") == [31, 32]
    assert action_ids("--actions", "2", "--first") == [1, 2]
    assert action_ids("--actions", "0") == []
    assert "actions (2 shown)" in provlog(filled, "show", "busy", "--actions", "2").out


def test_show_of_a_beginning_of_several_lists_them(provlog: Provlog, filled: Store) -> None:
    ran = provlog(filled, "show", "0000000")

    assert ran.code == 1
    assert ran.out == ""
    assert "10 sessions begin with 0000000:" in ran.err
    assert "00000009-quiet" in ran.err
    assert "hint: give more of the id" in ran.err


def test_stats_agree_with_sql(provlog: Provlog, filled: Store) -> None:
    stats = provlog(filled, "stats", "--json").json
    (row,) = provlog(
        filled,
        "query",
        "--json",
        "SELECT count(*) AS calls, count(DISTINCT session_id) AS sessions "
        "FROM provenance_tool_calls",
    ).json

    assert stats["totals"]["tool_call_count"] == row["calls"] == 30
    assert stats["tools"] == [
        {
            "tool": "Read",
            "call_count": 30,
            "failure_count": 0,
            "duration_p50_ms": 15,
            "duration_p95_ms": 28,
            "duration_total_ms": 435,
        }
    ]


def test_query_prints_a_table_json_and_csv(provlog: Provlog, filled: Store) -> None:
    sql = "SELECT 1 AS n, 'a, \"b\"' AS t, NULL AS nothing, '=1' AS formula"

    assert (
        provlog(filled, "query", sql).out == 'n  t       nothing  formula\n1  a, "b"           =1\n'
    )
    assert provlog(filled, "query", "--json", sql).json == [
        {"n": 1, "t": 'a, "b"', "nothing": None, "formula": "=1"}
    ]
    rows = list(csv.reader(io.StringIO(provlog(filled, "query", "--csv", sql).out)))
    assert rows == [["n", "t", "nothing", "formula"], ["1", 'a, "b"', "", "'=1"]]


def test_query_states_its_row_limit(provlog: Provlog, filled: Store) -> None:
    sql = "SELECT * FROM range(1500)"
    default = provlog(filled, "query", "--csv", sql)
    chosen = provlog(filled, "query", "--csv", "--limit", "7", sql)
    everything = provlog(filled, "query", "--csv", "--limit", "0", sql)

    assert len(default.out.splitlines()) == 1001
    assert default.err == "… first 1000 rows; use --limit\n"
    assert len(chosen.out.splitlines()) == 8
    assert chosen.err == "… first 7 rows; use --limit\n"
    assert (len(everything.out.splitlines()), everything.err) == (1501, "")


def test_query_explains_a_plan_with_its_lines(provlog: Provlog, filled: Store) -> None:
    out = provlog(filled, "query", "EXPLAIN SELECT * FROM provenance_events").out

    assert "\\n" not in out
    assert "provenance_events" in out


def test_query_with_a_mistake_says_so_without_a_traceback(provlog: Provlog, filled: Store) -> None:
    ran = provlog(filled, "query", "SELECT nope FROM provenance_events")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert "nope" in ran.err
    assert "Traceback" not in ran.err
    assert 'hint: `provlog query "SHOW TABLES"`' in ran.err


def test_query_without_end_is_stopped_by_its_timeout(provlog: Provlog, filled: Store) -> None:
    sql = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r"
    ran = provlog(filled, "query", "--timeout", "0.3", sql)

    assert ran.code == 1
    assert "the query was stopped after 0.3 s" in ran.err
    assert "--timeout" in ran.err


def test_query_takes_one_form_of_output(provlog: Provlog, filled: Store) -> None:
    ran = provlog(filled, "query", "--json", "--csv", "SELECT 1")

    assert ran.code == 2
    assert "exclude each other" in ran.err


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_without_a_database_a_command_says_what_to_run(
    provlog: Provlog, store: Store, arguments: list[str]
) -> None:
    ran = provlog(store, *arguments)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"error: {store.database}: no database yet\nhint: run `provlog project` to make it\n"
    )
    assert not store.database.exists()


def test_without_a_database_status_tells_the_rest(provlog: Provlog, store: Store) -> None:
    record(store, session_id="s1")

    ran = provlog(store, "status")

    assert ran.code == 0
    assert "nothing projected yet; run `provlog project`" in ran.out
    assert re.search(r"^behind by +1 lines", ran.out, re.MULTILINE)


def test_lines_that_are_not_projected_are_noted_on_stderr(provlog: Provlog, store: Store) -> None:
    record(store, session_id="s1")
    record(store, session_id="s2")
    catch_up(store)
    assert provlog(store, "sessions").err == ""

    for number, note in (("s1", "1 session has"), ("s2", "2 sessions have")):
        recording = reopen_session(store, number)
        assert recording is not None
        recording.append(tool_call("Read", {}))
        recording.close()
        expected = f"note: {note} lines that are not projected yet: run `provlog project`\n"
        for arguments in (*READING, ["sessions", "--json"]):
            ran = provlog(store, *arguments)
            assert (ran.code, ran.err) == (0, expected)


def test_a_note_that_fails_does_not_fail_the_command(
    provlog: Provlog, filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(commands, "lags", refuse)

    assert provlog(filled, "sessions").code == 0


def test_the_database_is_closed_before_anything_is_printed(
    provlog: Provlog, filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pager that waits for a key must not keep the projector waiting."""
    printed = []

    def echo(text: str, **_: object) -> None:
        with connect(filled.database, read_only=False, wait_s=0):
            printed.append(text)

    monkeypatch.setattr(click, "echo", echo)
    for arguments in (*READING, ["status"]):
        provlog(filled, *arguments)

    assert len(printed) >= len(READING) + 1


HOLD = """
import sys, time
from pathlib import Path
from projections.database import connect
with connect(Path(sys.argv[1]), read_only=False):
    print("open", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder_of(store: Store, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.database), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_held_database_is_waited_for_and_then_its_holder_named(
    provlog: Provlog, filled: Store
) -> None:
    with holder_of(filled, 60) as holder:
        for arguments in READING:
            ran = provlog(filled, *arguments, "--wait", "0.1")
            assert (ran.code, ran.out) == (1, "")
            assert f"process {holder.pid}" in ran.err
        ran = provlog(filled, "status", "--wait", "0.1")
        assert ran.code == 1
        assert f"process {holder.pid}" in ran.out
        holder.kill()

    with holder_of(filled, 0.5):
        assert provlog(filled, "sessions").code == 0


def test_a_command_loads_only_what_it_needs(filled: Store) -> None:
    """Looking at sessions pays for DuckDB, not for YAML, summaries or the file watcher."""
    script = (
        "import sys; from provenance_log.cli import run; code = run(sys.argv[1:]); "
        "print(code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "sessions", "--root", str(filled.root)],
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = done.stderr.splitlines()[-1].split()

    assert code == "0"
    assert "duckdb" in modules
    assert {"yaml", "watchdog", "projections.derived", "projections.work"} & set(modules) == set()
    assert not [name for name in modules if name.startswith("provenance_log.claude_code")]


def test_a_path_can_stand_for_a_session(
    provlog: Provlog, filled: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = next(iter(sorted(filled.sessions_dir.iterdir())))

    ran = provlog(filled, "show", str(directory / "actions.jsonl"), "--json")

    assert ran.json["session"]["log"] == directory.name
