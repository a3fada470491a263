"""The SQL console answers what is read, and refuses what writes, reaches out or never ends."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from looking_cases import make_store, record, tool_call

from projections.console import Answer, Console, QueryRefused
from projections.database import connect
from projections.printing import csv_text, json_text, json_value
from projections.projector import catch_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from provenance_log.store import Store


def make_filled_store(directory: Path) -> Store:
    """Make a store with one projected session of one tool call."""
    store = make_store(directory)
    record(store, [tool_call("Read", {"file_path": "a.py"})], session_id="s1", success=True)
    catch_up(store)
    return store


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose database each test opens for itself."""
    return make_filled_store(tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One console for all the questions that leave no trace."""
    store = make_filled_store(tmp_path_factory.mktemp("shared"))
    with connect(store.database, read_only=True) as connection:
        yield Console(connection)


@contextmanager
def console_of(store: Store) -> Iterator[Console]:
    with connect(store.database, read_only=True) as connection:
        yield Console(connection)


def ask(console: Console, sql: str, *, row_limit: int | None = 100) -> Answer:
    return console.ask(sql, row_limit=row_limit, timeout_s=20)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT session_id FROM provenance_sessions",
        "FROM provenance_sessions SELECT session_id;",
        "WITH s AS (FROM provenance_sessions) SELECT session_id FROM s -- the end",
        "SELECT 's1' AS session_id",
        "VALUES ('s1')",
        "SELECT * FROM query('SELECT session_id FROM provenance_sessions')",
    ],
)
def test_a_reading_statement_is_answered(console: Console, sql: str) -> None:
    assert ask(console, sql).rows == [("s1",)]


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "DESCRIBE provenance_events",
        "SUMMARIZE provenance_events",
        "EXPLAIN SELECT 1",
        "PIVOT provenance_events ON tool USING count(*)",
        "TABLE provenance_sessions",
        "SELECT * FROM duckdb_tables()",
    ],
)
def test_what_describes_the_tables_is_answered_too(console: Console, sql: str) -> None:
    assert ask(console, sql).rows


def escapes(outside: Path) -> list[str]:
    """Return statements that each try to get out of the console."""
    return [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM '/etc/*.csv'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x')",
        "SELECT * FROM 'https://127.0.0.1:1/x.parquet'",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        f"COPY provenance_events TO '{outside}/x.csv'",
        f"COPY (SELECT 1) TO '{outside}/x.csv'",
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{outside}/x.csv'",
        f"COPY provenance_events FROM '{outside}/x.csv'",
        f"EXPORT DATABASE '{outside}/export'",
        f"IMPORT DATABASE '{outside}/export'",
        f"ATTACH '{outside}/x.duckdb' AS x",
        "ATTACH ':memory:' AS x",
        "DETACH provenance",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        f"LOAD '{outside}/x.duckdb_extension'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET lock_configuration",
        "SET memory_limit = '100GB'",
        f"SET temp_directory = '{outside}'",
        f"SET log_query_path = '{outside}/log'",
        "SET VARIABLE x = 1",
        "PRAGMA enable_profiling",
        f"PRAGMA profiling_output = '{outside}/profile'",
        "PRAGMA force_checkpoint",
        f"PRAGMA import_database('{outside}')",
        "CALL enable_logging()",
        f"CALL enable_logging(storage = 'file', storage_path = '{outside}/log')",
        f"SELECT * FROM enable_logging(storage = 'file', storage_path = '{outside}/log')",
        "CHECKPOINT",
        "VACUUM",
        "INSERT INTO provenance_sessions (session_id) VALUES ('x')",
        "UPDATE provenance_sessions SET state = 'x'",
        "DELETE FROM provenance_sessions",
        "EXPLAIN ANALYZE DELETE FROM provenance_sessions",
        "MERGE INTO provenance_sessions USING provenance_events ON true WHEN MATCHED THEN DELETE",
        "DROP TABLE provenance_sessions",
        "ALTER TABLE provenance_sessions ADD COLUMN x INTEGER",
        "CREATE TABLE x (i INTEGER)",
        "CREATE TEMP TABLE x (i INTEGER)",
        "CREATE MACRO x() AS 1",
        "CREATE SECRET s (TYPE s3)",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "COMMIT",
        "SELECT nextval('x')",
        "SELECT getenv('HOME')",
    ]


def contents_below(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_nothing_leaves_the_console(filled: Store, tmp_path: Path) -> None:
    """S5: no file is read or written, nothing is loaded, no setting changes, no row changes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    before = contents_below(filled.root), contents_below(tmp_path)

    answered = []
    with console_of(filled) as console:
        for sql in escapes(outside):
            try:
                console.ask(sql, row_limit=10, timeout_s=20)
            except QueryRefused:
                continue
            answered.append(sql)

    assert answered == []
    assert (contents_below(filled.root), contents_below(tmp_path)) == before


def test_a_python_variable_is_no_table(console: Console) -> None:
    secret = [1, 2, 3]

    with pytest.raises(QueryRefused, match="secret"):
        ask(console, "SELECT * FROM secret")

    assert secret == [1, 2, 3]


@pytest.mark.parametrize("sql", ["", "  ", ";;", "-- nothing", "/* nothing */"])
def test_no_statement_is_refused(console: Console, sql: str) -> None:
    with pytest.raises(QueryRefused, match="takes one statement; this is no statement"):
        ask(console, sql)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE provenance_events", "CREATE TABLE x; SELECT 1"],
)
def test_several_statements_are_refused_before_any_runs(console: Console, sql: str) -> None:
    with pytest.raises(QueryRefused):
        ask(console, sql)


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        ("SELEC 1", "SELEC"),
        ("SELECT nothing FROM provenance_events", "nothing"),
        ("FROM no_such_table", "no_such_table"),
        ("SELECT error('Permission denied')", "Permission denied"),
        ("SELECT error('Corrupt')", "Corrupt"),
        ("SELECT 'a'::INTEGER", "Could not convert"),
        ("SELECT '\ud800'", "UTF-8"),
    ],
)
def test_a_mistake_in_the_sql_is_told_in_words_with_a_way_on(
    console: Console, sql: str, part: str
) -> None:
    with pytest.raises(QueryRefused) as caught:
        ask(console, sql)

    assert part in caught.value.message
    assert caught.value.hint is not None
    assert "SHOW TABLES" in caught.value.hint


