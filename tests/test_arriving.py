"""A table that is not asked would have taken nothing, and a few rows arrive as many do."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projecting import LINES, action, cleared_tables, examples, session_start

from projections import database
from projections.arriving import ROWS_MAX, fed_tables
from projections.batch import BATCH_FIELDS, decode_lines
from projections.definitions import ACTION_TABLES
from provenance_log.reader import RawLine

if TYPE_CHECKING:
    from projections.columns import Fields

KINDS: dict[str, dict[str, Any]] = {
    **LINES,
    "start": session_start("s"),
    "decision of a call": {"details": {"decision_point": None}},
    "nested": {"details": {"input_params": {"decision_point": "p"}, "x": {"decision_point": 1}}},
    "text": {"details": {"call_id": 'a "decision_point": \x07 b'}},
    "no links": {"entity_links": []},
    "no type": {"event_type": None},
    "no call": {"event_type": "log", "event_name": "x", "details": {"decision_point": "p"}},
}


def rows_of(kinds: list[str]) -> list[tuple[Any, ...]]:
    lines = []
    for number, kind in enumerate(kinds, start=1):
        content = orjson.dumps(action(number, **KINDS[kind]))
        digest = hashlib.sha256(content).hexdigest()
        lines.append(RawLine(content, 0, number, len(content), digest, "a" * 64))
    rows, refused = decode_lines(lines, "s", "log")
    assert refused == []
    return rows


@examples(60)
@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=5))
def test_a_table_that_is_not_asked_selects_nothing(kinds: list[str]) -> None:
    rows = rows_of(kinds)
    connection = cleared_tables()
    connection.load("batch", BATCH_FIELDS, rows)
    for table in set(ACTION_TABLES) - set(fed_tables(rows)):
        assert connection.execute(table.sql) == []
    connection.drop("batch")


def test_a_tool_call_of_one_line_is_for_two_tables_and_many_lines_are_for_all() -> None:
    call = rows_of(["tool call"])
    assert [table.short_name for table in fed_tables(call)] == ["events", "tool_calls"]
    assert fed_tables(call * (ROWS_MAX + 1)) == ACTION_TABLES
    assert fed_tables([]) == ACTION_TABLES


TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1)


@examples(60)
@given(
    st.lists(st.tuples(TEXTS, NUMBERS, st.none() | st.integers(-(2**31), 2**31 - 1)), max_size=6)
)
def test_a_few_rows_become_the_table_that_they_become_through_arrow(
    rows: list[tuple[Any, ...]],
) -> None:
    fields: Fields = (("text", "text"), ("large", "int64"), ("small", "int32"))
    connection = cleared_tables()
    found = []
    for values_max in (1000, 0):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(database, "_VALUES_MAX", values_max)
            connection.load("loaded", fields, rows)
        found.append(connection.table("FROM loaded"))
    assert found[0] == found[1]
    assert list(found[0][2]) == rows
