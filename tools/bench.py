"""Measure how fast the recorder is, as ratios to what could not be faster.

    python tools/bench.py                              all workloads
    python tools/bench.py append_process --repeat 9
    python tools/bench.py rebuild_1m --scale 0.1 --out results.jsonl
    python tools/bench.py rebuild_1m --tenfold          also 10,000,000 lines
    python tools/bench.py catch_up_100 --history 5000000

Workloads: append_process, append_disk, append_8_processes, hook, rebuild_1m, size, cli,
catch_up_100, verify, visible, import_transcripts, idle. They run in this order, whatever the
order of the arguments, since some use what others made. Work files go below `.bench` in the
repository, so that syncs reach a real disk, and are removed at the end.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    appending,
    asking,
    following,
    importing,
    projecting,
    recording,
    verifying,
)
from benchmarks.measuring import LINES, Result, Setting, json_line, render
from status_line import say

from provenance_log.errors import ProvlogError

WORKLOADS: dict[str, Callable[[Setting], list[Result]]] = {
    "append_process": appending.append_process,
    "append_disk": appending.append_disk,
    "append_8_processes": appending.append_8_processes,
    "hook": recording.hook,
    "rebuild_1m": projecting.rebuild_1m,
    "size": projecting.size,
    "cli": asking.cli,
    "catch_up_100": projecting.catch_up_100,
    "verify": verifying.verify,
    "visible": following.visible,
    "import_transcripts": importing.import_transcripts,
    "idle": following.idle,
}
ROUNDS = 5
LONG = ("rebuild_1m",)
"""Workloads that take minutes."""
ROUNDS_LONG = 3
SCALE_MAX = 100
_REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the workloads that the arguments name, and print the table."""
    arguments = _parser().parse_args()
    names = [name for name in WORKLOADS if name in arguments.workloads] or list(WORKLOADS)
    arguments.directory.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=arguments.directory))
    rounds = arguments.repeat or ROUNDS
    sizes = (arguments.history, arguments.tenfold)
    setting = Setting(rounds, arguments.scale, work, work, say, *sizes)
    results: list[Result] = []
    error: ProvlogError | None = None
    try:
        for name in names:
            own = _own_setting(name, setting, arguments.repeat)
            for result in WORKLOADS[name](own):
                results.append(result)
                _append_to(arguments.out, result, own)
    except ProvlogError as raised:
        error = raised
    finally:
        say("")
        shutil.rmtree(work, ignore_errors=True)
    print(render(results, setting))
    if error is not None:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", type=_workload)
    parser.add_argument(
        "--repeat",
        type=_positive,
        metavar="N",
        help=f"rounds; default: {ROUNDS}, and {ROUNDS_LONG} for {', '.join(LONG)}",
    )
    parser.add_argument(
        "--scale", type=_scale, default=1.0, metavar="X", help="size of the work; default: 1"
    )
    parser.add_argument(
        "--history",
        type=_positive,
        default=LINES,
        metavar="N",
        help="lines in the database before catch_up_100; default: %(default)s",
    )
    parser.add_argument(
        "--tenfold", action="store_true", help="let rebuild_1m look at ten times the lines too"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="append one JSON line per result")
    parser.add_argument(
        "--directory",
        type=Path,
        default=_REPOSITORY / ".bench",
        metavar="DIR",
        help="where to work; default: .bench in the repository",
    )
    return parser


def _workload(name: str) -> str:
    if name not in WORKLOADS:
        message = f"no workload {name!r}; there are: {', '.join(WORKLOADS)}"
        raise argparse.ArgumentTypeError(message)
    return name


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= SCALE_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {SCALE_MAX}")
    return scale


def _own_setting(name: str, setting: Setting, repeat: int | None) -> Setting:
    directory = setting.directory / name
    directory.mkdir()
    return replace(
        setting,
        repeat=repeat or (ROUNDS_LONG if name in LONG else ROUNDS),
        directory=directory,
        say=lambda text: say(f"{name}: {text}"),
    )


def _append_to(out: Path | None, result: Result, setting: Setting) -> None:
    """Keep a result as soon as there is one, so that a later failure costs nothing."""
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(json_line(result, setting) + "\n")


if __name__ == "__main__":
    main()
