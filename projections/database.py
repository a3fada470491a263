"""The database: the only importer of duckdb, and where their errors get names.

DuckDB admits one process that writes or many that read. It holds POSIX locks, which vanish when
the same process opens and closes the file by any other means: so nothing here or elsewhere in a
process looks into a database file that the process has open. Nobody holds the database while
idle; whoever finds it held waits a little and then says who holds it.
"""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import duckdb

from projections.columns import make_columns
from projections.definitions import load_sql
from projections.pausing import Pauses
from projections.refusals import HELD, StatementRefused, refusal
from provenance_log import files
from provenance_log.errors import ProvlogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from projections.columns import Columns, Fields, Kind

__all__ = ["Connection", "StatementRefused", "connect", "load_sql", "wal_of"]

WAIT_S = 10.0
"""How long a command waits for a database that somebody else has open."""

_FETCH_ROWS = 1000
_NEW = ".rebuild-new-"
"""Begins as what a killed rebuild leaves, and is removed with it."""
_NOT_REPLAYED = "Failure while replaying WAL file"

# Where no transaction in a log that a killed writer left is whole, a checkpoint does nothing with
# it until one was written.
_A_TRANSACTION = (
    "BEGIN; CREATE TABLE provenance_nothing (nothing INTEGER); "
    "DROP TABLE provenance_nothing; COMMIT"
)

# Nothing is ever fetched from the network, whatever a query or a file at the path asks for.
_SETTINGS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}

# By default DuckDB takes most of a machine's memory, and is no faster here for it. A line may need
# more than 256 MB: one that is a dense array of 16 MB needs more than 768.
_WRITER_SETTINGS = {**_SETTINGS, "memory_limit": "256MB"}
_LAVISH_SETTINGS = dict(_SETTINGS)

_Table: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[Any, ...], ...]]

_VALUES_MAX = 32
_PARSED: dict[str, duckdb.Statement] = {}
# DuckDB complains on stderr about statements that outlive the interpreter.
atexit.register(_PARSED.clear)
_SQL_TYPES: dict[Kind, str] = {"text": "VARCHAR", "int32": "INTEGER", "int64": "BIGINT"}


