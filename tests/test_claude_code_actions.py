"""Items become action lines: outcomes, durations, decisions, files, ids and times."""

import re
import uuid
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcript_items import TAXONOMY, action_of, items_of, only_call
from transcript_records import Script

from provenance_log.claude_code.actions import (
    deterministic_id,
    log_time,
    moment_of,
    store_session_id,
)
from provenance_log.claude_code.calls import Call
from provenance_log.claude_code.outcomes import Outcome, duration_of, outcome_of
from provenance_log.claude_code.shell_commands import only_reads
from provenance_log.claude_code.tools import action_type_of, files_named, is_read_only
from provenance_log.format import SESSION_NAMESPACE, format_timestamp


def finished(content: Any, *, tool: str = "Bash", is_error: bool = True, **fields: Any) -> Call:
    script = Script()
    script.prompt("start")
    script.call("a", tool)
    script.result("a", content, is_error=is_error, **fields)
    return only_call(script)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_id_made_of_a_name_is_its_uuid_in_the_namespace(name: str) -> None:
    assert deterministic_id(name) == str(uuid.uuid5(SESSION_NAMESPACE, name))


REJECTED = "The user doesn't want to proceed with this tool use."


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (finished("fine", is_error=False), "success", ""),
        (finished("Exit code 127\nnot found"), "failure", "exit_127"),
        (finished("Error: Exit code 2"), "failure", "exit_2"),
        (finished(REJECTED), "skipped", "user_rejected"),
        (finished("The user doesn't want to take this action"), "skipped", "user_rejected"),
        (
            finished("<tool_use_error>Sibling tool call errored</tool_use_error>"),
            "skipped",
            "sibling_error",
        ),
        (finished("[Request interrupted by user for tool use]"), "partial", "interrupt"),
        (finished("<tool_use_error>File does not exist.</tool_use_error>"), "failure", "enoent"),
        (finished("<tool_use_error>Path does not exist: /x"), "failure", "enoent"),
        (finished("<tool_use_error>String to replace not found"), "failure", "tool_use_error"),
        (
            finished("Permission to use Bash with command rm has been denied."),
            "skipped",
            "permission_denied",
        ),
        (finished("it broke"), "failure", "error"),
        (finished("it broke", tool="mcp__linear__create"), "failure", "mcp_error"),
        (finished([{"type": "text", "text": "Exit code 1"}]), "failure", "exit_1"),
        (
            finished("", is_error=False, toolUseResult={"interrupted": True}),
            "partial",
            "interrupt",
        ),
        (
            finished("", is_error=False, toolUseResult={"status": "async_launched"}),
            "partial",
            "",
        ),
        (finished("", is_error=False, toolUseResult={"truncated": True}), "partial", ""),
        (finished("", is_error=False, toolUseResult={"interrupted": False}), "success", ""),
    ],
)
def test_how_a_call_ended_follows_from_its_result(call: Call, status: str, code: str) -> None:
    outcome = outcome_of(call)
    assert (outcome.status, outcome.code) == (status, code)
    action = action_of(call)
    assert action["status"] == status
    assert action.get("error", {}).get("code", "") == code
    assert call.result is not None
    assert action["details"]["output_data"] == (call.structured_result or call.result["content"])


def test_a_call_without_a_result_is_partial_and_pending() -> None:
    script = Script()
    script.prompt("start")
    script.call("a")
    call = only_call(script)
    assert outcome_of(call) == Outcome(
        "partial", "no_result", "the transcript has no result of this call"
    )
    action = action_of(call)
    assert action["details"]["pending"] is True
    assert "duration_ms" not in action


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (1000, "transcript")),
        ({"toolUseResult": {"durationMs": 12}}, (12, "tool")),
        ({"toolUseResult": {"totalDurationMs": 12.6}}, (13, "tool")),
        ({"toolUseResult": {"durationSeconds": 1.5}}, (1500, "tool")),
        ({"toolUseResult": {"durationMs": -5}}, (1000, "transcript")),
        ({"toolUseResult": {"durationMs": 1e300}}, (1000, "transcript")),
        ({"toolUseResult": {"durationMs": True}}, (1000, "transcript")),
        ({"timestamp": "2026-01-01T00:00:00.000Z"}, (None, "")),
        ({"timestamp": "2026-03-01T00:00:00.000Z"}, (None, "")),
        ({"timestamp": "yesterday"}, (None, "")),
    ],
)
def test_a_duration_names_its_source_or_is_absent(
    fields: dict[str, Any], expected: tuple[int | None, str]
) -> None:
    call = finished("x", is_error=False, **fields)
    assert duration_of(call) == expected
    assert action_of(call).get("duration_ms") == expected[0]


