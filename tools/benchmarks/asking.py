"""cli: commands that ask the database, against the same SQL through the DuckDB package.

Which statements a command executes is recorded by running it once, so the other side executes
exactly those, with the same parameters, and fetches all their rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.measuring import Result, Setting, Target, alternate, ratios, run_child
from benchmarks.stores import projected_store_of, shape_of
from provenance_log.store import open_store

_NULL = subprocess.DEVNULL
_PROVLOG = (sys.executable, "-m", "provenance_log.cli")
_BARE = """
import json, sys, duckdb
asked = json.load(open(sys.argv[1]))
with duckdb.connect(asked["database"], read_only=True) as connection:
    for sql, parameters in asked["statements"]:
        connection.execute(sql, parameters).fetchall()
"""


def cli(setting: Setting) -> list[Result]:
    """Time `provlog sessions`, `show` and `stats`, each with the start of its process."""
    shape = shape_of(setting)
    root = projected_store_of(setting, shape)
    session_id = _some_session(root)
    commands = {"sessions": ("sessions",), "show": ("show", session_id), "stats": ("stats",)}
    results = []
    for name, command in commands.items():
        asked = setting.directory / f"{name}.json"
        run_child("record_sql", root, asked, *command)
        ours = [*_PROVLOG, *command, "--root", str(root)]
        bare = [sys.executable, "-c", _BARE, str(asked)]
        variants = {"bare": partial(_run, bare), "ours": partial(_run, ours)}
        values = alternate(setting, variants, warm_up=False)  # recording has read it all
        times = ratios(values["ours"], values["bare"])
        label = f"cli, {name}, {shape.lines_count:,} actions"
        target = Target("P15", 1.5, "time")
        against = "the same SQL, DuckDB package"
        results.append(Result(label, against, "time", times, target, values))
    return results


def _some_session(root: Path) -> str:
    """Return the id of a session in the middle of the store."""
    directories = open_store(root).session_directories()
    with directories[len(directories) // 2].log.open("rb") as file:
        return str(json.loads(file.readline())["details"]["session"]["session_id"])


def _run(command: list[str], number: int) -> float:
    del number
    started = time.perf_counter()
    subprocess.run(command, stdout=_NULL, stderr=_NULL, check=True)
    return time.perf_counter() - started
