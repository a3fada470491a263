"""Hooks of tool calls: starts and results are paired through the log, whatever comes when."""

from typing import Any

import pytest
from hook_cases import SESSION, Feed, failed, payload, post, pre
from imported_sessions import Action, calls_of, logs_of

from provenance_log.claude_code.actions import event_id
from provenance_log.store import Store


def log_of(store: Store) -> list[Action]:
    return logs_of(store)[SESSION]


def told(actions: list[Action]) -> list[tuple[str, str, str]]:
    """The lines about calls: what, of which call, how it ended."""
    return [
        (one["event_type"], one["details"]["call_id"], one["status"])
        for one in actions
        if one["event_type"] in {"tool_start", "tool_call"}
    ]


def final_of(actions: list[Action]) -> dict[str, Action]:
    """The last word about each call."""
    return {one["details"]["call_id"]: one for one in calls_of(actions)}


def test_a_start_and_its_result_are_two_lines_and_one_call(store: Store) -> None:
    feed = Feed(store)
    feed(pre("a", permission_mode="plan", prompt_id="p-1", effort={"level": "high"}), post("a"))
    _, start, call = log_of(store)
    assert start == {
        "timestamp": "2026-03-01T09:00:01.000000Z",
        "action_id": 2,
        "type": "read",
        "tool": "ClaudeCode",
        "status": "success",
        "context": {"working_directory": "/home/me/lab", "git_branch": "main"},
        "details": {
            "call_id": "a",
            "tool_type": "claude_code",
            "tool_name": "Bash",
            "input_params": {"command": "echo a"},
            "tool_use_id": "a",
            "prompt_id": "p-1",
            "permission_mode": "plan",
            "effort": "high",
        },
        "read_only": True,
        "event_type": "tool_start",
        "event_name": "Bash",
        "database_event_id": event_id(SESSION, "", "start", "a"),
        "prev": start["prev"],
    }
    assert call == {
        "timestamp": start["timestamp"],
        "action_id": 3,
        "type": "execute",
        "tool": "Bash",
        "status": "success",
        "duration_ms": 1000,
        "context": start["context"],
        "details": {
            "call_id": "a",
            "tool_type": "claude_code",
            "tool_name": "Bash",
            "input_params": {"command": "echo a"},
            "output_data": {"stdout": "of a"},
            "output_size_bytes": 17,
            "tool_use_id": "a",
            "duration_source": "hook_times",
            "related_event_id": start["database_event_id"],
        },
        "read_only": True,
        "event_type": "tool_call",
        "event_name": "Bash",
        "database_event_id": event_id(SESSION, "", "call", "a"),
        "prev": call["prev"],
    }


@pytest.mark.parametrize(
    ("end", "status", "error", "duration"),
    [
        (post("a", duration_ms=12), "success", None, (12, "hook")),
        (post("a", duration_ms=-1), "success", None, (1000, "hook_times")),
        (post("a", duration_ms=True), "success", None, (1000, "hook_times")),
        (post("a", tool_response={"durationMs": 5}), "success", None, (5, "tool")),
        (post("a", tool_response="text"), "success", None, (1000, "hook_times")),
        (
            post("a", tool_response={"interrupted": True}),
            *("partial", {"message": "interrupted", "code": "interrupt"}, (1000, "hook_times")),
        ),
        (
            failed("a", duration_ms=3),
            *("failure", {"message": "Exit code 2\nno", "code": "exit_2"}, (3, "hook")),
        ),
        (
            failed("a", "", is_interrupt=True),
            *("partial", {"message": "interrupted", "code": "interrupt"}, (1000, "hook_times")),
        ),
        (
            payload("PermissionDenied", tool_use_id="a", tool_name="Bash", reason="risky"),
            *("skipped", {"message": "risky", "code": "permission_denied"}, (1000, "hook_times")),
        ),
    ],
)
def test_how_a_call_ended_is_what_the_hook_tells(
    store: Store, end: Any, status: str, error: Any, duration: tuple[int, str]
) -> None:
    Feed(store)(pre("a"), end)
    (call,) = calls_of(log_of(store))
    assert (call["status"], call.get("error")) == (status, error)
    assert (call["duration_ms"], call["details"]["duration_source"]) == duration


def test_a_denied_permission_is_a_decision_too(store: Store) -> None:
    Feed(store)(payload("PermissionDenied", tool_use_id="a", tool_name="Bash", reason="risky"))
    (call,) = calls_of(log_of(store))
    names = ("decision_type", "decision_point", "branch_taken", "reason")
    assert [call["details"][name] for name in names] == [
        *("permission", "use Bash", "denied", "risky")
    ]


@pytest.mark.parametrize(
    ("event", "fields", "closed"),
    [
        ("Stop", {}, ["main"]),
        ("StopFailure", {"error": "overloaded"}, ["main"]),
        ("SubagentStop", {"agent_id": "sub"}, ["in-sub"]),
        ("SubagentStop", {}, []),
        ("SessionEnd", {"reason": "other"}, ["main", "in-sub"]),
        ("SessionStart", {"source": "resume"}, ["main", "in-sub"]),
        ("Notification", {"message": "x"}, []),
    ],
)
def test_what_is_left_open_is_closed_as_skipped(
    store: Store, event: str, fields: dict[str, Any], closed: list[str]
) -> None:
    feed = Feed(store)
    feed(pre("main"), pre("in-sub", agent_id="sub", agent_type="Explore"), pre("done"))
    feed(post("done"), payload(event, **fields))
    skipped = [one for one in calls_of(log_of(store)) if one["status"] == "skipped"]
    assert [one["details"]["call_id"] for one in skipped] == closed
    for one in skipped:
        assert one["error"] == {"message": f"no result had come at {event}", "code": "no_result"}
        assert one["details"]["input_params"] == {"command": f"echo {one['details']['call_id']}"}