class Connection:
    """An open database. Close it as soon as the work is done: it keeps everybody else out.

    Every failure is raised as a `ProvlogError` with the path of the database. A connection is
    used by one thread at a time.
    """

    def __init__(
        self,
        path: Path,
        inner: duckdb.DuckDBPyConnection,
        *,
        has_leftover: bool = False,
        is_frugal: bool = False,
    ) -> None:
        """Use `connect` instead."""
        self.path = path
        self._inner = inner
        self._has_leftover = has_leftover
        """True where a killed writer's write-ahead log was there before anything was done."""
        self._is_frugal = is_frugal

    def execute(
        self, sql: str | duckdb.Statement, params: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        with self._named_errors():
            found: list[tuple[Any, ...]] = self._inner.execute(sql, list(params)).fetchall()
        return found

    def query(self, name: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run `views/<name>.sql` and return all its rows."""
        return self.execute(load_sql("views", name), params)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one statement and return its rows as dictionaries."""
        names, _, found = self.table(sql, params)
        return [dict(zip(names, row, strict=True)) for row in found]

    def table(self, sql: str, params: Sequence[Any] = ()) -> _Table:
        """Run one statement and return its columns, DuckDB's names of their types, its rows."""
        with self._named_errors():
            result = self._inner.execute(sql, list(params))
            columns = result.description or ()
            names = tuple(column[0] for column in columns)
            types = tuple(str(column[1]) for column in columns)
            return names, types, tuple(result.fetchall())

    def stream(self, sql: str, params: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Run one statement and yield its rows without holding them all.

        Run nothing else on this connection before the last row was taken.
        """
        with self._named_errors():
            result = self._inner.execute(sql, list(params))
            while rows := result.fetchmany(_FETCH_ROWS):
                yield from rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block did, all of it, or roll all of it back when it raises."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def take_more_memory(self) -> bool:
        """Open the database anew with what DuckDB takes by default; False where it has that.

        For after `MemoryShort`: a commit that lacks memory ends the use of a database, and DuckDB
        1.4 keeps deletions of a transaction that it rolled back. Temporary tables are gone.
        """
        if not self._is_frugal:
            return False
        self._is_frugal = False
        with self._named_errors():
            self._inner.close()
            self._inner = duckdb.connect(str(self.path), config=dict(_LAVISH_SETTINGS))
        return True

    def load(self, name: str, fields: Fields, rows: Sequence[tuple[Any, ...]]) -> None:
        """Make (or replace) the temporary table `name` from rows of Python values."""
        if 0 < len(rows) * len(fields) <= _VALUES_MAX and all(k in _SQL_TYPES for _, k in fields):
            self._load_few(name, fields, rows)
            return
        self.load_columns(name, make_columns(fields, rows))

    def load_columns(self, name: str, columns: Columns) -> None:
        """Make (or replace) the temporary table `name` from columns."""
        from projections.arrow_streams import array_of  # noqa: PLC0415 - readers do without

        with self._arriving("arriving", array_of(columns)):
            self.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" AS FROM arriving')

    def insert_columns(self, name: str, columns: Columns, selects: Mapping[str, str]) -> None:
        """Add rows to tables: to each those of its SELECT, which reads `columns` once, as `name`.

        No temporary table: a transaction keeps what it has dropped until it ends, and one of a
        rebuild takes many batches.
        """
        from projections.arrow_streams import array_of  # noqa: PLC0415 - readers do without

        array = array_of(columns)
        for table, select in selects.items():
            with self._arriving(name, array):
                self.insert(table, select)

    @contextmanager
    def _arriving(self, name: str, array: Any) -> Iterator[None]:
        """Have an array as the relation `name`, which can be scanned once only.

        Where the block raises, the relation stays until its transaction is rolled back, before
        which it can't be dropped, or until the name is given again.
        """
        from projections.arrow_streams import stream_of  # noqa: PLC0415 - readers do without

        with self._named_errors():
            self._inner.register(name, stream_of(array))
        yield
        with self._named_errors():
            self._inner.unregister(name)

    def _load_few(self, name: str, fields: Fields, rows: Sequence[tuple[Any, ...]]) -> None:
        """Do the same with parameters: of a few values, that makes a table in half the time."""
        names = ", ".join(f'"{field}"' for field, _ in fields)
        marks = ", ".join(f"?::{_SQL_TYPES[kind]}" for _, kind in fields)
        values = ", ".join([f"({marks})"] * len(rows))
        select = f"FROM (VALUES {values}) AS arriving({names})"
        self.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {select}', list(chain(*rows)))

    @contextmanager
    def attached(self, path: Path, name: str) -> Iterator[None]:
        """Have another database readable under `name` while the block runs."""
        quoted = str(path).replace("'", "''")
        self.execute(f"ATTACH '{quoted}' AS \"{name}\" (READ_ONLY)")
        try:
            yield
        finally:
            self.execute(f'DETACH "{name}"')

    def insert(self, table: str, select: str) -> None:
        """Add the rows of a SELECT to a table, column by column of the same name.

        For the few that are said again with every batch: each is parsed once and kept.
        """
        self.execute(self._parsed(f"INSERT INTO {table} BY NAME {select}"))

    def delete_sessions(self, table: str, relation: str) -> None:
        """Delete the rows of the sessions that a relation of session ids names.

        The first statement reads the table's indexes, in one thread, and raises `DatabaseCorrupt`
        where that fails: of two threads, one would raise and the other wait for it for ever
        (`TableIndexList::Bind` of DuckDB 2.0.0).
        """
        self.execute(f"DELETE FROM {table} WHERE false")
        self.execute(f"DELETE FROM {table} WHERE session_id IN (FROM {relation})")

    def create(self, table: str, select: str) -> None:
        """Make a table with the columns and the rows of a SELECT."""
        self.execute(f"CREATE TABLE {table} AS {select}")

    def drop(self, table: str) -> None:
        """Drop a table if it is there."""
        self.execute(f"DROP TABLE IF EXISTS {table}")

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(self.execute(f"SELECT count(*) FROM {table}")[0][0])

    def checkpoint(self) -> None:
        """Write what is in the write-ahead log into the database's own file, and remove the log.

        Raises `DatabaseCorrupt` where what is in the file can't be read for it.
        """
        if self._has_leftover:
            self.execute(_A_TRANSACTION)
        self.execute("FORCE CHECKPOINT")

    def empty_leftover_log(self) -> None:
        """Checkpoint where a killed writer's log was found at the open; a close may leave it.

        For the end of work that succeeded: who refuses a damaged database leaves its bytes alone,
        and tables that are damaged can still be dropped before.
        """
        if self._has_leftover:
            self.checkpoint()

    def table_names(self) -> set[str]:
        """Return the names of the tables in the main schema of this database."""
        sql = (
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' "
            "AND database_name = current_database() AND NOT temporary"
        )
        return {name for (name,) in self.execute(sql)}

    def close(self) -> None:
        """Close the database. Safe to call twice.

        The last close writes what this process committed from its log into the file; for what
        another one left there see `empty_leftover_log`.
        """
        with self._named_errors():
            self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _parsed(self, sql: str) -> duckdb.Statement:
        """Return a statement as DuckDB parsed it, which any connection of the process can run."""
        if sql not in _PARSED:
            with self._named_errors():
                (_PARSED[sql],) = self._inner.extract_statements(sql)
        return _PARSED[sql]

    def _roll_back(self) -> None:
        try:
            self._inner.execute("ROLLBACK")
        except duckdb.Error:
            return  # The error that led here is the one to report; its database may be lost.

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, RuntimeError) as error:
            raise refusal(self.path, error, is_open=True) from error


def connect(path: Path, *, read_only: bool, wait_s: float = WAIT_S) -> Connection:
    """Open a database and wait up to `wait_s` seconds while somebody else has it open.

    Opened for writing, a missing file is made, whole or not at all; its directory must exist.
    Raises `DatabaseHeld` (naming the holder), `DatabaseCorrupt`, `DatabaseNewer`, `NotADatabase`,
    or `ProvlogError` for a path that can't be opened at all.
    """
    pauses = Pauses(path, wait_s)
    while True:
        try:
            inner = _open(path, read_only=read_only)
            has_leftover = not read_only and wal_of(path).exists()
            return Connection(path, inner, has_leftover=has_leftover, is_frugal=not read_only)
        except (duckdb.Error, RuntimeError) as error:
            if HELD not in str(error) or not pauses.pause():
                raise refusal(path, error, is_open=False) from error


def wal_of(path: Path) -> Path:
    """Return where DuckDB keeps the write-ahead log of a database; it need not be there."""
    return path.with_name(f"{path.name}.wal")


def _open(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    if path.is_dir():
        raise ProvlogError("this is a directory, not a database", path=path)
    if read_only:
        return _open_for_reading(path)
    if not path.exists():
        _make_empty(path.resolve())
    return duckdb.connect(str(path), config=dict(_WRITER_SETTINGS))


def _make_empty(path: Path) -> None:
    """Make a new database under another name first: killed anywhere, none is there, or a whole one.

    DuckDB makes the file empty and then writes its headers; a file with half of them would be
    taken for a corrupt database for good.
    """
    side = path.with_name(f"{path.name}{_NEW}{os.urandom(4).hex()}")
    try:
        duckdb.connect(str(side), config=dict(_WRITER_SETTINGS)).close()
        side.chmod(files.FILE_MODE)  # it will hold what the logs hold: their owner's alone
        files.place_file(side, path)
    except OSError as error:
        if path.exists():
            return  # somebody else made it in between
        raise ProvlogError(error.strerror or str(error), path=path) from error
    finally:
        side.unlink(missing_ok=True)


def _open_for_reading(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path), read_only=True, config=dict(_SETTINGS))
    except duckdb.IOException as error:
        if _NOT_REPLAYED not in str(error):
            raise
    # DuckDB 1.4 can't always replay what a killed writer left without writing.
    with duckdb.connect(str(path), config=dict(_WRITER_SETTINGS)) as inner:
        inner.execute(f"{_A_TRANSACTION}; FORCE CHECKPOINT")
    return duckdb.connect(str(path), read_only=True, config=dict(_SETTINGS))
