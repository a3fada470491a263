"""Hooks that are no tool call: sessions, prompts, decisions, and what a new version brings."""

from typing import Any

import pytest
from hook_cases import SESSION, Feed, payload, post, pre
from imported_sessions import Action, calls_of, logs_of

from provenance_log.claude_code.actions import child_session_id, store_session_id
from provenance_log.store import Store

IN_AGENT = {"agent_id": "sub", "agent_type": "Explore"}
IN_AGENT_DETAILS = {**IN_AGENT}


def log_of(store: Store) -> list[Action]:
    return logs_of(store)[SESSION]


def ends_of(store: Store) -> list[Any]:
    return [one["details"] for one in log_of(store) if one["event_name"] == "session_end"]


def test_a_session_begins_with_what_its_first_event_tells(store: Store) -> None:
    started = payload("SessionStart", source="startup", model="claude-opus-4", transcript_path="/t")
    Feed(store)(started)
    (first,) = log_of(store)
    (directory,) = store.session_directories()
    assert directory.name == "2026-03-01-09-00"
    session = first["details"]["session"]
    session["user_context"].pop("host")
    assert session == {
        "session_id": SESSION,
        "agent_type": "claude-code",
        "query": "",
        "kwargs": {"first_event": "SessionStart", "source": "startup", "transcript_path": "/t"},
        "model": "claude-opus-4",
        "user_context": {"working_directory": "/home/me/lab", "git_branch": "main"},
        "depth": 0,
        "goals": [],
        "project": "lab",
        "schema_version": "1.1.0",
    }


def test_hooks_that_were_installed_in_the_middle_begin_the_session_all_the_same(
    store: Store,
) -> None:
    Feed(store)(payload("UserPromptSubmit", prompt="go on"))
    first, prompt = log_of(store)
    assert first["details"]["session"]["query"] == "go on"
    assert prompt["details"]["text"] == "go on"


@pytest.mark.parametrize("source", ["resume", "compact", "clear", "fork"])
def test_a_session_that_is_resumed_is_reopened(store: Store, source: str) -> None:
    feed = Feed(store)
    feed(payload("SessionStart", source="startup"), payload("SessionEnd", reason="clear"))
    feed(payload("SessionStart", source=source), payload("Stop"))
    names = [one["event_name"] for one in log_of(store)]
    assert names == ["session_start", "session_end", "session_resume", "turn_end"]
    assert log_of(store)[2]["details"] == {"source": source}


def test_an_event_that_is_late_does_not_reopen_a_session_that_has_ended(store: Store) -> None:
    feed = Feed(store)
    feed(pre("a"), payload("SessionEnd", reason="other"), post("a"), payload("Notification"))
    actions = log_of(store)
    assert [one["event_name"] for one in actions[-5:]] == [
        *("session_end", "Bash", "session_end", "notification", "session_end")
    ]
    ends = [one for one in actions if one["event_name"] == "session_end"]
    details = {"success": True, "reason": "other"}
    assert [one["details"] for one in ends] == [details, *[{**details, "repeated": True}] * 2]
    assert len({one["database_event_id"] for one in ends}) == 3
    assert len({one["timestamp"] for one in ends}) == 1


def test_a_session_whose_last_turn_failed_has_failed(store: Store) -> None:
    feed = Feed(store)
    feed(payload("Stop"), payload("StopFailure", error="rate_limit", error_details="too many"))
    feed(payload("SessionEnd"))
    failure = log_of(store)[-2]
    assert (failure["status"], failure["error"]) == (
        *("failure", {"message": "too many", "code": "rate_limit"}),
    )
    assert ends_of(store) == [{"success": False, "error_message": "too many"}]


def test_equal_prompts_are_told_apart_by_their_number(store: Store) -> None:
    feed = Feed(store)
    feed(*(payload("UserPromptSubmit", prompt=text) for text in ("go", "stop", "go ")))
    prompts = log_of(store)[1:]
    assert [one["details"]["text"] for one in prompts] == ["go", "stop", "go "]
    assert len({one["database_event_id"] for one in prompts}) == 3
    assert prompts[0]["details"]["prompt_key"] == prompts[2]["details"]["prompt_key"]


