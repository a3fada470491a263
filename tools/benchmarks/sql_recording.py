"""Which SQL a command executes, with its parameters, found by running the command once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import projections.database
from provenance_log.cli import run
from provenance_log.store import open_store


class _Recorder:
    """Stands where DuckDB's connection stands, and notes what it is asked."""

    def __init__(self, inner: Any, statements: list[tuple[str, list[Any]]]) -> None:
        self._inner = inner
        self._statements = statements

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        self._statements.append((sql, list(parameters)))
        return self._inner.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def record_sql(root: str, asked: str, *command: str) -> int:
    """Run a command of `provlog` and write what it asked to a file; return how many statements."""
    statements: list[tuple[str, list[Any]]] = []
    open_inner = projections.database._open  # noqa: SLF001 - the one place where it is opened

    def open_recorded(path: Path, *, read_only: bool) -> Any:
        return _Recorder(open_inner(path, read_only=read_only), statements)

    projections.database._open = open_recorded  # noqa: SLF001 - as above
    with Path(asked).with_suffix(".out").open("w") as out, redirect_stdout(out):
        code = run([*command, "--root", root])
    assert code == 0
    document = {"database": str(open_store(Path(root)).database), "statements": statements}
    Path(asked).write_text(json.dumps(document), "utf-8")
    return len(statements)
