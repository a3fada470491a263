"""The SQL console: one read-only question, walled off from files, network and settings.

The wall is DuckDB's own configuration, locked last, and a list of the kinds of statements that
only read (invariant S5). It keeps a question from changing the store and from reading other files
on purpose or by accident. It is no jail for hostile code: DuckDB asks for one around untrusted
SQL, and a question may still learn the path of the database and use the processor until its time
is up.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from projections.database import Connection
from provenance_log.errors import DatabaseCorrupt, ProvlogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEMORY_MAX = "1GB"
_SETTINGS = (
    "temp_directory = ''",
    "python_enable_replacements = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "enable_external_access = false",
    "lock_configuration = true",
)
_READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""MULTI is a PIVOT that looks up its own columns."""
_INTERRUPT_EVERY_S = 0.1
# DuckDB 1.4 lets this function past the locked configuration; what it switches on would write.
_SWITCHES_LOGGING = re.compile(r"\benable_logging\b", re.IGNORECASE)

TABLES_HINT = '`provlog query "SHOW TABLES"` lists the tables, "DESCRIBE name" their columns'


class QueryRefused(ProvlogError):
    """The SQL is wrong, is not one reading statement, or took too long; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a question; `is_cut` says that there were more than the limit."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    """DuckDB's names of the types, `JSON` among them."""
    rows: list[tuple[Any, ...]]
    is_cut: bool


class Console(Connection):
    """A connection behind the wall; make it from one that was opened read-only."""

    def __init__(self, connection: Connection, *, memory_max: str = MEMORY_MAX) -> None:
        """Take over a connection and lock its configuration for good."""
        super().__init__(connection.path, connection._inner)  # noqa: SLF001 - the same connection
        for setting in (f"memory_limit = '{memory_max}'", *_SETTINGS):
            self.execute(f"SET {setting}")

    def ask(self, sql: str, *, row_limit: int | None, timeout_s: float) -> Answer:
        """Run one reading statement and return at most `row_limit` rows, None for all.

        Raises `QueryRefused` for any other statement, for none or several, for an error in the
        SQL, and when `timeout_s` seconds are over.
        """
        if not sql.isascii() and any("\ud800" <= character <= "\udfff" for character in sql):
            raise QueryRefused("the SQL is not valid UTF-8", hint=TABLES_HINT)
        answers: list[Answer] = []
        errors: list[BaseException] = []
        is_done = threading.Event()

        def work() -> None:
            try:
                with self._questions_errors():
                    answers.append(self._ask(sql, row_limit))
            except BaseException as error:  # noqa: BLE001 - raised again where it belongs
                errors.append(error)
            finally:
                is_done.set()

        # In a thread of its own, so that a Ctrl-C reaches us while DuckDB is at work.
        threading.Thread(target=work, daemon=True).start()
        if not self._is_in_time(is_done, timeout_s):
            message = f"the query was stopped after {timeout_s:g} s"
            hint = "ask for less, or allow more time with --timeout SECONDS"
            raise QueryRefused(message, hint=hint)
        for error in errors:
            raise error
        return answers[0]

    def _is_in_time(self, is_done: threading.Event, timeout_s: float) -> bool:
        """Wait; when the time is up, or somebody is tired of it, interrupt until it is done."""
        try:
            return is_done.wait(timeout_s)
        finally:
            while not is_done.wait(_INTERRUPT_EVERY_S):
                self._inner.interrupt()

    def _ask(self, sql: str, row_limit: int | None) -> Answer:
        self._check(sql)
        result = self._inner.execute(sql)
        columns = result.description or []
        rows = result.fetchall() if row_limit is None else result.fetchmany(row_limit + 1)
        is_cut = row_limit is not None and len(rows) > row_limit
        names = _distinct([column[0] for column in columns])
        types = tuple(str(column[1]) for column in columns)
        return Answer(names, types, rows[:row_limit], is_cut)

    def _check(self, sql: str) -> None:
        statements = self._inner.extract_statements(sql)
        kinds = [statement.type.name for statement in statements]
        # DuckDB before 2.0 makes two statements without a text of their own of one PIVOT.
        is_pivot = kinds == ["CREATE", "SELECT"] and not any(s.query for s in statements)
        if not is_pivot:
            _refuse_all_but_one_reading(kinds)
        if _SWITCHES_LOGGING.search(sql):
            raise QueryRefused("the console only reads: enable_logging would write")

    @contextmanager
    def _questions_errors(self) -> Iterator[None]:
        """Say what is wrong with a question in DuckDB's own words, its place included."""
        try:
            with self._named_errors():
                yield
        except (QueryRefused, DatabaseCorrupt):
            raise
        except ProvlogError as error:
            raise QueryRefused(_reason(error), hint=TABLES_HINT) from error


def _refuse_all_but_one_reading(kinds: Sequence[str]) -> None:
    if len(kinds) != 1:
        found = f"{len(kinds)} statements" if kinds else "no statement"
        hint = "one statement at a time, as one argument in quotes"
        raise QueryRefused(f"the console takes one statement; this is {found}", hint=hint)
    if kinds[0] not in _READING:
        kind = kinds[0].replace("_", " ")
        hint = "SELECT, WITH, FROM, DESCRIBE, SHOW, SUMMARIZE, PIVOT and EXPLAIN are welcome"
        raise QueryRefused(f"the console only reads, and {kind} is something else", hint=hint)


def _reason(error: ProvlogError) -> str:
    cause = error.__cause__
    text = str(error if cause is None else cause)
    if "pytz" in text:
        return "a time with a zone can't be shown: cast it, as in now()::TIMESTAMP"
    return text.strip()


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Number the columns of equal names from the second on, so that JSON keeps them all."""
    seen: Counter[str] = Counter()
    taken = set(names)
    result = []
    for name in names:
        unique = name
        if seen[name]:
            numbered = (f"{name}_{number}" for number in count(seen[name] + 1))
            unique = next(candidate for candidate in numbered if candidate not in taken)
        seen[name] += 1
        taken.add(unique)
        result.append(unique)
    return tuple(result)
