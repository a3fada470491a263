"""rebuild_1m, size and catch_up_100: the projector against DuckDB alone, and against itself.

The three share one store of 1,000 sessions × 1,000 actions at scale 1. `catch_up_100` adds
sessions to it, so it runs after the others.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

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
from benchmarks.stores import TENTH, projected_store_of, shape_of, store_of
from provenance_log.store import initialise_store, open_store

GIB_IN_MIB = 1024
_TENFOLD = 10


def rebuild_1m(setting: Setting) -> list[Result]:
    """Rebuild all tables against one flat table that DuckDB makes of the same lines.

    The peak memory of the same rebuilds is compared with that of a tenth of the lines, and on
    request with that of ten times the lines.
    """
    shape = shape_of(setting)
    root = store_of(setting, shape)
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
    name = f"rebuild_1m, {shape.lines_count:,} lines"
    against = "DuckDB's read_ndjson_auto, one flat table"
    times = ratios(values["ours"], values["flat"])
    return [
        Result(name, against, "time", times, Target("P7", 1, "time"), values),
        *_memory(setting, root, name),
    ]


def _memory(setting: Setting, root: Path, name: str) -> list[Result]:
    """Look at the peak memory of the rebuilds that were timed, and of others."""
    rounds = range(1, setting.repeat + 1)
    peaks = tuple(_rebuild_run(root, number).peak_bytes / MIB for number in rounds)
    tenth = store_of(setting, shape_of(setting, shape_of(setting).lines_count * TENTH))
    few = tuple(_rebuild_run(tenth, number).peak_bytes / MIB for number in rounds)
    memory = f"{name}, peak memory"
    measured = {"peak": peaks, "tenth": few}
    growth = ratios(peaks, few)
    results = [
        Result(memory, "", "MiB", peaks, Target("P8", GIB_IN_MIB, "MiB"), measured),
        Result(memory, "a tenth of the lines", "size", growth, measured=measured),
    ]
    return [*results, *_tenfold(setting, peaks)] if setting.is_tenfold else results


def _tenfold(setting: Setting, peaks: tuple[float, ...]) -> list[Result]:
    """Rebuild ten times the lines once, and remove them: they take much room."""
    shape = shape_of(setting, shape_of(setting).lines_count / setting.scale * _TENFOLD)
    root = store_of(setting, shape)
    setting.say(f"projecting {shape.lines_count:,} lines")
    peak = run_child("rebuild", root).peak_bytes / MIB
    name = f"rebuild_1m, {shape.lines_count:,} lines, peak memory"
    growth = tuple(peak / other for other in peaks)
    measured = {"tenfold": [peak], "peak": peaks}
    target = Target("P8", 1.2, "size")
    return [
        Result(name, "", "MiB", (peak,), Target("P8", GIB_IN_MIB, "MiB"), measured),
        Result(name, "a tenth of the lines", "size", growth, target, measured),
    ]


@cache
def _rebuild_run(root: Path, round_number: int) -> ChildRun:
    """Rebuild in a process of its own; time and memory of a round come from the same run."""
    del round_number
    return run_child("rebuild", root)


def size(setting: Setting) -> list[Result]:
    """Compare the bytes of database and logs with the least that holds the same lines."""
    root = projected_store_of(setting, shape_of(setting))
    database_bytes = open_store(root).database.stat().st_size
    parquet = setting.directory / "lines.parquet"
    setting.say("writing Parquet")
    parquet_bytes = int(run_child("parquet", root, parquet).value)
    log_bytes, bare_bytes, count = run_child("log_sizes", root).value
    measured = {
        "database bytes per action": [database_bytes / count],
        "Parquet bytes per action": [parquet_bytes / count],
        "log bytes per action": [log_bytes / count],
        "bytes per line without prev": [bare_bytes / count],
    }
    tables, logs = (database_bytes / parquet_bytes,), (log_bytes / bare_bytes,)
    against = "the same lines as Parquet with zstd"
    of_tables, of_logs = Target("P14", 1.5, "size"), Target("P14", 1.25, "size")
    return [
        Result("size, database", against, "size", tables, of_tables, measured),
        Result("size, log", "the lines without `prev`", "size", logs, of_logs, measured),
    ]


def catch_up_100(setting: Setting) -> list[Result]:
    """Catch up 100 lines of a new session, after a long history against after none."""
    shape = shape_of(setting, setting.history_lines)
    history = projected_store_of(setting, shape)
    empty = setting.directory / "empty"
    initialise_store(empty)
    run_child("rebuild", empty)
    setting.say(f"{setting.repeat} rounds")
    values = run_child("catch_up", empty, history, setting.repeat).value
    times = ratios(values["history"], values["empty"])
    name = f"catch_up_100, {shape.lines_count:,} lines before"
    return [Result(name, "no lines before", "time", times, Target("P9", 1.3, "time"), values)]