@pytest.mark.parametrize(
    ("one", "event_type", "name", "details"),
    [
        (payload("Setup", trigger="init"), "log", "setup", {"trigger": "init"}),
        (
            payload("UserPromptExpansion", command_name="review", prompt="/review"),
            *("log", "prompt_expansion", {"command_name": "review", "prompt": "/review"}),
        ),
        (
            payload("InstructionsLoaded", file_path="/p/CLAUDE.md", memory_type="Project"),
            *("log", "instructions_loaded"),
            {"file_path": "/p/CLAUDE.md", "memory_type": "Project"},
        ),
        (payload("Notification", message="hi", title=""), "log", "notification", {"message": "hi"}),
        (payload("SubagentStart", **IN_AGENT), "log", "subagent_start", IN_AGENT_DETAILS),
        (
            payload("SubagentStop", last_assistant_message="done", **IN_AGENT),
            *("log", "subagent_stop", {"text": "done", **IN_AGENT_DETAILS}),
        ),
        (
            payload("Stop", last_assistant_message="done", stop_hook_active=False),
            *("log", "turn_end", {"text": "done"}),
        ),
        (payload("TaskCreated", task_id="1"), "log", "task_created", {"task_id": "1"}),
        (payload("PreCompact", trigger="auto"), "log", "compact_start", {"trigger": "auto"}),
        (
            payload("PostCompact", compact_summary="s"),
            "log",
            "compact_end",
            {"compact_summary": "s"},
        ),
        (payload("CwdChanged", new_cwd="/x"), "log", "cwd_changed", {"new_cwd": "/x"}),
        (
            payload("PermissionRequest", tool_name="Bash", tool_input={"command": "rm"}),
            *("decision", "permission_request"),
            {
                "decision_type": "permission_request",
                "decision_point": "use Bash",
                "input_values": {"command": "rm"},
                "branches_available": ["allowed", "denied"],
            },
        ),
        (
            payload("ElicitationResult", mcp_server_name="db", action="accept"),
            *("decision", "elicitation_result"),
            {
                "mcp_server_name": "db",
                "action": "accept",
                "decision_type": "elicitation",
                "decision_point": "db",
                "branch_taken": "accept",
            },
        ),
        (
            payload("PostToolBatch", tool_calls=[{"tool_use_id": "a"}]),
            *("log", "tool_batch", {"tool_use_ids": ["a"]}),
        ),
        (payload("SomethingNew2", what=[1]), "log", "something_new2", {"what": [1]}),
    ],
    ids=lambda value: value.get("hook_event_name", "") if isinstance(value, dict) else "",
)
def test_an_event_is_kept_under_its_name_with_what_it_tells(
    store: Store, one: dict[str, Any], event_type: str, name: str, details: dict[str, Any]
) -> None:
    Feed(store)(one)
    action = log_of(store)[-1]
    assert (action["event_type"], action["event_name"]) == (event_type, name)
    assert action["details"] == details


def test_a_changed_file_and_the_session_of_a_subagent_are_linked(store: Store) -> None:
    changed = payload("FileChanged", file_path="/p/x.py", event="change")
    Feed(store)(changed, payload("SubagentStop", agent_id="sub"))
    file_line, stop_line = log_of(store)[1:]
    assert file_line["files_affected"] == ["/p/x.py"]
    assert stop_line["entity_links"][0]["entity_id"] == child_session_id(SESSION, "sub")


def test_a_payload_of_an_old_version_that_names_no_event_is_taken_for_what_it_holds(
    store: Store,
) -> None:
    old = {"session_id": SESSION, "tool_name": "Read"}
    Feed(store)(old, {**old, "tool_response": "text"})
    actions = log_of(store)
    assert [one["event_type"] for one in actions[1:]] == ["tool_start", "tool_call"]
    assert calls_of(actions)[0]["details"]["output_data"] == "text"


def test_a_session_id_that_is_no_uuid_is_mapped_to_one(store: Store) -> None:
    Feed(store)(payload("Stop", session_id="../../x"))
    (session_id,) = logs_of(store)
    assert session_id == store_session_id("../../x")


@pytest.mark.parametrize("value", ["\ud800", 10**400, float("nan"), "\x00\x1b[31m"])
def test_what_no_line_can_hold_as_it_is_is_written_in_its_nearest_form(
    store: Store, value: Any
) -> None:
    """A3: the log stays readable, whatever a payload holds."""
    feed = Feed(store)
    feed(pre("a", tool_input={"x": value}), post("a", tool_input={"x": value}))
    feed(pre(None, tool_input={"x": value}), payload("UserPromptSubmit", prompt=str(value)))
    assert len(log_of(store)) == 5
