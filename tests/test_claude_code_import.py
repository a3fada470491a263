"""`provlog import claude-code`: transcripts become sessions, and again adds only what is new."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from imported_sessions import call_ids, calls_of, log_bytes, logs_of, new_store, snapshot, states
from transcript_records import SESSION, Script, text, use

from provenance_log import files
from provenance_log.claude_code.actions import child_session_id, store_session_id
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.errors import StoreNotWritable
from provenance_log.store import Store


def simple(session_id: str = SESSION, **envelope: Any) -> Script:
    script = Script(session_id, **envelope)
    script.prompt("look at the file")
    script.call("a", "Read", file_path="/home/me/lab/x.py")
    script.result("a", "content", toolUseResult={"type": "text", "file": {"content": "x"}})
    return script


def test_a_session_begins_with_what_the_transcript_says_about_it(
    store: Store, tmp_path: Path
) -> None:
    import_transcripts(store, [simple().write(tmp_path / "t.jsonl")])
    (directory,) = store.session_directories()
    assert directory.name == "2026-02-01-10-00"
    first = logs_of(store)[SESSION][0]
    assert first["timestamp"] == "2026-02-01T10:00:00.000000Z"
    assert first["details"]["session"] == {
        "session_id": SESSION,
        "agent_type": "claude-code",
        "agent_version": "2.1.42",
        "query": "look at the file",
        "kwargs": {},
        "model": "claude-opus-4",
        "user_context": {
            "working_directory": "/home/me/lab",
            "git_branch": "main",
            "claude_code_version": "2.1.42",
        },
        "depth": 0,
        "goals": [],
        "project": "lab",
        "schema_version": "1.1.0",
        "source": {"kind": "claude-code-transcript", "version": "2.1.42"},
    }


def test_the_log_does_not_depend_on_where_the_transcript_was(tmp_path: Path) -> None:
    stores = [new_store(tmp_path / name) for name in "ab"]
    import_transcripts(stores[0], [simple().write(tmp_path / "here" / "one.jsonl")])
    import_transcripts(stores[1], [simple().write(tmp_path / "there" / "two.jsonl")])
    assert log_bytes(stores[0]) == log_bytes(stores[1])


def test_a_pending_call_is_completed_by_a_line_of_its_own(store: Store, tmp_path: Path) -> None:
    script = simple()
    path = tmp_path / "t.jsonl"
    import_transcripts(store, [script.write(path, 2)])
    assert states(import_transcripts(store, [script.write(path, 2)])) == ["unchanged"]
    assert states(import_transcripts(store, [script.write(path)])) == ["grown"]
    pending, done = calls_of(logs_of(store)[SESSION])
    assert (pending["status"], pending["error"]["code"]) == ("partial", "no_result")
    assert (done["status"], done["details"]["call_id"]) == ("success", "a")
    assert done["details"]["related_event_id"] == pending["database_event_id"]
    assert states(import_transcripts(store, [script.write(path, 2)])) == ["unchanged"]


def test_a_message_that_grew_is_written_again_and_an_older_copy_adds_nothing(
    store: Store, tmp_path: Path
) -> None:
    script = Script()
    script.prompt("go")
    script.answer(text("One."), usage={"output_tokens": 1})
    script.answer(text("Two."), usage={"output_tokens": 8})
    path = tmp_path / "t.jsonl"
    for count in (2, 3, 2):
        import_transcripts(store, [script.write(path, count)])
    messages = [a for a in logs_of(store)[SESSION] if a["event_name"] == "assistant_message"]
    assert [(one["details"]["text"], one["details"]["usage"]) for one in messages] == [
        ("One.", {"output_tokens": 1}),
        ("One.\nTwo.", {"output_tokens": 8}),
    ]


def family(directory: Path) -> Path:
    """A trunk that started agent a, which started b; and an old agent c beside the trunk."""
    trunk = simple()
    trunk.call("task-a", "Task", prompt="go", subagent_type="Explore")
    trunk.agent_progress("a", "task-a", Script().answer(use("a1"), message_id="msg_a1"))
    trunk.agent_progress("a", "task-a", Script().result("a1"))
    trunk.result("task-a", toolUseResult={"agentId": "a"})
    trunk.call("task-c", "Task", prompt="go")
    trunk.result("task-c", toolUseResult={"agentId": "c"})
    for agent_id, tool_use_id in (("a", "a1"), ("b", "b1"), ("c", "c1")):
        script = Script(isSidechain=True, agentId=agent_id)
        script.prompt(f"you are {agent_id}")
        script.call(tool_use_id, "Task" if agent_id == "a" else "Grep", pattern="x")
        script.result(tool_use_id)
        folder = directory if agent_id == "c" else directory / SESSION / "subagents"
        script.write(folder / f"agent-{agent_id}.jsonl")
    for agent_id, tool_use_id in (("a", "task-a"), ("b", "a1")):
        meta = {"agentType": "Explore", "description": "to look", "toolUseId": tool_use_id}
        path = directory / SESSION / "subagents" / f"agent-{agent_id}.meta.json"
        path.write_text(json.dumps(meta))
    journal = directory / SESSION / "subagents" / "workflows" / "w1" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"step": 1}\n')
    return trunk.write(directory / f"{SESSION}.jsonl")


@pytest.mark.parametrize("is_directory", [True, False])
def test_subagents_with_files_of_their_own_become_child_sessions(
    store: Store, tmp_path: Path, is_directory: bool
) -> None:
    trunk = family(tmp_path / "project")
    report = import_transcripts(store, [trunk.parent if is_directory else trunk])
    assert (report.refused, report.empty) == ([], [])
    logs = logs_of(store)
    ids = {name: child_session_id(SESSION, name) for name in "abc"}
    headers = {key: log[0]["details"]["session"] for key, log in logs.items()}
    assert {key: (h.get("parent_session_id"), h["depth"]) for key, h in headers.items()} == {
        SESSION: (None, 0),
        ids["a"]: (SESSION, 1),
        ids["b"]: (ids["a"], 2),
        ids["c"]: (SESSION, 1),
    }
    assert headers[ids["b"]]["kwargs"] == {
        "agent_id": "b",
        "agent_type": "Explore",
        "description": "to look",
        "tool_use_id": "a1",
    }
    assert headers[ids["b"]]["query"] == "you are b"
    assert call_ids(store) == {
        SESSION: ["a", "task-a", "task-c"],
        ids["a"]: ["a1"],
        ids["b"]: ["b1"],
        ids["c"]: ["c1"],
    }
    linked = [c["entity_links"][0]["entity_id"] for c in calls_of(logs[SESSION])[1:]]
    assert linked == [ids["a"], ids["c"]]
    assert import_transcripts(store, [trunk.parent]).added_count == 0


def test_a_subagents_call_is_never_in_two_sessions(store: Store, tmp_path: Path) -> None:
    """Whether the trunk alone was imported before its subagents' files, or after."""
    trunk = family(tmp_path / "project")
    alone = tmp_path / "alone.jsonl"
    alone.write_bytes(trunk.read_bytes())
    import_transcripts(store, [alone])
    import_transcripts(store, [trunk.with_suffix("") / "subagents"])
    import_transcripts(store, [trunk])
    other = new_store(tmp_path / "other")
    import_transcripts(other, [trunk])
    import_transcripts(other, [alone])
    for one in (store, other):
        calls = [call_id for ids in call_ids(one).values() for call_id in ids]
        assert Counter(calls) == Counter(["a", "task-a", "task-c", "a1", "b1", "c1"])


