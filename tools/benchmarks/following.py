"""visible and idle: the daemon while a line comes now and then, and while none comes."""

from __future__ import annotations

import statistics

from corpus import Shape

from benchmarks.measuring import LINES, Result, Setting, Target, percentile, run_child
from benchmarks.stores import TENTH, projected_store_of, shape_of, store_of

LINES_APPENDED = 150
SESSIONS_IDLE = 5000
LINES_IDLE = 10
IDLE_S = 30.0
_MB = 1_000_000


def visible(setting: Setting) -> list[Result]:
    """Time from the start of an append to the rows in SQL, the daemon running.

    Every other turn a row is inserted into a copy of the same database with the DuckDB package
    alone, into a table like that of the events. Both percentiles are set against the median of
    that.
    """
    shape = shape_of(setting, LINES * TENTH)
    root = projected_store_of(setting, shape)
    count = setting.scaled(LINES_APPENDED, least=2)
    setting.say(f"{count} lines, one by one")
    values = run_child("visible", root, count, setting.directory / "daemon.log").value
    bare_s = statistics.median(values["bare"])
    times = tuple(value / bare_s for value in values["ours"])
    late = (percentile(times, 99),)
    against = "open + insert + commit + close"
    name = f"visible, {shape.lines_count:,} lines before"
    return [
        Result(f"{name}, p50", against, "time", times, Target("P10", 3, "time"), values),
        Result(f"{name}, p99", against, "time", late, Target("P10", 12, "time"), values),
    ]


def idle(setting: Setting) -> list[Result]:
    """Look at processor and memory of a daemon that watches sessions in which nothing happens."""
    shape = Shape(setting.scaled(SESSIONS_IDLE), LINES_IDLE)
    root = store_of(setting, shape)
    seconds = max(0.5, IDLE_S * min(1.0, setting.scale))
    setting.say(f"{shape.sessions_count:,} sessions, {seconds:g} s")
    found = run_child("idle", root, seconds, setting.directory / "daemon.log").value
    name = f"idle, {shape.sessions_count:,} sessions"
    cpu = (100 * found["cpu_s"] / seconds,)
    resident, peak = (found[key] / _MB for key in ("resident_bytes", "peak_bytes"))
    return [
        Result(f"{name}, CPU", "one core", "%", cpu, Target("P13", 0.5, "%")),
        Result(f"{name}, memory", "", "MB", (resident,), Target("P13", 150, "MB")),
        Result(f"{name}, peak memory from start", "", "MB", (peak,)),
    ]
