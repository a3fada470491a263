"""A line becomes a row of `batch`, or a row of the quarantine; a column becomes Arrow buffers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projecting import action, cleared_tables

from projections.batch import BATCH_FIELDS, QUARANTINE_FIELDS, decode_lines, refuse_row
from projections.columns import Kind
from provenance_log.format import GENESIS_PREV, READ_LINE_BYTES_MAX
from provenance_log.reader import RawLine

PREV = "a" * 64


def raw_line(content: bytes, number: int = 7, prev: str = PREV) -> RawLine:
    return RawLine(content, 1000, number, len(content), hashlib.sha256(content).hexdigest(), prev)


def decoded(value: dict[str, Any], **raw: Any) -> dict[str, Any]:
    """The row of `batch` that a line gives, by column."""
    rows, refused = decode_lines([raw_line(orjson.dumps(value), **raw)], "session", "log")
    assert refused == []
    return dict(zip([name for name, _ in BATCH_FIELDS], rows[0], strict=True))


def test_every_key_of_a_line_is_in_its_row() -> None:
    value = action(
        3,
        duration_ms=12,
        read_only=True,
        context={"git_branch": "main"},
        details={"call_id": "c", "input_params": {"path": "a"}, "output_data": [1], "cwd": "/"},
        files_affected=["a"],
        error={"message": "no"},
        entity_links=[{"entity_id": "e"}],
        prev=PREV,
    )
    line = orjson.dumps(value)
    assert decoded(value) == {
        "session_id": "session",
        "log": "log",
        "line_number": 7,
        "line_offset": 1000,
        "line_bytes": len(line),
        "line_hash": hashlib.sha256(line).hexdigest(),
        "chained": True,
        "event_id": "event-3",
        "event_type": "tool_call",
        "event_name": "Read",
        "timestamp": 1767323045000003,
        "sequence_number": 3,
        "action_type": "read",
        "tool": "Read",
        "status": "success",
        "duration_ms": 12,
        "read_only": True,
        "context": b'{"git_branch":"main"}',
        "details": b'{"call_id":"c","cwd":"/"}',
        "input_params": b'{"path":"a"}',
        "output_data": b"[1]",
        "files_affected": b'["a"]',
        "error": b'{"message":"no"}',
        "entity_links": b'[{"entity_id":"e"}]',
    }


def test_input_and_output_stay_in_the_details_of_what_is_no_tool_call() -> None:
    row = decoded(action(1, event_type="log", details={"input_params": 1, "output_data": 2}))
    assert (row["details"], row["input_params"], row["output_data"]) == (
        b'{"input_params":1,"output_data":2}',
        None,
        None,
    )


@pytest.mark.parametrize(
    ("action_type", "tool", "event_type"),
    [
        ("query", "KEGGPathwayAPI", "tool_call"),
        ("decision", "Planner", "decision"),
        ("execute", "AgentExecution", "lifecycle"),
    ],
)
def test_a_line_of_schema_1_0_0_is_taken_and_is_unchained(
    action_type: str, tool: str, event_type: str
) -> None:
    value = action(1, type=action_type, tool=tool, event_type=None, event_name=None)
    row = decoded(value | {"details": {"query": "q"}})
    assert (row["event_type"], row["event_name"], row["chained"]) == (event_type, tool, False)


def test_a_line_without_an_event_id_gets_one_of_its_place() -> None:
    """C5: the id follows from session and line, so a rebuild gives the same."""
    value = action(1, database_event_id=None)
    first, again, next_line = (decoded(value, number=n)["event_id"] for n in (1, 1, 2))
    assert first == again != next_line


def test_a_first_line_that_names_the_genesis_is_chained() -> None:
    value = action(1, prev=GENESIS_PREV)
    assert decoded(value, number=1, prev=GENESIS_PREV)["chained"] is True


NOT_A_LINE = {
    "empty": b"",
    "not_utf8": b'{"a": "\xff"}',
    "not_json": b'{"a":',
    "not_object": b"[1]",
    "lone_surrogate": b'{"a": "\\ud800"}',
    "control_byte": b'{"a": "\x01"}',
    "too_deep": b'{"a":' * 200 + b"1" + b"}" * 200,
    "missing_key": b"{}",
    "wrong_type": orjson.dumps(action(1, tool=5)),
    "number_out_of_range": orjson.dumps(action(2**31)),
}


@pytest.mark.parametrize("reason", NOT_A_LINE)
def test_what_is_no_action_is_quarantined_with_its_place_and_reason(reason: str) -> None:
    """B3: an undecodable line is kept by place, length and hash."""
    content = NOT_A_LINE[reason]
    rows, refused = decode_lines([raw_line(content)], "session", "log")
    row = dict(zip([name for name, _ in QUARANTINE_FIELDS], refused[0], strict=True))
    detail = row.pop("detail")
    assert rows == []
    assert detail
    assert row == {
        "session_id": "session",
        "log": "log",
        "line_number": 7,
        "line_offset": 1000,
        "line_bytes": len(content),
        "reason": reason,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_line_too_long_to_be_kept_is_quarantined() -> None:
    """B3, B11: its length and hash are known though its bytes were never held."""
    raw = RawLine(None, 0, 1, READ_LINE_BYTES_MAX + 1, "f" * 64, GENESIS_PREV)
    rows, refused = decode_lines([raw], "session", "log")
    assert rows == []
    assert refused[0][:6] == ("session", "log", 1, 0, READ_LINE_BYTES_MAX + 1, "too_long")


def test_a_line_that_sql_refuses_keeps_its_place_and_hash() -> None:
    rows, _ = decode_lines([raw_line(orjson.dumps(action(1)))], "session", "log")
    refused = refuse_row(rows[0], "sql_error", "x" * 1000)
    assert refused[:6] == (*rows[0][:5], "sql_error")
    assert refused[6:] == ("x" * 500, rows[0][5])


TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "json": st.none() | st.text(st.characters(exclude_categories=["Cs"])).map(orjson.dumps),
    "int32": st.none() | st.integers(-(2**31), 2**31 - 1),
    "int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "timestamp": st.none() | st.integers(-(10**15), 10**15),
    "boolean": st.none() | st.booleans(),
}


@given(st.lists(st.tuples(*VALUES.values()), max_size=40))
def test_values_come_back_from_the_database_as_they_were(rows: list[tuple[Any, ...]]) -> None:
    fields = tuple((kind, kind) for kind in VALUES)
    connection = cleared_tables()
    connection.load("loaded", fields, rows)
    names = ", ".join(f'epoch_us("{k}")' if k == "timestamp" else f'"{k}"' for k in VALUES)
    found = connection.execute(f"SELECT {names} FROM loaded")
    texts = [
        tuple(value.decode() if isinstance(value, bytes) else value for value in row)
        for row in rows
    ]
    assert found == texts


def test_json_columns_have_the_type_of_schema_1_0_0() -> None:
    tables = cleared_tables()
    tables.load("loaded", (("details", "json"),), [(b'{"a":[1]}',)])
    found = tables.execute("SELECT typeof(details), details -> '$.a' FROM loaded")
    assert found == [("JSON", "[1]")]


def test_the_chain_of_a_document_from_the_test_suite_is_json(shared_data: Path) -> None:
    """Every document that Python's own parser takes as an object is a row or has a reason."""
    for path in sorted((shared_data / "jsontestsuite").glob("y_object*.json")):
        content = path.read_bytes().replace(b"\n", b" ")
        json.loads(content)
        rows, refused = decode_lines([raw_line(content)], "session", "log")
        assert rows == []
        assert [row[5] for row in refused] == ["missing_key"], path.name
