"""A session that was recorded live and is imported afterwards is one session, completed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hook_cases import Feed, payload, post, pre
from imported_sessions import Action, call_ids, calls_of, logs_of, new_store
from transcript_records import SESSION, Script, text

from projections.database import connect
from projections.projector import catch_up
from provenance_log.claude_code.actions import child_session_id
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.store import Store

REJECTED = "The user doesn't want to proceed with this tool use."


def names_of(actions: list[Action]) -> list[str]:
    return [one["event_name"] for one in actions]


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        return connection.rows(sql)


def transcript() -> Script:
    script = Script()
    script.prompt("go")
    script.call("a", "Bash", command="echo a")
    script.result("a", toolUseResult={"stdout": "of a"})
    script.call("no", "Bash", command="echo no")
    script.result("no", REJECTED, is_error=True)
    script.prompt("go")
    script.call("late", "Bash", command="echo late")
    script.result("late", toolUseResult={"stdout": "of late"})
    script.answer(text("Done."), message_id="msg_end")
    return script


def live(store: Store) -> Feed:
    feed = Feed(store)
    feed(payload("SessionStart", source="startup"), payload("UserPromptSubmit", prompt="go"))
    feed(pre("a"), post("a"), pre("no"), payload("Stop"))
    feed(payload("UserPromptSubmit", prompt="go"), pre("late"), payload("Stop"))
    feed(payload("SessionEnd", reason="other"))
    return feed


def test_what_the_hooks_told_is_not_told_again_and_what_they_missed_is_added(
    store: Store, tmp_path: Path
) -> None:
    live(store)
    path = transcript().write(tmp_path / "t.jsonl")
    report = import_transcripts(store, [path])
    assert [(one.session_id, one.state) for one in report.sessions] == [(SESSION, "grown")]
    (actions,) = logs_of(store).values()
    finals = {one["details"]["call_id"]: one for one in calls_of(actions)}
    assert {key: one["status"] for key, one in finals.items()} == {
        "a": "success",
        "no": "skipped",
        "late": "success",
    }
    assert finals["no"]["error"]["code"] == "user_rejected"
    assert finals["late"]["details"]["output_data"] == {"stdout": "of late"}
    assert names_of(actions).count("user_prompt") == 2
    added = names_of(actions)[names_of(actions).index("session_end") + 1 :]
    assert sorted(added) == sorted(["assistant_message"] * 4 + ["Bash"] * 2 + ["session_end"])
    assert actions[-1]["details"]["repeated"] is True
    size = [directory.log.stat().st_size for directory in store.session_directories()]
    assert import_transcripts(store, [path]).added_count == 0
    assert [directory.log.stat().st_size for directory in store.session_directories()] == size
    (session,) = rows(store, "SELECT state, tool_call_count, query FROM provenance_sessions")
    assert session == {"state": "success", "tool_call_count": 3, "query": "go"}


def test_hooks_that_come_after_an_import_add_no_call_again(store: Store, tmp_path: Path) -> None:
    import_transcripts(store, [transcript().write(tmp_path / "t.jsonl")])
    Feed(store)(pre("a"), post("a"), payload("Stop"))
    assert sorted(call_ids(store)[SESSION]) == ["a", "late", "no"]


def test_calls_of_a_subagent_that_hooks_recorded_stay_with_the_session(
    store: Store, tmp_path: Path
) -> None:
    in_agent = {"agent_id": "sub", "agent_type": "Explore"}
    feed = Feed(store)
    feed(pre("task", "Task"), pre("a1", **in_agent), post("a1", **in_agent), pre("a2", **in_agent))
    feed(post("task", "Task", tool_response={"agentId": "sub"}), payload("SessionEnd"))
    trunk = Script()
    trunk.prompt("go")
    trunk.call("task", "Task", prompt="look")
    trunk.result("task", toolUseResult={"agentId": "sub"})
    agent = Script(isSidechain=True, agentId="sub")
    agent.prompt("you are sub")
    for name in ("a1", "a2", "a3"):
        agent.call(name, "Bash", command=f"echo {name}")
        agent.result(name, toolUseResult={"stdout": f"of {name}"})
    agent.write(tmp_path / SESSION / "subagents" / "agent-sub.jsonl")
    path = trunk.write(tmp_path / f"{SESSION}.jsonl")
    import_transcripts(store, [path])
    finals = {
        session_id: {one["details"]["call_id"]: one["status"] for one in calls_of(actions)}
        for session_id, actions in logs_of(store).items()
    }
    assert finals == {
        SESSION: {"task": "success", "a1": "success", "a2": "success"},
        child_session_id(SESSION, "sub"): {"a3": "success"},
    }
    assert logs_of(store)[SESSION][-1]["event_name"] == "session_end"
    assert import_transcripts(store, [path]).added_count == 0


def test_calls_that_hooks_knew_without_their_id_are_found_again_by_their_input(
    store: Store, tmp_path: Path
) -> None:
    def same(name: str) -> dict[str, Any]:
        return {"tool_input": {"command": f"echo {name}"}}

    feed = Feed(store)
    feed(pre(None, **same("a")), post(None, **same("a")), pre(None, **same("no")), payload("Stop"))
    import_transcripts(store, [transcript().write(tmp_path / "t.jsonl")])
    (actions,) = logs_of(store).values()
    finals = {one["details"]["call_id"]: one for one in calls_of(actions)}
    inputs = sorted(one["details"]["input_params"]["command"] for one in finals.values())
    assert inputs == ["echo a", "echo late", "echo no"]
    codes = [one.get("error", {}).get("code") for one in finals.values()]
    assert sorted(map(str, codes)) == ["None", "None", "user_rejected"]


@pytest.mark.parametrize("folder", ["applab-nl+dmux", "pattern-stack+task-patterns"])
def test_recorded_payloads_and_the_transcript_of_the_same_session_are_one(
    store: Store, tmp_path: Path, shared_data: Path, folder: str
) -> None:
    """Both are of versions that told hooks no tool_use_id."""
    logs = shared_data / "hook-payloads" / folder / "logs"
    records = json.loads((logs / "chat.json").read_text())
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    own = {record.get("sessionId") for record in records} - {None}
    feed = Feed(store)
    for name in ("pre_tool_use.json", "post_tool_use.json", "user_prompt_submit.json"):
        payloads = json.loads((logs / name).read_text()) if (logs / name).exists() else []
        feed(*(one for one in payloads if one["session_id"] in own))
    told = {key: final_inputs(actions) for key, actions in logs_of(store).items()}
    alone = new_store(tmp_path / "alone")
    import_transcripts(alone, [path])
    written = {key: final_inputs(actions) for key, actions in logs_of(alone).items()}
    import_transcripts(store, [path])
    after = {key: final_inputs(actions) for key, actions in logs_of(store).items()}
    assert after == {
        key: told.get(key, Counter()) | written.get(key, Counter()) for key in {*told, *written}
    }
    assert import_transcripts(store, [path]).added_count == 0


def final_inputs(actions: list[Action]) -> Counter[tuple[str, str]]:
    """How many calls there are of a tool with an input."""
    told = [one for one in actions if one["event_type"] in {"tool_call", "tool_start"}]
    finals = {one["details"]["call_id"]: one["details"] for one in told}
    return Counter(
        (one["tool_name"], json.dumps(one["input_params"], sort_keys=True))
        for one in finals.values()
    )
