"""The predecessor's queries: what each answers, as plain rows, as frames, and as Arrow tables."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from lab_cases import DESIGN, QUERY, READING, RETRY, at, make_lab
from looking_cases import STARTED_AT

from projections import questions
from projections.database import connect
from projections.looking import NoDatabaseYet
from projections.projector import catch_up
from projections.queries import ProvenanceQueries
from projections.rows import PackageMissing, Rows
from provenance_log.errors import SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from provenance_log.store import Store


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of `lab_cases`, which no test changes."""
    return make_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def queries(lab: Store) -> ProvenanceQueries:
    return ProvenanceQueries(lab)


def values(rows: Rows) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows]


def test_agent_statistics_count_open_sessions_as_neither_good_nor_bad(
    queries: ProvenanceQueries,
) -> None:
    found = queries.get_agent_statistics(days=None)

    assert found.columns == (
        *("agent_type", "executions", "avg_duration_ms", "max_duration_ms", "min_duration_ms"),
        *("successful", "failed"),
    )
    assert values(found) == [
        ("designer", 2, 7000.0, 10000, 4000, 1, 1),
        ("reader", 1, None, None, None, 0, 0),
    ]
    assert values(queries.get_agent_statistics("reader", days=None)) == values(found)[1:]
    assert values(queries.get_agent_statistics("nobody", None)) == []


def test_days_count_back_from_now(queries: ProvenanceQueries) -> None:
    age_days = (datetime.now(UTC) - STARTED_AT) / timedelta(days=1)
    hour = 1 / 24
    ask = queries.get_agent_statistics

    assert values(ask()) == values(ask(days=7)) == []
    assert len(ask(days=age_days + hour)) == len(ask(days=10**12)) == 2
    assert [row["agent_type"] for row in ask(days=age_days - hour / 2)] == ["reader"]
    assert len(queries.get_tool_call_statistics()) == 0
    assert len(queries.get_tool_call_statistics(days=age_days + hour)) == 2
    assert len(queries.get_decision_patterns()) == 0
    assert len(queries.get_decision_patterns(days=age_days + hour)) == 3


def test_tool_call_statistics_count_a_call_of_two_lines_once(queries: ProvenanceQueries) -> None:
    found = queries.get_tool_call_statistics(days=None)

    assert found.columns == (
        *("tool_type", "tool_name", "call_count", "avg_duration_ms", "cache_hits"),
        *("cache_misses", "successful", "failed"),
    )
    assert values(found) == [
        ("query", "KEGG", 3, 10.0, 1, 1, 2, 1),
        ("query", "Search", 2, 50.0, 0, 0, 1, 0),
    ]


def test_decision_patterns_come_in_one_order_also_where_counts_are_equal(
    queries: ProvenanceQueries,
) -> None:
    found = queries.get_decision_patterns(days=None)

    assert found.columns == ("agent_type", "decision_type", "branch_taken", "count")
    assert values(found) == [
        ("designer", "choice", "glucose", 2),
        ("designer", "choice", "methanol", 1),
        ("reader", "choice", "glucose", 1),
    ]
    assert values(queries.get_decision_patterns("reader", None)) == values(found)[2:]


def test_entity_provenance_has_one_row_per_link_newest_first(queries: ProvenanceQueries) -> None:
    found = queries.find_entity_provenance("ingredients", "glucose")

    assert found.columns == (
        *("session_id", "agent_type", "query", "start_time", "duration_ms", "success"),
        *("link_type", "timestamp"),
    )
    assert values(found) == [
        (RETRY, "designer", QUERY, at(0), 4000, False, "read", at(7)),
        (DESIGN, "designer", QUERY, at(0), 10000, True, "cite", at(5)),
        (DESIGN, "designer", QUERY, at(0), 10000, True, "read", at(5)),
    ]
    assert values(queries.find_entity_provenance("ingredients", "' OR 1=1 --")) == []


