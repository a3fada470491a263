"""The manifest: the keys of schema 1.0.0 with values of the log, in YAML that can't be misread."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.database import connect
from projections.facts import ENTRIES_MAX, SessionFacts, read_facts
from projections.manifest import TEXT_LENGTH_MAX, manifest_document, render_manifest
from projections.projector import catch_up
from projections.yaml_text import to_yaml
from provenance_log.marker import ownership_reason
from provenance_log.recording import SessionHeader, start_session
from provenance_log.store import initialise_store, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from provenance_log.store import Store

SESSION_ID = "7b1f6c1e-2a55-4d2c-9f0e-0d3a5d2f8a11"
STARTED = datetime(2026, 1, 11, 7, 8, 27, 663687, tzinfo=UTC)

# What some version of YAML takes for a boolean, a number, a time, nothing, or syntax.
MISREADABLE = [
    *("no", "No", "y", "on", "null", "~", "", " ", "1e3", "1_000", "0x1f", "0o17", "017", ".5"),
    *("12:30:45", "2026-01-11", ".inf", ".nan", "=", "<<", "- x", "a: b", "a #b", "# a", "*a"),
    *("&a", "!a", "%a", "@a", "`a", "|", ">", "? a", "[a", "{a", "'a", '"a', "a\n---\nb", "\t"),
    *("\x07", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\uffff", "😀", "a " * 200, "---"),
]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
texts = st.sampled_from(MISREADABLE) | any_text
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
documents = st.dictionaries(
    texts,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> SessionFacts:
    root = tmp_path_factory.mktemp("store") / "provenance"
    initialise_store(root)
    store = open_store(root)
    record_session(store)
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        (found,) = read_facts(connection, [SESSION_ID])
    return found


def record_session(store: Store) -> None:
    header = SessionHeader(
        session_id=SESSION_ID,
        agent_type="claude-code",
        query="Test provenance tracking",
        kwargs={"test": True},
        model="claude-sonnet-4-5",
        user_context={
            "user": "ann",
            "working_directory": "/lab",
            "git_branch": "main",
            "git_commit": "416fe11",
            "python_version": "3.11.7",
        },
        goals=["Test provenance tracking"],
        project="MicroGrow",
    )
    recording = start_session(store, header, started_at=STARTED)
    recording.append_many([{"timestamp": "2026-01-11T07:08:28.000000Z", **a} for a in ACTIONS])
    recording.append(
        {
            "timestamp": "2026-01-11T07:10:27.663687Z",
            **_action("execute", "AgentExecution", "lifecycle", {"success": True}),
            "event_name": "session_end",
        }
    )
    recording.close()


def _action(kind: str, tool: str, event_type: str, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": kind,
        "tool": tool,
        "status": "success",
        "event_type": event_type,
        "details": details,
    }


def _call(kind: str, tool: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**_action(kind, tool, "tool_call", {"input_params": params}), **more}


def _note(name: str, text: str) -> dict[str, Any]:
    return {**_action("analyze", "note", "annotation", {"text": text}), "event_name": name}


ACTIONS: list[dict[str, Any]] = [
    _call("read", "Read", {"file_path": "a.py"}, files_affected=["a.py"], duration_ms=3),
    _call("read", "Read", {"file_path": "a.py"}, files_affected=["a.py"], duration_ms=4),
    _call("search", "Grep", {"pattern": "def f"}),
    _call("modify", "Edit", {"file_path": "a.py"}, files_affected=["a.py"]),
    _call(
        *("modify", "Edit", {"file_path": "b.py"}),
        files_affected=["b.py"],
        status="failure",
        error={"code": "NOT_FOUND", "message": "no such text"},
    ),
    _call("create", "Write", {"file_path": "c.py"}, files_affected=["c.py"]),
    _call("execute", "Bash", {"command": "make test"}, duration_ms=1500),
    {
        **_call("query", "KEGGPathwayAPI", {"query": "map00010"}),
        "details": {"cache_hit": True, "input_params": {"query": "map00010"}},
        "entity_links": [{"entity_table": "pathways", "entity_id": "map00010", "link_type": "x"}],
    },
    _action(
        *("decision", "router", "decision"),
        {
            "decision_point": "which source",
            "branch_taken": "KEGG",
            "branches_available": ["KEGG", "MetaCyc"],
            "reason": "it is free",
        },
    ),
    _action("analyze", "pandas", "transformation", {"transformation_type": "filter"}),
    _note("finding", "XoxF needs Nd"),
    _note("recommendation", "load KG-Microbe"),
    _note("warning", "no network"),
    _note("goal", "publish"),
    _note("note", "done twice"),
]


def _usage(calls: int, **figures: int) -> dict[str, int]:
    usage = {"calls": calls, "failures": 0, "cache_hits": 0, "duration_ms": 0, "longest_ms": 0}
    return {**usage, **figures}


EXPECTED: dict[str, Any] = {
    "session": {
        "id": "claude-session-2026-01-11-07-08",
        "database_session_id": SESSION_ID,
        "date_started": "2026-01-11T07:08:27.663687Z",
        "date_ended": "2026-01-11T07:10:27.663687Z",
        "duration_minutes": 2.0,
        "model": "claude-sonnet-4-5",
        "user": "ann",
        "session_type": "agent_execution",
        "agent_type": "claude-code",
    },
    "user_context": {
        "working_directory": "/lab",
        "git_branch": "main",
        "git_commit_before": "416fe11",
        "git_commit_after": None,
        "python_version": "3.11.7",
        "project_status": "MicroGrow",
    },
    "agent_context": {
        "query": "Test provenance tracking",
        "kwargs": {"test": True},
        "parent_session_id": None,
        "depth": 0,
    },
    "goals": ["Test provenance tracking", "publish"],
    "results": {
        "success": True,
        "actions_performed": len(ACTIONS) + 2,
        "files_analyzed": 1,
        "files_created": 1,
        "files_modified": 1,
        "api_calls_made": 1,
        "cache_hits": 1,
        "notes": "done twice",
    },
    "action_summary": {
        "reads": {"total": 2, "files": ["a.py"]},
        "searches": {"total": 1, "patterns": ["def f"]},
        "analyses": {"total": 0},
        "modifications": {"total": 2, "files": ["a.py"]},
        "creations": {"total": 1, "files": ["c.py"]},
        "executions": {"total": 1, "commands": ["make test"]},
        "queries": {"total": 1, "apis": ["KEGGPathwayAPI"]},
        "decisions": {"total": 1, "key_decisions": ["which source → KEGG (it is free)"]},
        "transformations": {"total": 1, "transformation_types": ["filter"]},
    },
    "tool_usage": {
        "Edit": _usage(2, failures=1),
        "Read": _usage(2, duration_ms=7, longest_ms=4),
        "Bash": _usage(1, duration_ms=1500, longest_ms=1500),
        "Grep": _usage(1),
        "KEGGPathwayAPI": _usage(1, cache_hits=1),
        "Write": _usage(1),
    },
    "key_findings": ["XoxF needs Nd"],
    "recommendations": ["load KG-Microbe"],
    "errors": [
        {
            "action_id": 6,
            "timestamp": "2026-01-11T07:08:28.000000Z",
            "tool": "Edit",
            "code": "NOT_FOUND",
            "message": "no such text",
        }
    ],
    "warnings": ["no network"],
    "entity_links": {"pathways": ["map00010"]},
    "omitted": {},
    "state": "success",
    "tokens": {"input": 0, "output": 0, "cache_creation": 0, "cache_read": 0},
    "metadata": {
        "created_by": "provenance-log",
        "schema_version": "1.1.0",
        "hybrid_storage": True,
        "database_path": None,
        "file_session_dir": "sessions/2026-01-11-07-08",
    },
}


def test_manifest_holds_what_the_log_says(facts: SessionFacts) -> None:
    log = {
        "lines": len(ACTIONS) + 2,
        "bytes": facts.session["log_bytes"],
        "head": facts.session["log_head"],
        "unchained": 0,
        "quarantined": 0,
    }

    assert {**EXPECTED, "log": log} == manifest_document(facts)
    assert {**EXPECTED, "log": log} == yaml.safe_load(render_manifest(facts))


def test_every_key_of_the_predecessors_manifest_is_there(
    facts: SessionFacts, shared_data: Path
) -> None:
    sessions = shared_data / "microgrow" / ".claude" / "provenance" / "sessions"
    old = yaml.safe_load((sessions / "2026-01-11-07-08" / "manifest.yaml").read_bytes())
    new = manifest_document(facts)

    assert _keys(old) - _keys(new) == set()


def _keys(document: dict[str, Any]) -> set[str]:
    """Return the paths of the keys; below these two parts they are names of the data."""
    found = set()
    for key, value in document.items():
        found.add(key)
        if isinstance(value, dict) and key not in {"tool_usage", "entity_links", "kwargs"}:
            found |= {f"{key}.{inner}" for inner in _keys(value)}
    return found


def test_an_open_session_has_no_end_and_no_success(store: Store) -> None:
    start_session(store, SessionHeader("Agent", session_id=SESSION_ID)).close()
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        (found,) = read_facts(connection, [SESSION_ID])
    document = manifest_document(found)

    assert document["state"] == "open"
    assert document["session"]["date_ended"] is None
    assert document["session"]["duration_minutes"] is None
    assert document["results"]["success"] is None
    assert document["action_summary"]["executions"] == {"total": 0, "commands": []}


def test_long_lists_are_cut_and_what_is_left_out_is_counted(store: Store) -> None:
    recording = start_session(store, SessionHeader("Agent", session_id=SESSION_ID))
    count = ENTRIES_MAX + 7
    recording.append_many(
        [
            _call(
                *("read", f"Tool{number:03}", {"file_path": f"{number}.py"}),
                files_affected=[f"{number}.py"],
                status="failure" if number % 2 else "success",
                error={"code": "E", "message": "x" * 1000} if number % 2 else None,
            )
            for number in range(count)
        ]
        + [_note("finding", f"{number} {'é' * 1000}") for number in range(count)]
    )
    recording.close()
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        (found,) = read_facts(connection, [SESSION_ID])
    document = manifest_document(found)

    assert document["omitted"] == {"tool_usage": 7, "key_findings": 7}
    assert document["results"]["files_analyzed"] == len(range(0, count, 2))
    assert document["action_summary"]["reads"]["files"] == [f"{n}.py" for n in range(0, count, 2)]
    assert document["key_findings"] == [
        f"{number} {'é' * 1000}"[: TEXT_LENGTH_MAX - 1] + "…" for number in range(ENTRIES_MAX)
    ]
    assert len(document["errors"]) == len(range(1, count, 2))
    assert {len(error["message"]) for error in document["errors"]} == {TEXT_LENGTH_MAX}


def test_first_line_marks_the_file_as_ours_until_it_is_edited(facts: SessionFacts) -> None:
    content = render_manifest(facts)

    assert content.startswith(b"# provenance-log: generated from actions.jsonl; digest sha256:")
    assert ownership_reason(content) is None
    assert ownership_reason(content.replace(b"\n", b"\r\n")) is None
    assert ownership_reason(content + b"mine: 1\n") == (
        "it was edited after provenance-log wrote it"
    )
    assert ownership_reason(content.partition(b"\n")[2]) == ("it was not written by provenance-log")


@given(documents)
def test_yaml_reads_back_as_the_same_values(document: dict[str, Any]) -> None:
    """Invariant S4: no string becomes a boolean, a number, a time or syntax."""
    content = to_yaml(document)

    assert yaml.safe_load(content) == document
    if yaml.__with_libyaml__:
        assert yaml.load(content, Loader=yaml.CSafeLoader) == document


@settings(max_examples=50)
@given(documents)
def test_yaml_holds_no_tag_alias_or_hidden_character(document: dict[str, Any]) -> None:
    """Invariants S1 and S4: there is nothing in it that a reader acts on and a person can't see."""
    content = to_yaml(document)

    assert not any(
        isinstance(event, yaml.AliasEvent)
        or getattr(event, "anchor", None) is not None
        or (not isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None)
        for event in yaml.parse(content, Loader=yaml.SafeLoader)
    )
    text = content.decode()
    hidden = set("\x07\x7f\x85\u2028\u202e\ufeff\uffff\t")
    assert not hidden & set(text)


