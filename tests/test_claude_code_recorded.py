"""Imports of recorded sessions, against counts made without any code of ours."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from imported_sessions import Action, calls_of, log_bytes, logs_of, new_store, snapshot, states

from provenance_log.claude_code.actions import store_session_id
from provenance_log.claude_code.importing import ImportReport, import_transcripts
from provenance_log.store import Store


@pytest.fixture(scope="module")
def transcripts(shared_data: Path) -> Path:
    return shared_data / "claude-code" / "transcripts"


@pytest.fixture(scope="module")
def imported(
    transcripts: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, ImportReport, dict[str, list[Action]]]:
    """All recorded transcripts in one store; tests only read it or import the same again."""
    store = new_store(tmp_path_factory.mktemp("imported"))
    report = import_transcripts(store, [transcripts])
    return store, report, logs_of(store)


Imported = tuple[Store, ImportReport, dict[str, list[Action]]]


def values_of(path: Path) -> list[Any]:
    """Every JSON value of a file, read without any code of ours."""
    decoder, values = json.JSONDecoder(), []
    for line in path.read_text("utf-8").split("\n"):
        rest = line.strip()
        while rest:
            value, end = decoder.raw_decode(rest)
            values.append(value)
            rest = rest[end:].strip()
    return values


def uses_in(message: dict[str, Any]) -> set[str]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return {block["id"] for block in blocks if block["type"] == "tool_use"}


@pytest.fixture(scope="module")
def counted(transcripts: Path) -> dict[str, tuple[str, set[str], set[str]]]:
    """Of each file, by its stem: the session, the main thread's calls, those of subagents."""
    found = {}
    for path in sorted(transcripts.iterdir()):
        main, sub, session_id = set(), set(), ""
        for value in values_of(path):
            session_id = session_id or value.get("sessionId", "")
            if value["type"] == "assistant":
                main |= uses_in(value["message"])
            elif value["type"] == "progress" and value["data"]["type"] == "agent_progress":
                sub |= uses_in(value["data"]["message"]["message"])
        found[path.name.removesuffix("_full.jsonl")] = (session_id, main, sub)
    return found


def test_every_recorded_call_is_in_its_sessions_log_once(
    imported: Imported, counted: dict[str, tuple[str, set[str], set[str]]]
) -> None:
    _store, report, logs = imported
    assert states(report) == ["new"] * len(counted)
    assert set(logs) == {session_id for session_id, _, _ in counted.values()}
    for session_id, main, sub in counted.values():
        calls = calls_of(logs[session_id])
        by_subagents = [c["details"]["call_id"] for c in calls if "agent_id" in c["details"]]
        by_main = [c["details"]["call_id"] for c in calls if "agent_id" not in c["details"]]
        assert Counter(by_main) == Counter(main), session_id
        assert Counter(by_subagents) == Counter(sub), session_id
    totals = [sum(len(one[part]) for one in counted.values()) for part in (1, 2)]
    assert report.call_count == sum(totals)
    assert totals == [2668, 527]


def test_importing_again_adds_nothing_and_touches_no_file(
    imported: Imported, transcripts: Path
) -> None:
    store, report, _logs = imported
    before = snapshot(store)
    again = import_transcripts(store, [transcripts])
    assert again.added_count == 0
    assert states(again) == ["unchanged"] * len(report.sessions)
    assert snapshot(store) == before


def test_inputs_and_outputs_are_kept_whole(imported: Imported, transcripts: Path) -> None:
    _store, _report, logs = imported
    checked = 0
    for path in sorted(transcripts.iterdir())[::10]:
        values = values_of(path)
        session_id = next(v["sessionId"] for v in values if "sessionId" in v)
        details = {c["details"]["call_id"]: c["details"] for c in calls_of(logs[session_id])}
        for value in values:
            message = value.get("message")
            content = message.get("content") if isinstance(message, dict) else None
            for block in content if isinstance(content, list) else []:
                if block["type"] == "tool_use":
                    assert details[block["id"]]["input_params"] == block["input"]
                elif block["type"] == "tool_result" and block["tool_use_id"] in details:
                    output = value.get("toolUseResult") or block["content"]
                    assert details[block["tool_use_id"]]["output_data"] == output
                    checked += 1
    assert checked > 100