def test_recent_sessions_come_newest_first(queries: ProvenanceQueries) -> None:
    found = queries.get_recent_sessions()

    assert found.columns == (
        *("session_id", "agent_type", "query", "start_time", "end_time", "duration_ms"),
        *("success", "error_message"),
    )
    assert values(found) == [
        (READING, "reader", "what is there?", at(3600), None, None, None, None),
        (RETRY, "designer", QUERY, at(0), at(4), 4000, False, None),
        (DESIGN, "designer", QUERY, at(0), at(10), 10000, True, None),
    ]
    assert values(queries.get_recent_sessions("designer", limit=1)) == values(found)[1:2]
    assert values(queries.get_recent_sessions(limit=None)) == values(found)


def test_hierarchy_ends_where_parents_make_a_circle(queries: ProvenanceQueries) -> None:
    found = queries.get_session_hierarchy(DESIGN)

    assert found.columns == (
        *("session_id", "agent_type", "query", "parent_session_id", "depth", "duration_ms"),
        *("success", "level"),
    )
    assert values(found) == [
        (DESIGN, "designer", QUERY, READING, 9, 10000, True, 0),
        (RETRY, "designer", QUERY, DESIGN, 0, 4000, False, 1),
        (READING, "reader", "what is there?", RETRY, 0, None, None, 2),
    ]
    below = [row["session_id"] for row in queries.get_session_hierarchy("bbbb")]
    assert below == [RETRY, READING, DESIGN]


def test_hierarchy_goes_down_to_any_depth(store: Store) -> None:
    """Two hundred levels of two sessions each, one of which goes on."""
    catch_up(store)
    with connect(store.database, read_only=False) as connection:
        connection.execute(
            "INSERT INTO provenance_sessions BY NAME "
            "SELECT format('{:03d}{}', i, side) AS session_id, "
            "format('{:03d}a', i - 1) AS parent_session_id "
            "FROM range(200) AS _(i), (VALUES ('a'), ('b')) AS _(side)"
        )
        found = questions.session_hierarchy(connection, "000a")

    expected = [f"{level:03d}{side}" for level in range(200) for side in "ab"]
    assert [(row["session_id"], row["level"]) for row in found] == [
        (name, int(name[:3])) for name in expected if name != "000b"
    ]


def test_trace_has_every_row_of_the_session_in_the_order_of_its_log(
    queries: ProvenanceQueries,
) -> None:
    trace = queries.get_session_trace(DESIGN)

    session = trace["session"]
    assert (session["session_id"], session["success"]) == (DESIGN, True)
    assert session["kwargs"] == {"a": 1, "b": [2, {"c": None}]}
    assert session["start_time"] == at(0)
    assert [row["sequence_number"] for row in trace["events"]] == list(range(1, 11))
    assert [(row["tool_name"], row["status"]) for row in trace["tool_calls"]] == [
        ("KEGG", "success"),
        ("KEGG", "failure"),
        ("Search", "partial"),
        ("Search", "success"),
        ("Search", "skipped"),
    ]
    assert trace["tool_calls"][0]["input_params"] == {"compound": "C00031"}
    assert [row["branch_taken"] for row in trace["decisions"]] == ["glucose", "methanol", "glucose"]
    assert len(trace["transformations"]) == 0
    assert [row["link_type"] for row in trace["entity_links"]] == ["read", "cite"]


def test_comparison_is_by_value_and_knows_open_sessions(queries: ProvenanceQueries) -> None:
    assert queries.compare_sessions(DESIGN, RETRY) == {
        "inputs_differ": False,
        "agent_types_match": True,
        "duration_diff_ms": 6000,
        "both_successful": False,
        "event_count_diff": 7,
        "tool_call_count_diff": 3,
        "decision_count_diff": 3,
        "session_1": {
            "session_id": DESIGN,
            "agent_type": "designer",
            "duration_ms": 10000,
            "success": True,
        },
        "session_2": {
            "session_id": RETRY,
            "agent_type": "designer",
            "duration_ms": 4000,
            "success": False,
        },
    }
    with_open = queries.compare_sessions("latest", DESIGN)
    assert (with_open["duration_diff_ms"], with_open["both_successful"]) == (None, False)
    assert (with_open["inputs_differ"], with_open["agent_types_match"]) == (True, False)
    assert queries.compare_sessions(DESIGN, DESIGN)["both_successful"] is True


# The other forms of an answer.


