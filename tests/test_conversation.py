"""Records become items in order: turns, calls with their results, messages, prompts, notes."""

from typing import Any

import pytest
from transcript_items import action_of, items_of, named, turns_of
from transcript_records import SESSION, Script, text, use

from provenance_log.claude_code.actions import child_session_id
from provenance_log.claude_code.calls import Agent
from provenance_log.claude_code.conversation import Conversation
from provenance_log.claude_code.items import Message, Prompt


def test_calls_stand_where_they_were_made_with_the_results_that_came_later() -> None:
    script = Script()
    script.prompt("do it")
    script.answer(text("First."), use("a"), use("b"))
    script.result("b")
    script.answer(text("Then."), use("c"), message_id="msg_2")
    script.result("a")
    script.result("c")
    assert named(items_of(script)) == ["prompt", "message msg_1", "a", "b", "message msg_2", "c"]


def test_a_message_in_pieces_is_one_item_with_the_last_usage() -> None:
    script = Script()
    script.prompt("do it")
    script.answer({"type": "thinking", "thinking": "Hm."}, usage={"output_tokens": 1})
    script.answer(text("One."), usage={"output_tokens": 2})
    script.answer(use("a"), usage={"output_tokens": 2})
    script.result("a")
    script.answer(text("Two."), usage={"output_tokens": 9, "input_tokens": True})
    (message,) = [item for item in items_of(script) if isinstance(item, Message)]
    assert (message.texts, message.thoughts, message.usage, message.piece_count) == (
        ["One.", "Two."],
        ["Hm."],
        {"output_tokens": 9},
        4,
    )
    details = action_of(message)["details"]
    assert (details["text"], details["thinking"]) == ("One.\nTwo.", "Hm.")


def test_a_turn_is_handed_out_when_the_next_prompt_comes() -> None:
    script = Script()
    script.prompt("one")
    script.call("a")
    script.prompt("two")
    script.result("a")
    script.prompt("<command-name>/clear</command-name>")
    assert [named(turn) for turn in turns_of(script)] == [
        ["prompt", "message msg_a", "a"],
        ["prompt", "a", "command"],
    ]


def test_a_call_without_its_result_at_the_end_of_a_turn_comes_again_with_it() -> None:
    script = Script()
    script.prompt("one")
    script.call("a")
    conversation = Conversation()
    for number, record in enumerate(script.records):
        assert conversation.add(number, record) == []
    assert named(conversation.add(2, script.prompt("two")))[-1] == "a pending"
    conversation.add(3, script.result("a"))
    assert named(conversation.end()) == ["prompt", "a"]


def test_nothing_is_told_before_somebody_speaks() -> None:
    script = Script()
    script.add("system", subtype="informational", content="starting")
    script.prompt("<command-name>/exit</command-name>")
    assert turns_of(script) == []


@pytest.mark.parametrize(
    ("content", "fields", "kind"),
    [
        ("hello", {}, "prompt"),
        ([{"type": "text", "text": "hello"}], {}, "prompt"),
        ([{"type": "image", "source": {}}], {}, "prompt"),
        ("Base directory for this skill", {"isMeta": True}, "meta"),
        ("This session is being continued", {"isCompactSummary": True}, "compact_summary"),
        ("<command-name>/x</command-name>", {}, "command"),
        ("<local-command-stdout>x</local-command-stdout>", {}, "command_output"),
        ("<local-command-caveat>Caveat", {"isMeta": True}, "caveat"),
        ("<bash-input>ls</bash-input>", {}, "shell_command"),
        ("[Request interrupted by user]", {}, "interruption"),
        ("<task-notification>", {}, "task_notification"),
        ("hello", {"isSidechain": True}, "subagent_prompt"),
    ],
)
def test_what_is_said_to_the_model_is_told_apart(
    content: Any, fields: dict[str, Any], kind: str
) -> None:
    script = Script()
    script.prompt("first")
    script.prompt(content, **fields)
    last = items_of(script)[-1]
    assert isinstance(last, Prompt)
    assert last.kind == kind
    assert action_of(last)["event_name"] == "user_prompt"