def metadata_of(shared_data: Path, stem: str) -> dict[str, Any] | None:
    path = shared_data / "claude-code" / "metadata" / f"{stem}_metadata.json"
    return json.loads(path.read_bytes()) if path.exists() else None


def test_tokens_equal_what_another_program_counted(
    imported: Imported, counted: dict[str, tuple[str, set[str], set[str]]], shared_data: Path
) -> None:
    """Where the other program began to count in the middle of a session, nothing can be said."""
    logs = imported[2]
    compared = 0
    for stem, (session_id, _, _) in counted.items():
        metadata = metadata_of(shared_data, stem) or {}
        theirs = metadata.get("token_usage")
        if not theirs or metadata.get("checkpoint_transcript_start"):
            continue
        usage = {
            a["details"]["message_id"]: a["details"]["usage"]
            for a in logs[session_id]
            if a.get("event_name") == "assistant_message"
            and "usage" in a["details"]
            and "agent_id" not in a["details"]
        }
        ours = Counter[str]()
        for one in usage.values():
            ours.update(one)
        assert [
            ours["input_tokens"],
            ours["output_tokens"],
            ours["cache_creation_input_tokens"],
            ours["cache_read_input_tokens"],
        ] == [
            theirs["input_tokens"],
            theirs["output_tokens"],
            theirs["cache_creation_tokens"],
            theirs["cache_read_tokens"],
        ], stem
        compared += 1
    assert compared > 20


def written_below(actions: list[Action]) -> set[str]:
    """The files that calls created or modified, relative to the top working directory."""
    folders = {a["context"]["working_directory"] for a in actions if "context" in a}
    written = set()
    for call in calls_of(actions):
        is_done = call["status"] in {"success", "partial"}
        if call["type"] in {"create", "modify"} and is_done:
            for path in call.get("files_affected", []):
                inside = [path[len(one) + 1 :] for one in folders if path.startswith(one + "/")]
                written |= {max(inside, key=len)} if inside else set()
    return written


def test_files_written_agree_with_what_another_program_saw(
    imported: Imported, counted: dict[str, tuple[str, set[str], set[str]]], shared_data: Path
) -> None:
    """The other program watched the work tree: where it saw more, no tool of the agent wrote it.

    It saw less where a file was changed back, committed before it looked, or not tracked.
    """
    logs = imported[2]
    verdicts = Counter[str]()
    for stem, (session_id, _, _) in counted.items():
        metadata = metadata_of(shared_data, stem)
        if metadata is None:
            continue
        theirs = set(metadata["files_touched"] or [])
        ours = written_below(logs[session_id])
        verdicts["equal" if ours == theirs else "they saw more" if ours < theirs else "other"] += 1
        tools = [c for c in calls_of(logs[session_id]) if c["type"] in {"create", "modify"}]
        for path in theirs - ours:
            about = [c for c in tools if str(c["details"]["input_params"]).find(path) >= 0]
            assert all(c["status"] in {"skipped", "failure"} for c in about), (stem, path)
    print(dict(verdicts))
    assert verdicts["equal"] > 0.7 * sum(verdicts.values())


def is_typed(record: Any) -> bool:
    """Whether a record is what a person typed, in the words of this test."""
    content: Any = record["message"].get("content") if record["type"] == "user" else None
    if record.get("isMeta") or record.get("isCompactSummary"):
        return False
    if isinstance(content, list):
        if any(block["type"] != "text" for block in content):
            return False
        content = "".join(block["text"] for block in content)
    return bool(content) and not content.startswith(("<", "[Request interrupted", "Caveat"))