@pytest.mark.parametrize(
    ("tool", "tool_input", "columns"),
    [
        (
            "AskUserQuestion",
            {"questions": [{"question": "Which?", "options": [{"label": "A"}, {"label": "B"}]}]},
            {
                "decision_type": "user_question",
                "decision_point": "Which?",
                "branch_taken": "B",
                "branches_available": ["A", "B"],
            },
        ),
        (
            "AskUserQuestion",
            {
                "questions": [
                    {"question": "Which?", "options": [{"label": "A"}]},
                    {"question": "How?", "options": [{"label": "C"}]},
                ]
            },
            {
                "decision_type": "user_question",
                "decision_point": "Which?\nHow?",
                "input_values": {"questions": ["Which?", "How?"]},
                "branch_taken": "Which?: B",
                "branches_available": {"Which?": ["A"], "How?": ["C"]},
            },
        ),
        (
            "TodoWrite",
            {
                "todos": [
                    {"content": "one", "status": "completed"},
                    {"content": "two", "status": "in_progress"},
                    "broken",
                ]
            },
            {
                "decision_type": "task_plan",
                "decision_point": "what to do next",
                "input_values": {"completed": ["one"]},
                "branch_taken": "two",
                "branches_available": ["one", "two"],
            },
        ),
        (
            "TaskUpdate",
            {"taskId": "3", "status": "completed"},
            {
                "decision_type": "task_plan",
                "decision_point": "task 3",
                "input_values": {"from": "pending"},
                "branch_taken": "completed",
            },
        ),
        (
            "EnterPlanMode",
            {},
            {
                "decision_type": "plan_mode",
                "decision_point": "plan before changing anything",
                "branch_taken": "entered",
                "branches_available": ["entered", "rejected"],
            },
        ),
        ("Read", {"file_path": "/x"}, None),
    ],
)
def test_a_decision_has_the_columns_of_its_table(
    tool: str, tool_input: dict[str, Any], columns: dict[str, Any] | None
) -> None:
    script = Script()
    script.prompt("start")
    script.call("a", tool, **tool_input)
    given = {"answers": {"Which?": "B"}, "statusChange": {"from": "pending"}}
    script.result("a", toolUseResult=given)
    action = action_of(only_call(script))
    assert action["event_type"] == "tool_call"
    if columns is None:
        assert "decision_id" not in action["details"]
        return
    assert action["type"] == "decision"
    found = {key: value for key, value in action["details"].items() if key in DECISION_COLUMNS}
    assert found == {"decision_id": "a", **columns}


DECISION_COLUMNS = {
    *("decision_id", "decision_type", "decision_point", "input_values", "branch_taken"),
    *("branches_available", "reason"),
}


def test_a_plan_that_is_rejected_keeps_what_the_person_said() -> None:
    said = f"{REJECTED} To tell you how to proceed, the user said:\nuse a queue instead"
    details = action_of(finished(said, tool="ExitPlanMode"))["details"]
    assert (details["branch_taken"], details["reason"]) == ("rejected", "use a queue instead")
    details = action_of(finished("ok", tool="ExitPlanMode", is_error=False))["details"]
    assert (details["branch_taken"], "reason" in details) == ("approved", False)


@pytest.mark.parametrize(
    ("tool", "structured", "action_type", "reads"),
    [
        ("Read", None, "read", True),
        ("Grep", None, "search", True),
        ("Task", None, "analyze", False),
        ("Edit", None, "modify", False),
        ("Write", {"type": "create"}, "create", False),
        ("Write", {"type": "update"}, "modify", False),
        ("Bash", None, "execute", False),
        ("WebFetch", None, "query", True),
        ("mcp__linear__list", None, "query", False),
        ("TodoWrite", None, "decision", False),
        ("SomethingNew", None, "execute", False),
    ],
)
def test_what_a_tool_does_follows_from_its_name(
    tool: str, structured: Any, action_type: str, reads: bool
) -> None:
    assert action_type_of(tool, structured, TAXONOMY) == action_type
    assert is_read_only(tool, {}, TAXONOMY) is reads


