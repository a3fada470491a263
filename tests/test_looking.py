"""What the looking commands are told: each question over a store whose answers are known."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from looking_cases import decision, make_store, message, record, tool_call

from projections import looking
from projections.database import Connection, connect
from projections.looking import (
    ActionRow,
    DecisionRow,
    FailureRow,
    FileRow,
    ModelRow,
    NoDatabaseYet,
    SessionView,
    Some,
    ToolRow,
)
from projections.projector import catch_up
from provenance_log.errors import SessionNotFound
from provenance_log.store import Store

FIRST = "11111111-0000-4000-8000-000000000001"
SECOND = "22222222-0000-4000-8000-000000000002"
AT_5 = datetime(2026, 1, 31, 10, 0, 5)  # noqa: DTZ001 - times of the tables are naive UTC
AT_7 = datetime(2026, 1, 31, 10, 0, 7)  # noqa: DTZ001 - as above

NO_ENTRY = {"message": "no such file", "code": "ENOENT"}
ACTIONS = [
    tool_call("Read", {"file_path": "a.py"}, duration_ms=10, files_affected=["a.py"]),
    tool_call("Read", {"file_path": "b.py"}, duration_ms=30, files_affected=["b.py", "a.py"]),
    tool_call("Read", {"file_path": "c.py"}, status="failure", duration_ms=None, error=NO_ENTRY),
    tool_call(
        "Edit",
        {"file_path": "a.py"},
        action_type="modify",
        duration_ms=200,
        files_affected=["a.py"],
    ),
    tool_call("Bash", {"command": "make\n  test"}, action_type="execute"),
    decision("which way?", "left", "shorter"),
    message("m1", "large", 10),
    message("m1", "large", 25),
    message("m2", "small", 3),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two sessions, projected: one that ended well, and a later one that is open."""
    store = make_store(tmp_path_factory.mktemp("looking"))
    record(store, ACTIONS, session_id=FIRST, success=True, goals=["find it"], model="large")
    record(
        store,
        [tool_call("Read", {"file_path": "z.py"}, files_affected=["z.py", "a.py"])],
        session_id=SECOND,
        started_at=datetime(2026, 2, 1, tzinfo=UTC),
        agent_type="other",
        query="and then?",
        parent_session_id=FIRST,
    )
    catch_up(store)
    return store


@pytest.fixture
def connection(filled: Store) -> Iterator[Connection]:
    """The database of `filled`, open for reading."""
    with connect(filled.database, read_only=True) as connection:
        yield connection


def view_of(connection: Connection, session_id: str) -> SessionView:
    return looking.session_view(connection, session_id, action_limit=50)


def test_sessions_come_newest_first_with_their_figures(connection: Connection) -> None:
    found = looking.sessions(connection)

    assert [row.session_id for row in found.rows] == [SECOND, FIRST]
    first = found.rows[1]
    assert (first.state, first.agent_type, first.query) == ("success", "tester", "what is there?")
    assert (first.action_count, first.tool_call_count, first.failure_count) == (11, 5, 1)
    assert (first.input_tokens, first.output_tokens) == (10, 28)
    assert first.token_count == 10 + 28 + 200 + 2000
    assert found.rows[0].state == "open"
    assert found.rows[0].duration_ms is None


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"agent": "tester"}, [FIRST]),
        ({"agent": "nobody"}, []),
        ({"state": "open"}, [SECOND]),
        ({"since": datetime(2026, 1, 31, 12)}, [SECOND]),  # noqa: DTZ001 - as in the tables
        ({"agent": "tester", "state": "open"}, []),
    ],
)
def test_filters_of_sessions_are_joined_by_and(
    connection: Connection, filters: dict[str, str], expected: list[str]
) -> None:
    found = looking.sessions(connection, **filters)  # type: ignore[arg-type]

    assert [row.session_id for row in found.rows] == expected


def test_a_limit_leaves_out_the_oldest_and_tells_how_many_there_are(
    connection: Connection,
) -> None:
    found = looking.sessions(connection, limit=1)

    assert [row.session_id for row in found.rows] == [SECOND]
    assert found.count == 2


def test_a_short_id_grows_until_no_other_session_begins_like_it(store: Store) -> None:
    ids = ("abcdefgh-1", "abcdefgh-2", "zyxwvuts-1", "abcdefgh-22", "short")
    for session_id in ids:
        record(store, session_id=session_id)
    catch_up(store)

    with connect(store.database, read_only=True) as connection:
        short_ids = looking.short_ids(connection, ids)

    assert short_ids == {
        "abcdefgh-1": "abcdefgh-1",
        "abcdefgh-2": "abcdefgh-2",
        "zyxwvuts-1": "zyxwvuts",
        "abcdefgh-22": "abcdefgh-22",
        "short": "short",
    }


def test_the_view_of_a_session_has_its_header_decoded(connection: Connection) -> None:
    view = view_of(connection, FIRST)

    assert view.session["goals"] == ["find it"]
    assert view.session["kwargs"] == {}
    assert [child.session_id for child in view.children] == [SECOND]


def test_tools_count_calls_failures_and_the_durations_that_are_known(
    connection: Connection,
) -> None:
    assert view_of(connection, FIRST).tools == (
        ToolRow("Read", 3, 1, 20, 29, 40),
        ToolRow("Bash", 1, 0, 10, 10, 10),
        ToolRow("Edit", 1, 0, 200, 200, 200),
    )


