"""Rounds of alternating runs, what comes out of them, and the table of it.

A figure that claims speed is a ratio of two runs of the same round, so that whatever else the
machine does weighs on both. Rounds begin with a different variant in turn. Within one process the
first round is a warm-up that is thrown away.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from provenance_log.errors import ProvlogError
from provenance_log.terminal import Cell, table

MIB = 1024 * 1024
CHILD_COMMAND = (sys.executable, str(Path(__file__).with_name("child.py")))

Kind = Literal["time", "throughput", "size", "MiB", "MB", "%"]
"""time: our seconds over theirs. throughput: our work per second over theirs. size: our bytes
over theirs. The others are units of figures of our own, without another side."""

LINES = 1_000_000
"""Lines of the history that most targets are stated for."""

Rounds = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a workload is given: how often, how large, where, and whom to tell."""

    repeat: int
    scale: float
    directory: Path
    """An empty directory for this workload, on the disk that is measured."""
    shared_directory: Path
    """A directory for what several workloads of a run use."""
    say: Callable[[str], None]
    history_lines: int = LINES
    """Lines in the database before `catch_up_100`, at scale 1."""
    is_tenfold: bool = False
    """Whether `rebuild_1m` also looks at ten times the lines."""

    def scaled(self, number: int, least: int = 1) -> int:
        """Return a size at scale 1 as it is at this scale."""
        return max(least, round(number * self.scale))

    def is_full_size(self) -> bool:
        """Say whether targets can be judged: they are stated for scale 1."""
        return self.scale >= 1


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for the median: at least for throughput, at most for everything else."""

    number: str
    """As the issue numbers it: P1, P2 …"""
    limit: float
    kind: Kind

    def is_met(self, value: float) -> bool:
        """Say whether a median keeps to the limit."""
        return value >= self.limit if self.kind == "throughput" else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.kind == "throughput" else "≤"
        return f"{sign} {self.limit:g}{_unit(self.kind)}"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table: the values of one comparison, round by round."""

    workload: str
    against: str
    kind: Kind
    values: tuple[float, ...]
    target: Target | None = None
    measured: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """What the values were computed from: seconds or MiB of each variant, round by round."""
    skipped: str = ""
    """Why there are no values."""

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    def verdict(self, setting: Setting) -> str:
        """Return `met` or `missed`, and nothing where there is no target for this size."""
        if not self.values or self.target is None or not setting.is_full_size():
            return ""
        return "met" if self.target.is_met(self.median) else "missed"


def alternate(
    setting: Setting, variants: Mapping[str, Callable[[int], float]], *, warm_up: bool = True
) -> Rounds:
    """Run every variant once per round and return the values of each, round by round.

    A variant gets the number of the round, 0 for the warm-up, and returns its own measure, for
    instance seconds per action. Variants that start a process each have nothing to warm.
    """
    names = list(variants)
    values: Rounds = {name: [] for name in names}
    for number, turn in alternation(names, setting.repeat, 0 if warm_up else 1):
        setting.say(f"round {number} of {setting.repeat}" if number else "warm-up")
        for name in turn:
            value = variants[name](number)
            if number:
                values[name].append(value)
    return values


def alternation(names: list[str], rounds: int, first: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each round, and all names, with a different one first in turn."""
    for number in range(first, rounds + 1):
        turn = number % len(names)
        yield number, names[turn:] + names[:turn]


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Divide two variants pairwise, round by round."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


@dataclass(frozen=True, slots=True)
class ChildRun:
    """What a task in a process of its own returned, and the most memory it held."""

    value: Any
    peak_bytes: int


def run_child(task: str, *arguments: object) -> ChildRun:
    """Run a task of `child.py` in a new process; raises `ProvlogError` with its stderr.

    The peak is at least this process's own size, because the kernel counts the moment between
    fork and exec; so this process must stay small, and all that is large happens in children.
    """
    command = [*CHILD_COMMAND, task, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise ProvlogError(f"the child process for {task!r} ended with {process.returncode}")
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return ChildRun(json.loads(output), usage.ru_maxrss * unit_bytes)


def render(results: Sequence[Result], setting: Setting) -> str:
    """Return the table of all results, and below it why some have none."""
    rows = [_row(result, setting) for result in results if result.values]
    headers = ("", "workload", "against", "result (min–max)", "target", "verdict")
    parts = [table(headers, rows)] if rows else []
    parts += [f"{r.workload}: skipped, {r.skipped}" for r in results if not r.values]
    if not setting.is_full_size() and rows:
        parts.append(f"at scale {setting.scale:g}; targets are judged at scale 1")
    return "\n".join(parts)


def _row(result: Result, setting: Setting) -> tuple[Cell, ...]:
    low, high = min(result.values), max(result.values)
    spread = f"{_short(result.median)} ({_short(low)}–{_short(high)}){_unit(result.kind)}"
    target = "" if result.target is None else str(result.target)
    number = "" if result.target is None else result.target.number
    verdict = result.verdict(setting)
    return (number, result.workload, result.against, spread, target, verdict)


def _unit(kind: Kind) -> str:
    return "" if kind in {"time", "throughput", "size"} else f" {kind}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def json_line(result: Result, setting: Setting) -> str:
    """Return a result as one JSON object, with the machine and the versions it was measured on."""
    record = {
        **asdict(result),
        "median": result.median if result.values else None,
        "verdict": result.verdict(setting),
        "repeat": setting.repeat,
        "scale": setting.scale,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "duckdb": version("duckdb"),
    }
    return json.dumps(record, ensure_ascii=False)