def test_agents_nested_deep_are_placed_without_recursion(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / SESSION / "subagents"
    trunk = Script()
    trunk.prompt("go")
    trunk.call("use-0", "Task")
    trunk.write(tmp_path / f"{SESSION}.jsonl")
    for depth in range(1, 60):
        script = Script(isSidechain=True, agentId=f"agent{depth:02d}")
        script.prompt("go")
        script.call(f"use-{depth}", "Task")
        path = script.write(folder / f"agent-agent{depth:02d}.jsonl")
        path.with_suffix(".meta.json").write_text(json.dumps({"toolUseId": f"use-{depth - 1}"}))
    import_transcripts(store, [tmp_path])
    depths = [log[0]["details"]["session"]["depth"] for log in logs_of(store).values()]
    assert sorted(depths) == list(range(60))


def test_without_the_trunk_the_oldest_agent_is_its_child_and_the_others_follow(
    store: Store, tmp_path: Path
) -> None:
    trunk = family(tmp_path / "project")
    import_transcripts(store, [trunk.with_suffix("") / "subagents"])
    found = {
        key: (log[0]["details"]["session"]["parent_session_id"], len(calls_of(log)))
        for key, log in logs_of(store).items()
    }
    a, b = (child_session_id(SESSION, name) for name in "ab")
    assert found == {a: (SESSION, 1), b: (a, 1)}


def test_a_file_that_carries_records_of_another_session_feeds_both(
    store: Store, tmp_path: Path
) -> None:
    other = "99999999-2222-4333-8444-555555555555"
    first, second = simple(), simple(other)
    second.records[1]["message"]["content"] = [use("z")]
    second.records[2]["message"]["content"][0]["tool_use_id"] = "z"
    mixed = Script()
    mixed.records = first.records + second.records
    import_transcripts(store, [mixed.write(tmp_path / "mixed.jsonl")])
    assert states(import_transcripts(store, [second.write(tmp_path / "b.jsonl")])) == ["unchanged"]
    assert call_ids(store) == {SESSION: ["a"], other: ["z"]}


@pytest.mark.parametrize(
    "name", ["../../../escape", "/etc/passwd", "x" * 1_000_000, "con", "a\0b", "\u202e", "\ud800"]
)
def test_a_session_id_is_data_and_never_a_path(store: Store, tmp_path: Path, name: str) -> None:
    import_transcripts(store, [simple(name).write(tmp_path / "t.jsonl")])
    ((session_id, actions),) = logs_of(store).items()
    assert session_id == store_session_id(name)
    source = actions[0]["details"]["session"]["source"]
    assert len(source["session_id"]) <= 200
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and store.root not in p.parents]
    assert outside == [tmp_path / "t.jsonl"]
    assert import_transcripts(store, [tmp_path / "t.jsonl"]).added_count == 0


