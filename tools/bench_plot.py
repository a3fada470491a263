"""Measure append and catch-up over the length of the history, and draw it.

    python tools/bench_plot.py docs/performance.png
    python tools/bench_plot.py docs/performance.png --history 5000000 --data points.json

`make bench-plot` prepares `.venv-peers`, in which the picture is drawn, as matplotlib is there.
The peers that chain or read their own log are measured beside ours, as far as they get within
the limit of a run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench_peers import Setting as PeerSetting
from bench_peers import append_rows
from benchmarks.appending import appends_at
from benchmarks.measuring import Setting, run_child
from benchmarks.stores import ACTIONS, projected_store_of, shape_of
from status_line import say

from provenance_log.store import initialise_store

APPENDS_AT = (1_000, 10_000, 100_000, 1_000_000)
CATCH_UP_AT = (1_000, 10_000, 100_000, 300_000, 1_000_000)
PEERS = ("arcaeon", "agent-strace", "verityledger")
PEERS_AT = (200, 500, 1_000, 2_000, 5_000, 10_000)
_LIMIT_S = 10.0
_REPOSITORY = Path(__file__).resolve().parent.parent
_DRAW = Path(__file__).parent / "benchmarks" / "drawing.py"


def main() -> None:
    """Measure what the arguments ask for and draw it."""
    arguments = _parser().parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=arguments.directory))
    try:
        setting = Setting(arguments.repeat, arguments.scale, work, work, say)
        points = json.dumps(measure(setting, arguments.history), indent=1)
        data = work / "points.json"
        data.write_text(points, "utf-8")
        if arguments.data is not None:
            arguments.data.write_text(points, "utf-8")
        python = _REPOSITORY / ".venv-peers" / "bin" / "python"
        subprocess.run([str(python), str(_DRAW), str(data), str(arguments.picture)], check=True)
    finally:
        say("")
        shutil.rmtree(work, ignore_errors=True)
    print(f"wrote {arguments.picture}")


def measure(setting: Setting, history_lines: int | None) -> dict[str, dict[str, list[Any]]]:
    """Return for each panel its curves, each a list of [lines, seconds]."""
    lines = (*CATCH_UP_AT, *([history_lines] if history_lines else []))
    return {
        "append": {"provenance-log": _appends(setting), **_peers(setting)},
        "catch_up": {"provenance-log": _catch_ups(setting, lines)},
    }


def _appends(setting: Setting) -> list[list[float]]:
    counts = [setting.scaled(count, least=2) for count in APPENDS_AT]
    found = appends_at(setting, counts)
    return [[count, statistics.median(found[count])] for count in counts]


def _peers(setting: Setting) -> dict[str, list[list[float]]]:
    marks = tuple(mark for mark in PEERS_AT if mark <= max(PEERS_AT) * setting.scale)
    rows = append_rows(PeerSetting(setting.repeat, marks, _LIMIT_S, setting.directory), PEERS)
    return {
        row.name: [
            [mark, value]
            for index, mark in enumerate(marks)
            if (value := row.median(index)) is not None
        ]
        for row in rows
        if not row.problem
    }


def _catch_ups(setting: Setting, lines: tuple[int, ...]) -> list[list[float]]:
    empty = setting.directory / "empty"
    initialise_store(empty)
    run_child("rebuild", empty)
    points = []
    for count in sorted({max(ACTIONS, setting.scaled(n)) for n in lines}):
        root = projected_store_of(setting, shape_of(setting, count / setting.scale))
        setting.say(f"catching up after {count:,} lines")
        found = run_child("catch_up", empty, root, setting.repeat).value
        points.append([count, statistics.median(found["history"])])
        shutil.rmtree(root)
    return points


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path, metavar="PNG", help="where to draw")
    parser.add_argument("--history", type=int, metavar="N", help="one more length, for catch-up")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="default: 1")
    parser.add_argument("--data", type=Path, metavar="FILE", help="keep the figures as JSON")
    parser.add_argument("--directory", type=Path, default=_REPOSITORY / ".bench", metavar="DIR")
    return parser


if __name__ == "__main__":
    main()