def test_a_prompt_typed_while_the_model_works_is_kept() -> None:
    """It stands only in the queue; one that is dequeued comes again as a user record."""
    script = Script()
    script.prompt("start")
    script.add("queue-operation", operation="enqueue", content="<task-notification>x")
    script.add("queue-operation", operation="enqueue", content="also this")
    script.add("queue-operation", operation="remove")
    script.add("queue-operation", operation="enqueue", content="taken back")
    script.add("queue-operation", operation="popAll", content="taken back")
    script.add("queue-operation", operation="enqueue", content="later")
    script.add("queue-operation", operation="dequeue")
    script.add("queue-operation", operation="dequeue")
    script.prompt("later")
    prompts = [item for item in items_of(script) if isinstance(item, Prompt)]
    assert [(item.text, item.kind) for item in prompts] == [
        ("start", "prompt"),
        ("also this", "queued"),
        ("later", "prompt"),
    ]


def test_what_a_subagent_did_is_known_from_progress_records() -> None:
    script = Script()
    script.prompt("start")
    script.call("task", "Task", subagent_type="Explore")
    other = Script()
    script.agent_progress("a1", "task", other.prompt("look"))
    script.agent_progress("a1", "task", other.answer(use("inner"), message_id="msg_i"))
    script.agent_progress("a1", "task", other.result("inner"))
    script.result("task", toolUseResult={"agentId": "a1", "totalDurationMs": 1234})
    items = items_of(script)
    assert named(items)[2:] == ["task", "subagent_prompt", "message msg_i", "inner"]
    assert items[-1].origin.agent == Agent("a1", "Explore", "task")
    details = action_of(items[-1])["details"]
    assert (details["agent_id"], details["agent_type"], details["parent_tool_use_id"]) == (
        "a1",
        "Explore",
        "task",
    )
    task = action_of(items[2])
    assert task["entity_links"] == [
        {
            "entity_table": "provenance_sessions",
            "entity_id": child_session_id(SESSION, "a1"),
            "link_type": "spawned",
        }
    ]
    assert task["duration_ms"] == 1234


def test_a_subagent_with_its_own_transcript_is_left_to_it() -> None:
    script = Script()
    script.prompt("start")
    script.agent_progress("a1", "task", Script().answer(use("inner")))
    conversation = Conversation(has_own_transcript=lambda agent_id: agent_id == "a1")
    assert [named(turn) for turn in turns_of(script, conversation)] == [["prompt"]]
    assert conversation.counts.set_aside == {"progress/agent_progress": 1}


def test_unknown_records_are_counted_by_name_and_never_fatal() -> None:
    script = Script()
    script.prompt("start")
    script.add("hologram")
    script.add("hologram")
    script.add("progress", data={"type": "smell_progress"})
    script.add("progress", data="nonsense")
    script.add("system", subtype="brand_new", content="hello", level="info", answer=42)
    script.add("file-history-snapshot")
    conversation = Conversation()
    (items,) = turns_of(script, conversation)
    assert conversation.counts.unknown == {
        "hologram": 2,
        "progress/smell_progress": 1,
        "progress/": 1,
    }
    assert conversation.counts.set_aside == {"file-history-snapshot": 1}
    action = action_of(items[-1])
    assert action["event_name"] == "system_brand_new"
    assert action["details"]["answer"] == 42


def test_names_of_unknown_records_are_bounded_in_number_and_length() -> None:
    conversation = Conversation()
    for number in range(300):
        conversation.add(number, {"type": f"{number} {'x' * 500}"})
    assert sum(conversation.counts.unknown.values()) == 300
    assert len(conversation.counts.unknown) == 101
    assert max(map(len, conversation.counts.unknown)) == 80


def test_a_record_that_comes_again_with_its_uuid_counts_once() -> None:
    script = Script()
    script.prompt("start")
    script.call("a")
    script.records += script.records
    conversation = Conversation()
    (items,) = turns_of(script, conversation)
    assert named(items) == ["prompt", "message msg_a", "a pending"]
    assert conversation.counts.repeated == 2