def test_a_large_output_goes_to_a_blob_whole(store: Store, tmp_path: Path) -> None:
    script = simple()
    output = "line of output\n" * 200_000
    script.records[2]["toolUseResult"] = {"stdout": output, "stderr": ""}
    import_transcripts(store, [script.write(tmp_path / "t.jsonl")])
    (call,) = calls_of(logs_of(store)[SESSION])
    reference = call["details"]["output_data"]
    (directory,) = store.session_directories()
    blob = (directory.path / "blobs" / reference["blob"]).read_bytes()
    assert json.loads(blob) == {"stdout": output, "stderr": ""}


def test_what_no_line_can_hold_is_reported_and_the_rest_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = simple()
    script.call("b", "Read")
    monkeypatch.setattr("provenance_log.claude_code.fields.NAME_LENGTH_MAX", 3_000_000)
    script.records[3]["message"]["content"][0]["name"] = "n" * 2_000_000
    report = import_transcripts(store, [script.write(tmp_path / "t.jsonl")])
    (complaint,) = report.not_written
    assert complaint.startswith(f"session {SESSION}, line 4: ")
    assert [c["details"]["call_id"] for c in calls_of(logs_of(store)[SESSION])] == ["a"]


def test_a_dry_run_says_what_would_be_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    script = simple()
    path = script.write(tmp_path / "t.jsonl", 2)
    before = snapshot(store)
    dry = import_transcripts(store, [path], is_dry_run=True)
    assert snapshot(store) == before
    real = import_transcripts(store, [path])
    assert (dry.added_count, dry.call_count) == (real.added_count, real.call_count)
    before = snapshot(store)
    dry = import_transcripts(store, [script.write(path)], is_dry_run=True)
    assert (states(dry), dry.call_count, snapshot(store)) == (["grown"], 1, before)


def test_an_import_that_failed_half_way_is_finished_by_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script()
    for number in range(900):
        script.prompt(f"prompt {number}")
    path = script.write(tmp_path / "t.jsonl")
    whole = new_store(tmp_path / "whole")
    import_transcripts(whole, [path])
    append_bytes, appends = files.append_bytes, iter(range(100))

    def full_disk(*arguments: Any, **keywords: Any) -> Any:
        if next(appends) == 2:
            raise StoreNotWritable("no space left")
        return append_bytes(*arguments, **keywords)

    monkeypatch.setattr(files, "append_bytes", full_disk)
    with pytest.raises(StoreNotWritable):
        import_transcripts(store, [path])
    assert 1 < len(logs_of(store)[SESSION]) < 901
    report = import_transcripts(store, [path])
    assert states(report) == ["grown"]
    assert log_bytes(store) == log_bytes(whole)


def test_imports_at_once_make_one_session_with_every_event_once(
    store: Store, tmp_path: Path
) -> None:
    paths = []
    for number in range(4):
        session_id = f"{number}1111111-2222-4333-8444-555555555555"
        paths.append(simple(session_id).write(tmp_path / f"{number}.jsonl"))
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: import_transcripts(store, paths), range(4)))
    assert sum(report.added_count for report in reports) == 4 * 4
    assert len(store.session_directories()) == 4
    for actions in logs_of(store).values():
        assert [action["action_id"] for action in actions] == [1, 2, 3, 4]


def test_sessions_of_one_minute_get_directories_of_their_own(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        session_id = f"{number}1111111-2222-4333-8444-555555555555"
        simple(session_id).write(tmp_path / f"{number}.jsonl")
    import_transcripts(store, [tmp_path])
    assert [one.name for one in store.session_directories()] == [
        "2026-02-01-10-00",
        "2026-02-01-10-00-2",
        "2026-02-01-10-00-3",
    ]