def test_prefixes_that_end_with_a_turn_give_the_same_bytes_as_the_whole(
    transcripts: Path, tmp_path: Path
) -> None:
    chance = random.Random(11)
    checked = 0
    for path in sorted(transcripts.iterdir(), key=lambda one: one.stat().st_size)[::7]:
        lines = path.read_bytes().splitlines(keepends=True)
        ends = [i for i, line in enumerate(lines) if i and is_typed(loads_first(line))]
        if path.stat().st_size > 2_000_000:
            continue
        growing, whole = (new_store(tmp_path / path.stem / name) for name in "ab")
        copy = tmp_path / path.name
        for end in sorted(chance.sample(ends, min(4, len(ends)))):
            copy.write_bytes(b"".join(lines[:end]))
            import_transcripts(growing, [copy])
            checked += 1
        import_transcripts(growing, [path])
        import_transcripts(whole, [path])
        assert log_bytes(growing) == log_bytes(whole), path.name
    assert checked > 10


def loads_first(line: bytes) -> Any:
    return json.JSONDecoder().raw_decode(line.decode())[0]


def test_any_prefix_then_the_whole_gives_every_call_once_with_its_result(
    transcripts: Path, tmp_path: Path
) -> None:
    chance = random.Random(7)
    for path in sorted(transcripts.iterdir(), key=lambda one: one.stat().st_size)[3:30:4]:
        content = path.read_bytes()
        store, whole = (new_store(tmp_path / path.stem / name) for name in "ab")
        copy = tmp_path / path.name
        for size in sorted(chance.sample(range(len(content)), 3)):
            copy.write_bytes(content[:size])
            import_transcripts(store, [copy])
        import_transcripts(store, [path])
        import_transcripts(whole, [path])
        (grown,), (at_once,) = logs_of(store).values(), logs_of(whole).values()
        assert completed(grown) == completed(at_once), path.name
        assert import_transcripts(store, [path]).added_count == 0
        copy.write_bytes(content[: len(content) // 2])
        assert import_transcripts(store, [copy]).added_count == 0


def completed(actions: list[Action]) -> Counter[str]:
    """Each call's final line, each prompt and note: what no longer changes."""
    final = [
        {key: value for key, value in action.items() if key not in {"action_id", "prev"}}
        for action in actions
        if not action["details"].get("pending") and action.get("event_name") != "assistant_message"
    ]
    for action in final[1:]:
        action["details"].pop("related_event_id", None)
    return Counter(json.dumps(action, sort_keys=True) for action in final[1:])


def test_copies_of_parts_of_a_session_give_their_union(shared_data: Path, tmp_path: Path) -> None:
    """The six snapshots are consecutive parts of one session, two of them twice."""
    folder = shared_data / "claude-code" / "incremental"
    paths = sorted(folder.rglob("*.jsonl"))
    uses = set().union(
        *(uses_in(v["message"]) for p in paths for v in values_of(p) if v["type"] == "assistant")
    )
    together, one_by_one, backwards = (new_store(tmp_path / name) for name in "abc")
    import_transcripts(together, [folder])
    for path in paths:
        import_transcripts(one_by_one, [path])
    for path in reversed(paths):
        import_transcripts(backwards, [path])
    for store in (together, one_by_one, backwards):
        ((session_id, actions),) = logs_of(store).items()
        assert session_id == paths[0].parent.name
        done = [c for c in calls_of(actions) if not c["details"].get("pending")]
        assert Counter(c["details"]["call_id"] for c in done) == Counter(uses)


def test_other_files_are_refused_and_the_rest_is_imported(
    shared_data: Path, tmp_path: Path
) -> None:
    store = new_store(tmp_path)
    folder = shared_data / "claude-code"
    report = import_transcripts(store, [folder / "not_claude", folder / "small"])
    refused = [(str(one.path), one.line, one.offset) for one in report.refused]
    others = sorted(folder.glob("not_claude/*")) + sorted(folder.glob("small/**/sample_[cp]*"))
    assert refused == [(str(path), 1, 0) for path in others]
    assert all(one.hint for one in report.refused)
    assert set(logs_of(store)) == {
        store_session_id(name)
        for name in (
            *("edge_cases", "test_session", "session_b", "todowrite_session", "test-session-id"),
        )
    }
