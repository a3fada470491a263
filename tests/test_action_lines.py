"""One action on one line: what it shows, that it fits, and that it does nothing to a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from log_cases import action
from looking_cases import ALL_HOSTILE, decision, message, tool_call

from provenance_log.action_lines import action_line, detail_of, json_line, notice_line
from provenance_log.terminal import display_width, escape

if TYPE_CHECKING:
    from typing import Any


def bash(command: str, **more: Any) -> dict[str, Any]:
    return tool_call("Bash", {"command": command}, action_type="execute", **more)


WIDE = [
    tool_call(
        "Read", {"file_path": "/a/long/way/down/to/where/the/files/of/a/project/are/main.py"}
    ),
    bash("grep -rn " + "x" * 300, duration_ms=2**31 - 1, status="failure"),
    tool_call("mcp__server__do_something_long", {"query": "日本語" * 50}, status="very-unusual"),
    {**decision("where to " * 20, "there", "why"), "type": "an-unusual-type-of-action"},
    {**message("m", "model", 1), "details": {"text": "wörds " * 100}},
    tool_call(ALL_HOSTILE, {"command": ALL_HOSTILE}, error={"message": ALL_HOSTILE}),
]


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 300])
@pytest.mark.parametrize("number", range(len(WIDE)))
def test_a_line_fits_the_terminal(columns: int, number: int) -> None:
    shown = action_line(WIDE[number], 0, ALL_HOSTILE, width=columns)

    assert display_width(shown) <= columns
    assert escape(shown) == shown
    assert display_width(notice_line(ALL_HOSTILE, ALL_HOSTILE, width=columns)) <= columns
    painted = action_line(WIDE[number], 0, ALL_HOSTILE, width=columns, is_coloured=True)
    for code in ("\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"):
        painted = painted.replace(code, "")
    assert painted.rstrip() == shown


def test_lines_at_80_columns_read_well() -> None:
    lines = [action_line(each, 1_000_000, "3f2a91c0-55", width=80) for each in WIDE[:5]]

    assert lines == [
        "00:00:01 3f2a91c0 read     Read       success    10 ms …of/a/project/are/main.py",
        "00:00:01 3f2a91c0 execute  Bash       failure 24 d 21 h grep -rn xxxxxxxxxxxxxx…",
        "00:00:01 3f2a91c0 read     …hing_long very-u…    10 ms 日本語日本語日本語日本語…",
        "00:00:01 3f2a91c0 an-unus… Planner    success          where to where to where …",
        "00:00:01 3f2a91c0 read     Assistant  success          answer: wörds wörds wörd…",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (bash("ls -l\n  two"), ("ls -l\n  two", False)),
        (
            tool_call("Read", {"file_path": "/w/src/a.py"}, context={"working_directory": "/w/"}),
            ("src/a.py", True),
        ),
        (tool_call("Grep", {"pattern": "x", "path": "/y"}), ("x", False)),
        (tool_call("WebSearch", {"query": "q"}), ("q", False)),
        (tool_call("T", {}, files_affected=["/f"]), ("/f", True)),
        (bash("ls", error={"message": "denied"}), ("denied · ls", False)),
        (tool_call("T", {}, error={"message": "denied"}), ("denied", False)),
        (tool_call("T", {"command": ["not", "text"]}), ("", False)),
        (decision("where", "there", "why"), ("where: there", False)),
        (message("m", "x", 1), ("answer: hello", False)),
        (
            action(event_type="annotation", event_name="finding", details={"text": "t"}),
            ("finding: t", False),
        ),
        (action(event_type="transformation", details={"transformation_name": "n"}), ("n", False)),
        (
            action(
                tool="AgentExecution",
                event_name="session_end",
                details={"result_summary": "done"},
            ),
            ("session_end: done", False),
        ),
        (action(event_name="pr_link"), ("pr_link", False)),
        (action(details=None, error=None, context=None), ("", False)),
    ],
)
def test_detail_is_the_one_thing_that_matters(
    given: dict[str, Any], expected: tuple[str, bool]
) -> None:
    assert detail_of(given) == expected


def test_json_line_is_printable_ascii_and_the_same_value() -> None:
    value = {"a\x7f": [ALL_HOSTILE, "日本", 1.5, None, True, 2**53 - 1]}

    assert json_line(value).isascii()
    assert json_line(value).isprintable()
    assert orjson.loads(json_line(value)) == value


def test_the_start_of_a_call_is_told_from_the_call() -> None:
    start = {**bash("ls"), "event_type": "tool_start", "event_name": "Bash"}
    assert detail_of(start) == ("start of Bash: ls", False)
    start["details"] = {}
    assert detail_of(start) == ("start of Bash", False)