def test_a_call_with_several_lines_counts_once_with_its_last_status(store: Store) -> None:
    started = tool_call("Bash", {"command": "x"}, status="partial", duration_ms=None)
    ended = tool_call("Bash", {"command": "x"}, status="failure", duration_ms=70)
    for action in (started, ended):
        action["details"]["call_id"] = "call-1"
    record(store, [started, ended], session_id=FIRST)
    catch_up(store)

    with connect(store.database, read_only=True) as connection:
        view = view_of(connection, FIRST)

    assert view.tools == (ToolRow("Bash", 1, 1, 70, 70, 70),)


def test_failures_and_decisions_say_what_and_why(connection: Connection) -> None:
    view = view_of(connection, FIRST)

    assert view.failures == Some((FailureRow(4, AT_5, "Read", "ENOENT", "no such file"),), 1)
    assert view.decisions == Some(
        (DecisionRow(7, AT_7, "choice", "which way?", "left", "shorter"),), 1
    )


def test_files_are_ordered_by_how_often_actions_name_them(connection: Connection) -> None:
    assert view_of(connection, FIRST).files == Some(
        (FileRow("a.py", 3, 1, 1), FileRow("b.py", 1, 0, 1)), 2
    )


def test_a_row_limit_keeps_the_count_of_all(connection: Connection) -> None:
    view = looking.session_view(connection, FIRST, action_limit=1, row_limit=1)

    assert (len(view.files.rows), view.files.count) == (1, 2)


def test_actions_are_the_last_or_the_first_in_log_order(connection: Connection) -> None:
    last = looking.session_view(connection, FIRST, action_limit=3)
    first = looking.session_view(connection, FIRST, action_limit=2, from_start=True)

    assert [row.action_id for row in last.actions] == [9, 10, 11]
    assert [row.action_id for row in first.actions] == [1, 2]
    assert first.actions[1] == ActionRow(
        2, AT_5, "tool_call", "read", "Read", "success", 10, "a.py"
    )


def test_the_subject_is_the_one_thing_an_action_is_about(connection: Connection) -> None:
    subjects = [row.subject for row in view_of(connection, FIRST).actions]

    assert subjects == [
        "what is there?",
        "a.py",
        "b.py",
        "c.py",
        "a.py",
        "make\n  test",
        "which way?: left",
        "hello",
        "hello",
        "hello",
        "session_end",
    ]


def test_a_line_that_stands_twice_in_a_log_is_shown_twice_and_not_four_times(
    store: Store,
) -> None:
    name = record(store, [tool_call("Read", {"file_path": "a"})], session_id=FIRST)
    log = store.sessions_dir / name / "actions.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines, lines[-1]]))
    catch_up(store)

    with connect(store.database, read_only=True) as connection:
        actions = view_of(connection, FIRST).actions

    assert [row.subject for row in actions] == ["what is there?", "a", "a"]


def test_an_unknown_session_is_not_found(connection: Connection) -> None:
    with pytest.raises(SessionNotFound):
        view_of(connection, "no such id")


def test_figures_of_the_store_add_up(connection: Connection) -> None:
    figures = looking.store_figures(connection)

    totals = figures.totals
    assert (totals.session_count, totals.open_count, totals.failed_session_count) == (2, 1, 0)
    assert (totals.action_count, totals.tool_call_count, totals.decision_count) == (13, 6, 1)
    assert sum(row.call_count for row in figures.tools) == totals.tool_call_count
    assert sum(row.action_count for row in figures.action_types) == totals.action_count
    assert sum(row.session_count for row in figures.agents) == totals.session_count
    assert figures.files.rows[0] == FileRow("a.py", 4, 1, 2)
    assert figures.models == (
        ModelRow("large", 1, 5, 25, 100, 1000),
        ModelRow("small", 1, 5, 3, 100, 1000),
    )
    assert sum(row.output_tokens or 0 for row in figures.models) == totals.output_tokens


def test_an_empty_store_has_figures_of_zero(store: Store) -> None:
    catch_up(store)

    with connect(store.database, read_only=True) as connection:
        figures = looking.store_figures(connection)

    assert figures.totals.session_count == 0
    assert figures.totals.log_bytes == 0
    assert figures.tools == ()
    assert looking.Some((), 0) == figures.files


def test_a_store_that_was_never_projected_says_what_to_run(store: Store) -> None:
    with pytest.raises(NoDatabaseYet) as caught:
        looking.open_database(store.database, wait_s=0)

    assert caught.value.path == store.database
    assert caught.value.hint == "run `provlog project` to make it"


def test_a_database_with_only_tables_of_others_counts_as_none_yet(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "own.duckdb"
    with connect(path, read_only=False) as connection:
        connection.execute("CREATE TABLE provenance_sessions AS SELECT 1 AS mine")

    with pytest.raises(NoDatabaseYet):
        looking.open_database(path, wait_s=0)


def test_tables_of_another_definition_are_not_answered_from(store: Store) -> None:
    catch_up(store)
    with connect(store.database, read_only=False) as connection:
        connection.execute(
            "UPDATE provenance_definitions SET fingerprint = 'old' WHERE name = 'provenance_events'"
        )

    with pytest.raises(looking.DatabaseStale, match="provenance_events"):
        looking.open_database(store.database, wait_s=0)