def test_a_result_without_its_call_is_kept_as_it_is() -> None:
    script = Script()
    script.result("lost", "the text")
    script.prompt("start")
    conversation = Conversation()
    (items,) = turns_of(script, conversation)
    assert conversation.counts.stray_results == 1
    assert action_of(items[0])["details"]["result"]["content"] == "the text"


def test_the_title_of_this_session_is_kept_and_those_of_others_are_not() -> None:
    script = Script()
    script.add("summary", uuid="", summary="Another", leafUuid="elsewhere")
    script.prompt("start", uuid="here")
    script.add("summary", uuid="", summary="This one", leafUuid="here")
    conversation = Conversation()
    (items,) = turns_of(script, conversation)
    title = action_of(items[-1])
    assert (title["event_type"], title["event_name"], title["details"]["text"]) == (
        "annotation",
        "note",
        "This one",
    )
    assert conversation.counts.set_aside == {"summary/of another session": 1}


def test_system_records_that_tell_something_become_lines() -> None:
    script = Script()
    script.prompt("start")
    script.add("system", subtype="turn_duration", durationMs=5)
    script.add("system", subtype="stop_hook_summary", hookErrors=[])
    script.add("system", subtype="stop_hook_summary", hookErrors=["it broke"])
    script.add("system", subtype="compact_boundary", compactMetadata={"preTokens": 7})
    script.add("system", subtype="api_error", error={"message": "overloaded"})
    script.add("pr-link", prUrl="https://x/1", prNumber=1, prRepository="o/r")
    script.add("pr-link", prUrl="https://x/1", prNumber=1, prRepository="o/r")
    actions = [action_of(item) for item in items_of(script)[1:]]
    assert [(a["event_name"], a["status"]) for a in actions] == [
        ("system_stop_hook_summary", "success"),
        ("system_compact_boundary", "success"),
        ("system_api_error", "failure"),
        ("pr_link", "success"),
    ]
    assert actions[1]["details"]["compactMetadata"] == {"preTokens": 7}
    assert actions[2]["error"] == {"message": "overloaded", "code": "api_error"}
    assert actions[3]["entity_links"][0]["entity_id"] == "https://x/1"


def test_tokens_of_messages_that_no_model_wrote_do_not_count() -> None:
    script = Script()
    script.prompt("start")
    script.answer(text("API Error"), model="<synthetic>", isApiErrorMessage=True)
    action = action_of(items_of(script)[-1])
    assert "usage" not in action["details"]
    assert action["error"] == {"message": "API Error", "code": "api_error"}


@pytest.mark.parametrize(
    "record",
    [
        {"type": "assistant"},
        {"type": "assistant", "message": 7},
        {"type": "assistant", "message": {"content": "plain text", "usage": 1}},
        {"type": "assistant", "message": {"content": [7, {"type": "tool_use"}, {"type": 3}]}},
        {"type": "user"},
        {"type": "user", "message": "error"},
        {"type": "user", "message": {"content": ["wow error"]}},
        {"type": "user", "message": {"content": [{"type": "tool_result"}]}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": {}}]}},
        {"type": "progress", "data": {"type": "agent_progress"}},
        {"type": "progress", "data": {"type": "agent_progress", "message": {"type": "assistant"}}},
        {"type": "system", "subtype": 5},
        {"type": "queue-operation", "operation": "remove"},
        {"type": "pr-link"},
        {"type": "summary"},
        {"type": "user", "uuid": [], "timestamp": 5, "cwd": {}, "sessionId": 0, "isMeta": "x"},
    ],
)
def test_a_record_of_any_shape_is_survived(record: dict[str, Any]) -> None:
    script = Script()
    script.prompt("start")
    script.records.append(record)
    script.call("a")
    script.result("a")
    items = items_of(script)
    assert named(items)[-1] == "a"
    for item in items:
        action_of(item)