def test_a_result_that_comes_after_its_call_was_closed_is_the_last_word(store: Store) -> None:
    Feed(store)(pre("a"), payload("Stop"), post("a"), payload("Stop"))
    actions = log_of(store)
    assert told(actions) == [
        ("tool_start", "a", "success"),
        ("tool_call", "a", "skipped"),
        ("tool_call", "a", "success"),
    ]
    start, closed, done = (one for one in actions if one["details"].get("call_id"))
    assert closed["details"]["pending"] is True
    related = [one["details"]["related_event_id"] for one in (closed, done)]
    assert related == [start["database_event_id"]] * 2


def test_what_comes_twice_or_the_wrong_way_round_is_one_call_all_the_same(store: Store) -> None:
    Feed(store)(post("a"), pre("a"), post("a"), pre("a"), payload("Stop"))
    actions = log_of(store)
    assert told(actions) == [("tool_call", "a", "success"), ("tool_start", "a", "success")]
    call, start = (one for one in actions if one["details"].get("call_id"))
    assert start["details"]["related_event_id"] == call["database_event_id"]
    assert "duration_ms" not in call


def test_calls_without_an_id_are_paired_by_their_input_the_oldest_first(store: Store) -> None:
    same: dict[str, Any] = {"tool_input": {"x": 1}}
    other: dict[str, Any] = {"tool_input": {"x": 2}}
    feed = Feed(store)
    feed(pre(None, **same), pre(None, **same), pre(None, **other))
    feed(post(None, **same, tool_response="first"), post(None, **same, tool_response="second"))
    feed(payload("Stop"))
    actions = log_of(store)
    starts = [one for one in actions if one["event_type"] == "tool_start"]
    assert len({one["details"]["call_id"] for one in starts}) == 3
    first, second, third = calls_of(actions)
    assert [one["details"]["related_event_id"] for one in (first, second, third)] == [
        one["database_event_id"] for one in starts
    ]
    assert [one["status"] for one in (first, second, third)] == ["success", "success", "skipped"]
    assert "tool_use_id" not in first["details"]


def test_a_late_result_goes_to_a_call_that_is_open_before_one_that_was_closed(
    store: Store,
) -> None:
    same: dict[str, Any] = {"tool_input": {"x": 1}}
    Feed(store)(pre(None, **same), payload("Stop"), pre(None, **same), post(None, **same))
    finals = [one["status"] for one in final_of(log_of(store)).values()]
    assert finals == ["skipped", "success"]


def test_a_batch_tells_of_calls_that_were_refused_and_leaves_the_others_to_their_hooks(
    store: Store,
) -> None:
    def told_of(tool_use_id: str, response: Any) -> dict[str, Any]:
        return {"tool_name": "Bash", "tool_use_id": tool_use_id, "tool_response": response}

    refusal = "The user doesn't want to proceed with this tool use."
    batch = [
        told_of("refused", refusal),
        told_of("as blocks", [{"type": "text", "text": refusal}]),
        told_of("on its way", "fine"),
        told_of("untold", None),
        told_of("unknown", refusal),
        "no call",
    ]
    feed = Feed(store)
    feed(pre("refused"), pre("as blocks"), pre("on its way"), pre("untold"))
    feed(payload("PostToolBatch", tool_calls=batch), post("on its way"), payload("Stop"))
    finals = final_of(log_of(store))
    assert {
        key: (one["status"], one.get("error", {}).get("code")) for key, one in finals.items()
    } == {
        "refused": ("skipped", "user_rejected"),
        "as blocks": ("skipped", "user_rejected"),
        "on its way": ("success", None),
        "untold": ("skipped", "no_result"),
    }


def test_a_call_of_a_subagent_carries_it_and_has_the_id_that_an_import_gives(
    store: Store,
) -> None:
    in_agent = {"agent_id": "sub", "agent_type": "Explore"}
    Feed(store)(pre("a", **in_agent), post("a", **in_agent))
    (call,) = calls_of(log_of(store))
    assert (call["details"]["agent_id"], call["details"]["agent_type"]) == ("sub", "Explore")
    assert call["database_event_id"] == event_id(SESSION, "sub", "call", "a")


def test_the_type_of_a_tool_is_what_the_taxonomy_of_the_store_says(store: Store) -> None:
    Feed(store)(post("a", "mcp__db__query"), post("b", "Write", tool_response={"type": "update"}))
    assert [one["type"] for one in calls_of(log_of(store))] == ["query", "modify"]


def test_a_start_that_is_far_away_in_the_log_is_not_looked_for(store: Store) -> None:
    feed = Feed(store)
    feed(pre("far"))
    for number in range(6):
        feed(post(f"large {number}", tool_response="x" * 1_000_000))
    feed(post("far", duration_ms=7))
    call = final_of(log_of(store))["far"]
    assert (call["duration_ms"], "related_event_id" in call["details"]) == (7, False)


def test_call_whose_name_holds_half_a_surrogate_pair_is_told_once(store: Store) -> None:
    feed = Feed(store)
    feed(pre("t\ud83c"), post("t\ud83c"))
    _, start, call = log_of(store)
    assert told([start, call]) == [
        ("tool_start", "t\ufffd", "success"),
        ("tool_call", "t\ufffd", "success"),
    ]
    assert call["details"]["related_event_id"] == start["database_event_id"]