def test_a_time_with_a_zone_says_how_to_cast_it(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB needs pytz to hand out such a time; we do not depend on it."""
    monkeypatch.setitem(sys.modules, "pytz", None)

    with pytest.raises(QueryRefused, match="cast it"):
        ask(console, "SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00' AS t")

    assert ask(console, "SELECT now()::TIMESTAMP IS NOT NULL AS yes").rows == [(True,)]


ENDLESS = [
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r",
    "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range + b.range = -1",
    "SELECT i FROM range(1000000000000) t(i) WHERE i < 0",
]


@pytest.mark.parametrize("sql", ENDLESS)
def test_a_query_without_end_is_stopped_in_time(console: Console, sql: str) -> None:
    started = time.monotonic()

    with pytest.raises(QueryRefused, match=r"stopped after 0\.3 s"):
        console.ask(sql, row_limit=10, timeout_s=0.3)

    assert time.monotonic() - started < 10


# A shell's background job ignores the interrupt, and so would a Python it starts.
ASK_FOREVER = """
import signal
import sys
from pathlib import Path
from projections.console import Console
from projections.database import connect
signal.signal(signal.SIGINT, signal.default_int_handler)
with connect(Path(sys.argv[1]), read_only=True) as connection:
    console = Console(connection)
    print("asking", flush=True)
    console.ask(sys.argv[2], row_limit=1, timeout_s=100)
"""


def test_control_c_ends_a_query(filled: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ASK_FOREVER, str(filled.database), ENDLESS[0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "asking\n"
        time.sleep(0.2)
        asking.send_signal(signal.SIGINT)
        _, errors = asking.communicate(timeout=10)

    assert errors.endswith("KeyboardInterrupt\n")


def test_the_console_answers_again_after_a_query_was_stopped(filled: Store) -> None:
    with console_of(filled) as console:
        with pytest.raises(QueryRefused):
            console.ask(ENDLESS[0], row_limit=10, timeout_s=0.2)
        answer = console.ask("SELECT 1 AS one", row_limit=10, timeout_s=20)

    assert answer.rows == [(1,)]


def test_a_query_that_needs_too_much_memory_is_refused(filled: Store) -> None:
    sql = "SELECT list(repeat(i::VARCHAR, 1000000)) AS all_of_them FROM range(1000) t(i)"

    with connect(filled.database, read_only=True) as connection:
        console = Console(connection, memory_max="50MB")
        with pytest.raises(QueryRefused, match="memory"):
            console.ask(sql, row_limit=10, timeout_s=20)


def test_rows_beyond_the_limit_are_not_fetched(console: Console) -> None:
    started = time.monotonic()

    answer = ask(console, "SELECT i FROM range(1000000000000) t(i)", row_limit=3)

    assert answer == Answer(("i",), ("BIGINT",), [(0,), (1,), (2,)], is_cut=True)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("row_limit", "is_cut"), [(2, True), (3, False), (4, False), (None, False)]
)
def test_an_answer_says_whether_it_is_cut(
    console: Console, row_limit: int | None, is_cut: bool
) -> None:
    answer = ask(console, "SELECT * FROM range(3)", row_limit=row_limit)

    assert (len(answer.rows), answer.is_cut) == (min(3, row_limit or 3), is_cut)


def test_columns_of_equal_names_are_numbered(console: Console) -> None:
    answer = ask(console, "SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a, 5 AS b")

    assert answer.columns == ("a", "a_3", "a_2", "a_4", "b")


def as_json(answer: Answer) -> str:
    rows = [
        [json_value(value, kind) for value, kind in zip(row, answer.types, strict=True)]
        for row in answer.rows
    ]
    return json_text(rows)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("NULL", "null"),
        ("true", "true"),
        ("9223372036854775807", "9223372036854775807"),
        ("170141183460469231731687303715884105727", '"170141183460469231731687303715884105727"'),
        ("1.50::DECIMAL(4, 2)", '"1.50"'),
        ("'NaN'::DOUBLE", "null"),
        ("0.25::DOUBLE", "0.25"),
        ("DATE '2026-01-31'", '"2026-01-31"'),
        ("TIMESTAMP '2026-01-31 10:00:00'", '"2026-01-31T10:00:00Z"'),
        ("TIME '10:00:00'", '"10:00:00"'),
        ("INTERVAL 90 SECOND", "90.0"),
        ("'\\xFF'::BLOB", '"ff"'),
        ("'00000000-0000-0000-0000-000000000001'::UUID", '"00000000-0000-0000-0000-000000000001"'),
        ("[1, NULL]", "[1,null]"),
        ("{'a': 1, 'b': [true]}", '{"a":1,"b":[true]}'),
        ("MAP {1: 'x'}", '{"1":"x"}'),
        ("'{\"a\":[1,2.50]}'::JSON", '{"a":[1,2.50]}'),
        ("'123456789012345678901234567890'::JSON", "123456789012345678901234567890"),
        ("'\"\x1b[31m\u202e\"'", '"\\"\\u001b[31m\\u202e\\""'),
    ],
)
def test_a_value_of_every_type_has_a_form_in_json(
    console: Console, sql: str, expected: str
) -> None:
    assert as_json(ask(console, f"SELECT {sql} AS v")) == f"[[{expected}]]"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("\x00=1", "'\\x00=1"),
        ("\n=1", '"\'\n=1"'),
        ("-1", "-1"),
        ("+1.5e-3", "+1.5e-3"),
        ("a=1", "a=1"),
        ('say "hi", you', '"say ""hi"", you"'),
        ("two\nlines", '"two\nlines"'),
        (-5, "-5"),
        (None, '""'),
        (True, "true"),
        ("\x1b[31m", "\\x1b[31m"),
        ({"a": [1]}, '"{""a"":[1]}"'),
    ],
)
def test_no_cell_of_a_csv_is_a_formula(value: Any, cell: str) -> None:
    """S3: `= + - @ TAB CR LF NUL` at the start are defused, plain numbers stay numbers."""
    assert csv_text(["c"], [[value]]) == f"c\n{cell}\n"