def test_rows_are_a_sequence_of_dictionaries(queries: ProvenanceQueries) -> None:
    found = queries.get_recent_sessions()

    assert len(found) == 3
    assert found[-1]["session_id"] == DESIGN
    assert found[1:] == found.rows[1:] == list(found)[1:]
    assert not queries.get_recent_sessions("nobody")


def answers(queries: ProvenanceQueries) -> Mapping[str, Rows]:
    trace = queries.get_session_trace(DESIGN)
    return {
        "recent": queries.get_recent_sessions(),
        "agents": queries.get_agent_statistics(days=None),
        "tools": queries.get_tool_call_statistics(days=None),
        "decisions": queries.get_decision_patterns(days=None),
        "entity": queries.find_entity_provenance("ingredients", "glucose"),
        "hierarchy": queries.get_session_hierarchy(DESIGN),
        "none": queries.get_recent_sessions("nobody"),
        **{name: rows for name, rows in trace.items() if isinstance(rows, Rows)},
    }


def test_every_answer_is_the_same_as_a_pandas_frame(queries: ProvenanceQueries) -> None:
    for name, rows in answers(queries).items():
        frame = rows.df()

        assert list(frame.columns) == list(rows.columns), name
        plain = frame.astype(object).where(frame.notna(), None)
        assert plain.to_dict("records") == rows.rows, name


def test_types_of_a_frame_do_not_depend_on_its_rows(queries: ProvenanceQueries) -> None:
    full, empty = queries.get_recent_sessions().df(), queries.get_recent_sessions("nobody").df()

    assert dict(full.dtypes) == dict(empty.dtypes)
    assert full.dtypes.astype(str).to_dict() == {
        **dict.fromkeys(("session_id", "agent_type", "query", "error_message"), "object"),
        **dict.fromkeys(("start_time", "end_time"), "datetime64[us]"),
        "duration_ms": "Int64",
        "success": "boolean",
    }


def test_every_answer_is_the_same_as_an_arrow_table(queries: ProvenanceQueries) -> None:
    for name, rows in answers(queries).items():
        table = rows.arrow()

        assert table.column_names == list(rows.columns), name
        is_json = [type_name == "JSON" for type_name in rows.types]
        found = [
            {
                column: orjson.loads(value) if as_json and value is not None else value
                for (column, value), as_json in zip(row.items(), is_json, strict=True)
            }
            for row in table.to_pylist()
        ]
        assert found == rows.rows, name


@pytest.mark.parametrize(("package", "method"), [("pandas", "df"), ("pyarrow", "arrow")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    queries: ProvenanceQueries, monkeypatch: pytest.MonkeyPatch, package: str, method: str
) -> None:
    rows = queries.get_recent_sessions()
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(PackageMissing) as caught:
        getattr(rows, method)()

    assert str(caught.value) == f"{package} is not installed\nhint: run `pip install {package}`"


# Where a question goes.


def test_a_path_is_enough_and_nothing_is_held_between_questions(
    lab: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # away from any store
    for source in (lab.database, str(lab.database)):
        queries = ProvenanceQueries(source)
        directory = queries.get_session_trace("aaaa")["session"]["log"]
        assert len(queries.get_session_hierarchy(f"sessions/{directory}/")) == 3
        with connect(lab.database, read_only=False, wait_s=0):
            pass


def test_without_an_argument_the_store_here_is_asked(
    lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.sessions_dir)

    assert ProvenanceQueries().db_path == lab.database
    assert len(ProvenanceQueries().get_recent_sessions()) == 3


def test_what_can_not_be_answered_is_an_error(lab: Store, tmp_path: Path) -> None:
    for queries in (ProvenanceQueries(lab), ProvenanceQueries(lab.database)):
        for ask in (queries.get_session_trace, queries.get_session_hierarchy):
            with pytest.raises(SessionNotFound, match="no session nowhere"):
                ask("nowhere")
        with pytest.raises(SessionNotFound, match="no session nowhere"):
            queries.compare_sessions(DESIGN, "nowhere")
    with pytest.raises(NoDatabaseYet):
        ProvenanceQueries(tmp_path / "none.duckdb").get_recent_sessions()
    assert not (tmp_path / "none.duckdb").exists()
