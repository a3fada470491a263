"""Measure how long other recorders take for one tool call, beside ours, in one run.

    python tools/bench_peers.py
    python tools/bench_peers.py --repeat 5 --marks 300,1300 --out results.jsonl

`make bench-peers` installs the peers into `.venv-peers`, as `constraints-peers.txt` pins them.
Each runs in a process of its own, telemetry off, home directory redirected, and makes one call
after the other; the time of a call is that of the hundred before each mark. Peers are set against
ours with the like durability: `disk`, on the disk when the call returns; `process`, in the
kernel, so that only the machine's death loses it; `memory`, lost with the process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measuring import CHILD_COMMAND, alternation
from benchmarks.recording import record_command, record_payload
from status_line import say

from provenance_log.store import ROOT_BELOW_PROJECT, initialise_store
from provenance_log.terminal import table

PEERS = {
    "arcaeon": "disk",
    "clawmetry": "disk",
    "eventsourcing": "disk",
    "agent-strace": "process",
    "verityledger": "process",
    "clawmetry-ring": "memory",
    "flowcept": "memory",
}
"""What each keeps when its call has returned, found by counting its syncs with strace."""

OURS = {"provenance-log disk": "disk", "provenance-log process": "process"}
PRIVATE = {
    "DO_NOT_TRACK": "1",
    "AGENT_STRACE_TELEMETRY": "0",
    "CLAWMETRY_NO_TELEMETRY": "1",
    "CLAWMETRY_LICENSE_PING": "0",
    "CI": "1",
}
"""What keeps the peers from telling anybody that they run."""

TARGETS = {"process": 20.0, "disk": 1.5}
HOOK_ROUNDS = 20
_PROCESS_LIMIT_S = 300.0
_REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENT = _REPOSITORY / ".venv-peers"
_CALLS = Path(__file__).parent / "benchmarks" / "peer_calls.py"


@dataclass(frozen=True, slots=True)
class Row:
    """One recorder: seconds per call at each mark, round by round, or why there are none."""

    name: str
    durability: str
    rounds: list[list[float | None]]
    problem: str = ""

    def median(self, index: int) -> float | None:
        """Return the median at a mark; None where a round did not reach it in time."""
        values = [value for found in self.rounds if (value := found[index]) is not None]
        return statistics.median(values) if values and len(values) == len(self.rounds) else None


@dataclass(frozen=True, slots=True)
class Setting:
    """How often, up to which call, how long at most, and where."""

    repeat: int
    marks: tuple[int, ...]
    limit_s: float
    directory: Path
    environment: Path = ENVIRONMENT
    """Where the peers are installed."""

    @property
    def programs(self) -> Path:
        """The directory of their programs, Python among them."""
        return self.environment / "bin"


def main() -> None:
    """Run all recorders, print the tables."""
    arguments = _parser().parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=arguments.directory))
    own = arguments.environment.absolute()
    setting = Setting(arguments.repeat, arguments.marks, arguments.limit, work, own)
    try:
        rows = append_rows(setting)
        hooks = hook_rows(setting, min(HOOK_ROUNDS, arguments.repeat * 7))
    finally:
        say("")
        shutil.rmtree(work, ignore_errors=True)
    print("\n".join([*_appends_page(rows, setting), "", *_targets_page(rows), "", *hooks]))
    if arguments.out is not None:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="rounds; default: 3")
    parser.add_argument(
        "--marks",
        type=lambda text: tuple(int(part) for part in text.split(",")),
        default=(300, 1300, 10_000),
        metavar="N,…",
        help="after how many calls to look; default: 300,1300,10000",
    )
    parser.add_argument(
        "--limit", type=float, default=12.0, metavar="S", help="seconds a run at most; default: 12"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="append one JSON line per row")
    parser.add_argument(
        "--environment",
        type=Path,
        default=ENVIRONMENT,
        metavar="DIR",
        help="where the peers are installed; default: .venv-peers in the repository",
    )
    parser.add_argument("--directory", type=Path, default=_REPOSITORY / ".bench", metavar="DIR")
    return parser


def append_rows(setting: Setting, names: Sequence[str] = (*OURS, *PEERS)) -> list[Row]:
    """Let every recorder run once a round; one that fails is a row that says so."""
    rows = {name: Row(name, (OURS | PEERS)[name], []) for name in names}
    for number, turn in alternation(list(rows), setting.repeat):
        for name in turn:
            if rows[name].problem:
                continue
            say(f"round {number} of {setting.repeat}: {name}")
            try:
                rows[name].rounds.append(_run(name, setting))
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                rows[name] = Row(name, rows[name].durability, [], _reason(error))
    return list(rows.values())


def _run(name: str, setting: Setting) -> list[float | None]:
    directory = Path(tempfile.mkdtemp(dir=setting.directory))
    marks = [str(setting.limit_s), *map(str, setting.marks)]
    if name in OURS:
        log = directory / "actions.jsonl"
        command = [*CHILD_COMMAND, "append_windows", str(log), OURS[name], *marks]
    else:
        command = [str(setting.programs / "python"), str(_CALLS), name, str(directory), *marks]
    done = subprocess.run(
        command,
        cwd=directory,
        env=_environment(directory),
        capture_output=True,
        text=True,
        check=True,
        timeout=setting.limit_s + _PROCESS_LIMIT_S,
    )
    found: list[float | None] = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(directory, ignore_errors=True)
    return found


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, **PRIVATE, "HOME": str(home)}


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _appends_page(rows: Sequence[Row], setting: Setting) -> list[str]:
    marks = [f"at {mark:,}" for mark in setting.marks]
    headers = ("recorder", "durability", *marks, "last ÷ first", "÷ ours alike")
    cells = [_cells(row, rows, setting) for row in rows if not row.problem]
    problems = [f"{row.name}: not measured, {row.problem}" for row in rows if row.problem]
    return ["one tool call, µs", table(headers, cells), *problems]


def _cells(row: Row, rows: Sequence[Row], setting: Setting) -> tuple[str, ...]:
    found = [row.median(index) for index in range(len(setting.marks))]
    times = [f"not in {setting.limit_s:g} s" if v is None else f"{v * 1e6:,.0f}" for v in found]
    reached = [value for value in found if value is not None]
    growth = f"{reached[-1] / reached[0]:.2f}×" if len(reached) > 1 else ""
    ours = next((r for r in rows if r.name in OURS and r.durability == row.durability), None)
    base = ours.median(0) if ours is not None else None
    ratio = f"{found[0] / base:.1f}×" if found[0] is not None and base else ""
    return (row.name, row.durability, *times, growth, ratio)


def _targets_page(rows: Sequence[Row]) -> list[str]:
    """Set ours against the best peer of the like durability, and of the next better one."""
    cells = []
    for own in (row for row in rows if row.name in OURS):
        kinds = ("disk",) if own.durability == "disk" else ("process", "disk")
        cells += [cell for kind in kinds if (cell := _target_cells(own, rows, kind))]
    return [table(("", "best durable peer", "result", "target", "verdict"), cells)]


def _target_cells(own: Row, rows: Sequence[Row], kind: str) -> tuple[str, ...]:
    peers = [row for row in rows if row.name in PEERS and row.durability == kind]
    timed = [(time_s, row.name) for row in peers if (time_s := row.median(0)) is not None]
    own_s = own.median(0)
    if not timed or own_s is None:
        return ()
    best_s, name = min(timed)
    limit = TARGETS[own.durability]
    verdict = "met" if best_s / own_s >= limit else "missed"
    label = f"{own.durability}, against {name} ({kind})"
    return ("P3", label, f"{best_s / own_s:.1f}× faster", f"≥ {limit:g}×", verdict)


def hook_rows(setting: Setting, rounds: int) -> list[str]:
    """Time a hook process of the one peer that has them, beside ours and a bare Python."""
    project = setting.directory / "project"
    initialise_store(project / ROOT_BELOW_PROJECT)
    strace = str(setting.programs / "agent-strace")
    commands = {
        "python -I -S -c pass": [sys.executable, "-I", "-S", "-c", "pass"],
        "provenance-log hook": record_command(),
        "agent-strace hook post-tool": [strace, "hook", "post-tool"],
    }
    values: dict[str, list[float]] = {name: [] for name in commands}
    try:
        _hook(
            [strace, "hook", "session-start"], project, record_payload(project, 0, "SessionStart")
        )
        for number, names in alternation(list(commands), rounds):
            say(f"hooks, round {number} of {rounds}")
            for name in names:
                took_s = _hook(commands[name], project, record_payload(project, number))
                values[name].append(took_s)
    except (OSError, subprocess.SubprocessError) as error:
        return [f"hooks: not measured, {_reason(error)}"]
    bare = statistics.median(values["python -I -S -c pass"])
    cells = [
        (name, f"{statistics.median(v) * 1000:.1f}", f"{statistics.median(v) / bare:.1f}×")
        for name, v in values.items()
    ]
    return [table(("one hook process", "ms", "÷ bare Python"), cells)]


def _hook(command: list[str], project: Path, payload: bytes) -> float:
    environment = {**_environment(project), "CLAUDE_PROJECT_DIR": str(project)}
    began = time.perf_counter()
    subprocess.run(
        command, input=payload, cwd=project, env=environment, check=True, capture_output=True
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