@pytest.mark.parametrize("text", [text for text in MISREADABLE if text != "a " * 200])
def test_text_that_some_parser_misreads_is_in_double_quotes(text: str) -> None:
    """Invariant S4, for parsers of YAML 1.2 too, which are not at hand here."""
    assert to_yaml({"key": text}).startswith(b'key: "')


def test_yaml_refuses_what_json_can_not_hold() -> None:
    with pytest.raises(TypeError, match="datetime has no place in a manifest"):
        to_yaml({"key": STARTED})


def test_equal_parts_are_written_out_each_time() -> None:
    shared = ["a"]

    assert to_yaml({"one": shared, "two": shared}) == b"one:\n- a\ntwo:\n- a\n"


def test_call_of_several_lines_counts_once_with_its_last_line(store: Store) -> None:
    recording = start_session(store, SessionHeader("Agent", session_id=SESSION_ID))
    pieces = [("c1", "failure", 1), ("c2", "success", 3), ("c1", "success", 2)]
    recording.append_many(
        [
            {
                **_action("execute", "Bash", "tool_call", {"call_id": call_id}),
                "status": status,
                "duration_ms": duration_ms,
            }
            for call_id, status, duration_ms in pieces
        ]
    )
    recording.close()
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        (found,) = read_facts(connection, [SESSION_ID])
    document = manifest_document(found)

    assert document["tool_usage"] == {"Bash": _usage(2, duration_ms=5, longest_ms=3)}
    assert document["action_summary"]["executions"]["total"] == 2
    assert document["errors"] == []
