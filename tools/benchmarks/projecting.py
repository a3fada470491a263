"""rebuild, memory and catch_up_100: the projector against DuckDB alone, and against itself.

The three share one corpus of 1,000 sessions × 1,000 actions at scale 1. `catch_up_100` adds
sessions to it, so it runs after the others.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from corpus import Shape, make_corpus

from benchmarks.measuring import (
    MIB,
    ChildRun,
    Result,
    Setting,
    Target,
    alternate,
    ratios,
    run_child,
)
from provenance_log.store import initialise_store, open_store

SESSIONS = 1000
ACTIONS = 1000
_TENTH = 0.1


def rebuild(setting: Setting) -> list[Result]:
    """Rebuild all tables against one flat table that DuckDB makes of the same lines."""
    shape = _shape(setting)
    root = _corpus(setting, shape)
    flat = setting.directory / "flat.duckdb"
    values = alternate(
        setting,
        {
            "flat": lambda _: float(run_child("flat_table", root, flat).value),
            "ours": lambda number: float(_rebuild_run(root, number).value),
        },
        warm_up=False,
    )
    flat.unlink()
    name = f"rebuild, {shape.lines_count:,} lines"
    against = "DuckDB's own read_ndjson_auto into one flat table"
    return [
        Result(
            name, against, "time", ratios(values["ours"], values["flat"]), Target(1, "time"), values
        )
    ]


def memory(setting: Setting) -> list[Result]:
    """Look at the peak memory of a rebuild, and at what a tenth of the lines takes."""
    shape = _shape(setting)
    whole, tenth = _corpus(setting, shape), _corpus(setting, _shape(setting, _TENTH))
    values = alternate(
        setting,
        {
            "whole": lambda number: _rebuild_run(whole, number).peak_bytes / MIB,
            "tenth": lambda number: _rebuild_run(tenth, number).peak_bytes / MIB,
        },
        warm_up=False,
    )
    name = f"memory of rebuild, {shape.lines_count:,} lines"
    peaks, growth = tuple(values["whole"]), ratios(values["whole"], values["tenth"])
    return [
        Result(name, "", "MiB", peaks, Target(1024, "MiB"), values),
        Result(name, "a tenth of the lines", "size", growth, None, values),
    ]


@cache
def _rebuild_run(root: Path, round_number: int) -> ChildRun:
    """Rebuild in a process of its own; time and memory of a round come from the same run."""
    del round_number
    return run_child("rebuild", root)


def catch_up_100(setting: Setting) -> list[Result]:
    """Catch up 100 lines of a new session, after a long history against after none."""
    shape = _shape(setting)
    history = _corpus(setting, shape)
    empty = setting.directory / "empty"
    initialise_store(empty)
    run_child("rebuild", empty)
    if not open_store(history).database.exists():
        setting.say("projecting the history")
        run_child("rebuild", history)
    setting.say(f"{setting.repeat} rounds")
    values = run_child("catch_up", empty, history, setting.repeat).value
    times = ratios(values["history"], values["empty"])
    name = f"catch_up_100, {shape.lines_count:,} lines before"
    return [Result(name, "no lines before", "time", times, Target(1.3, "time"), values)]


def _shape(setting: Setting, part: float = 1) -> Shape:
    return Shape(setting.scaled(round(SESSIONS * part)), ACTIONS)


def _corpus(setting: Setting, shape: Shape) -> Path:
    """Return the store of a shape, made by the first workload of a run that asks for it."""
    root = setting.shared_directory / f"corpus-{shape.sessions_count}-{shape.actions_count}"
    if not root.exists():
        setting.say(f"making {shape.lines_count:,} lines")
        make_corpus(root, shape)
        os.sync()  # so that writing the corpus back does not slow the first round
    return root
