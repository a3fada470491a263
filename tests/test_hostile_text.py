"""Text of a log can do nothing to a terminal, and every page fits it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from looking_cases import (
    ALL_HOSTILE,
    Provlog,
    hostile_session,
    make_store,
    record,
    run_provlog,
    tool_call,
)

from projections.projector import catch_up
from provenance_log.terminal import display_width, escape

if TYPE_CHECKING:
    from provenance_log.store import Store

ASKING = (
    ["ask", "recent"],
    ["ask", "trace", "latest"],
    ["ask", "agents", "--all-time"],
    ["ask", "tools", "--all-time"],
    ["ask", "decisions", "--all-time"],
    ["ask", "entity", ALL_HOSTILE, "1"],
    ["ask", "hierarchy", "latest"],
    ["ask", "compare", "latest", "latest"],
)
PAGES = (
    ["sessions"],
    ["show", "latest"],
    ["stats"],
    ["status"],
    ["query", "FROM provenance_sessions"],
    ["query", "SELECT query, tool_call_count, log FROM provenance_sessions"],
    *ASKING,
)


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose one session is hostile in every text, with lines in quarantine."""
    store = make_store(tmp_path_factory.mktemp("evil"))
    hostile_session(store)
    log = next(store.sessions_dir.glob("*/actions.jsonl"))
    with log.open("ab") as file:
        file.write(b"\x1b[31mnot json\x1b]52;c;eA==\x07\n")
    (store.sessions_dir / "\x1b[31mname\u202e").mkdir()
    (store.sessions_dir / "by-hand").mkdir()
    catch_up(store)
    return store


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["sessions"],
        ["show", "latest"],
        ["stats"],
        ["status"],
        ["query", "FROM provenance_events"],
        ["query", "FROM provenance_sessions"],
        ["query", 'SELECT query AS "\x1b[31mname\u202e" FROM provenance_sessions'],
        ["project"],
        *ASKING,
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_no_control_character_of_a_log_reaches_the_terminal(
    provlog: Provlog, evil: Store, arguments: list[str], as_json: bool
) -> None:
    """S1: control (but the newline), bidirectional and hidden characters are all escaped."""
    ran = provlog(evil, *arguments, *(["--json"] if as_json else []))

    assert ran.out
    assert escape(ran.out, keep="\n") == ran.out
    assert escape(ran.err, keep="\n") == ran.err
    if as_json:
        assert isinstance(ran.json, dict | list)


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "\x1b[31mred\u202e"],
        ["query", "SELECT '\x1b[31m' FROM \"\x1b]52;c;x\x07\""],
        ["query", "SELECT error((SELECT query FROM provenance_sessions))"],
        ["query", "--csv", "FROM provenance_sessions"],
        ["sessions", "--since", "\x1b[31m"],
        ["ask", "entity", "\x1b[31m", "\u202e"],
        ["ask", "entity", ALL_HOSTILE, "1", "--csv"],
    ],
    ids=["show", "sql", "error", "csv", "since", "entity", "entity as csv"],
)
def test_no_error_and_no_csv_lets_one_through_either(
    provlog: Provlog, evil: Store, arguments: list[str]
) -> None:
    ran = provlog(evil, *arguments)

    assert ran.out + ran.err
    assert escape(ran.out + ran.err, keep="\n") == ran.out + ran.err


def test_json_still_holds_the_very_text_of_the_log(provlog: Provlog, evil: Store) -> None:
    (session,) = provlog(evil, "sessions", "--json").json

    assert session["query"].startswith("\x1b[31mred\x1b[0m \x1b[2J")
    assert session["session_id"].startswith("evil\x1b[31m")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_page_fits_the_terminal(
    provlog: Provlog, evil: Store, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))

    for arguments in PAGES:
        lines = provlog(evil, *arguments).out.splitlines()
        assert len(lines) > 1
        assert [line for line in lines if display_width(line) > columns] == []


def test_a_narrow_terminal_hides_columns_and_cuts_a_path_in_front(
    provlog: Provlog, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/a/very/long/way/down/to/where/files/live/in/a/project/of/some/company/main.py"
    record(store, [tool_call("Read", {}, files_affected=[path])], session_id="s1")
    catch_up(store)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")

    header = provlog(store, "sessions").out.splitlines()[0]
    (line,) = (x for x in provlog(store, "show", "s1").out.splitlines() if "main.py" in x)

    assert "tokens" not in header
    assert header.endswith("query")
    assert line.startswith("…")
    assert "/company/main.py" in line
    assert display_width(line) <= 80


def on_real_terminal(*arguments: str) -> list[str]:
    """Run a command on a pseudo-terminal of 80 columns and return the lines it shows."""
    reader, writer = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "provenance_log.cli", *arguments],
        stdout=writer,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "80"},
    ):
        os.close(writer)
        shown = b""
        while True:
            try:
                piece = os.read(reader, 65536)
            except OSError:  # Linux reports the end of a terminal as an error
                break
            if not piece:
                break
            shown += piece
    os.close(reader)
    return shown.decode().replace("\r\n", "\n").splitlines()


def test_a_page_fits_a_real_terminal(evil: Store) -> None:
    lines = on_real_terminal("show", "latest", "--root", str(evil.root))

    assert len(lines) > 10
    assert [line for line in lines if display_width(line) > 80] == []
    assert [line for line in lines if escape(line) != line] == []


def test_name_that_is_not_utf_8_is_told_in_json_as_on_a_terminal(
    provlog: Provlog, store: Store
) -> None:
    (store.sessions_dir / os.fsdecode(b"bytes-\xff")).mkdir()

    ran = provlog(store, "status", "--json")

    assert ran.json["unsafe_names"] == ["bytes-\\udcff"]