def test_files_are_those_of_calls_that_were_done() -> None:
    assert files_named("NotebookEdit", {"notebook_path": "/n.ipynb"}) == ["/n.ipynb"]
    assert files_named("Bash", {"command": "rm /x"}) == []
    assert files_named("Edit", {"file_path": 7}) == []
    script = Script()
    script.prompt("start")
    script.call("a", "Edit", file_path="/x")
    script.call("b", "Edit", file_path="/y")
    script.result("a")
    script.result("b", REJECTED, is_error=True)
    done, rejected = (action_of(item) for item in items_of(script) if isinstance(item, Call))
    assert done["files_affected"] == ["/x"]
    assert "files_affected" not in rejected


READING = [
    "ls -la /tmp 2>/dev/null | head -5",
    "cd src && git log --oneline -5 && git status",
    "git -C /x --no-pager diff main...HEAD --stat | tail -3",
    "grep -n 'a; rm -rf /' x.txt || echo \"none > here\"",
    "find . -name '*.go' | wc -l",
    "sed -n '10,20p' file.txt",
    "git stash list",
    "awk '{print $1}' x",
    "cat $HOME/x",
    "",
]
CHANGING = [
    "rm x",
    "echo hi > x",
    "echo hi >> x",
    "cat x > /dev/null.txt",
    "ls $(touch x)",
    "ls `touch x`",
    'echo "$(touch x)"',
    "ls & rm x",
    "cat <<EOF\nEOF",
    "find . -delete",
    "find . -exec rm {} +",
    "sed -i s/a/b/ x",
    "sed -n 'w out' x",
    "sort -o x x",
    "sort -no x x",
    "git push",
    "git branch new",
    "git diff --output=x",
    "git -c core.pager='touch x' log",
    "git stash",
    "PAGER='touch x' git log",
    "$CMD x",
    "awk 'BEGIN{system(\"touch x\")}'",
    "uniq in out",
    "xargs rm",
    "tee x",
    "python3 -c 'print(1)'",
    "ls\nrm x",
    "ls 'unterminated",
    "(ls)",
    "ls; }",
]


@pytest.mark.parametrize("command", READING)
def test_a_command_of_readers_only_reads(command: str) -> None:
    assert only_reads(command)


@pytest.mark.parametrize("command", CHANGING)
def test_a_command_that_could_change_something_does_not_only_read(command: str) -> None:
    assert not only_reads(command)


def test_a_long_command_is_judged_in_time() -> None:
    for command in (
        "a" * 9_999,
        "'" * 9_999,
        '"\\' * 4_999,
        "$" * 9_999,
        "cat " * 2_400,
        "x" * 10**7,
    ):
        assert isinstance(only_reads(command), bool)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "x" * 1_000_000, "\ud800", "A" * 36])
def test_a_session_id_that_is_no_uuid_becomes_one(name: str) -> None:
    found = store_session_id(name)
    assert found == store_session_id(name)
    assert found != name
    assert store_session_id(found) == found


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2026-01-05T17:02:22.906Z", "2026-01-05T17:02:22.906000Z"),
        ("2025-06-14T10:00:00Z", "2025-06-14T10:00:00.000000Z"),
        ("2026-01-05T17:02:22.906123+01:00", "2026-01-05T16:02:22.906123Z"),
        ("2026-99-05T17:02:22.906Z", "1970-01-01T00:00:00.000000Z"),
        ("tomorrow", "1970-01-01T00:00:00.000000Z"),
        ("", "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_times_are_written_as_the_log_has_them(given: str, written: str) -> None:
    assert log_time(given) == written


@given(
    st.one_of(
        st.text("0123456789abcdef-"),
        st.uuids().map(str),
        st.uuids().map(lambda one: str(one).upper()),
        st.uuids().map(lambda one: f"{one}\n"),
    )
)
def test_a_session_id_is_kept_that_is_a_uuid_in_lower_case(session_id: str) -> None:
    form = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    assert (store_session_id(session_id) == session_id) == bool(form.fullmatch(session_id))


@given(
    st.one_of(
        st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(  # noqa: DTZ001 - UTC below
            lambda moment: moment.isoformat(timespec="microseconds") + "Z"
        ),
        st.from_regex(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[Zz]", fullmatch=True),
        st.text(max_size=27),
    )
)
def test_a_time_in_the_form_of_a_log_is_kept_as_any_other_way_of_reading_it_would(
    text: str,
) -> None:
    assert log_time(text) == format_timestamp(moment_of(text))
