"""Run the daemon long, under load and under faults, and say which promise it broke.

    python tools/soak.py                              all runs
    python tools/soak.py load --seconds 10
    python tools/soak.py killing --times 20 --out results.jsonl

Runs: load, blind, killing, starting, holding, healing, idling, following. Together they take
about half an hour. Work files go below `.soak` in the repository and are removed at the end,
unless a promise was broken.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from soaking.blind import blind
from soaking.following import following
from soaking.healing import healing
from soaking.holding import holding
from soaking.idling import idling
from soaking.killing import killing
from soaking.load import load
from soaking.measuring import Outcome, Setting
from soaking.starting import starting
from status_line import say

from provenance_log.errors import ProvlogError

RUNS: dict[str, Callable[[Setting], Outcome]] = {
    "load": load,
    "blind": blind,
    "killing": killing,
    "starting": starting,
    "holding": holding,
    "healing": healing,
    "idling": idling,
    "following": following,
}
_REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run what the arguments name, one after the other, and fail if a promise was broken."""
    arguments = _parser().parse_args()
    # So that no daemon outlives a run that is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: told to end"))
    names = [name for name in RUNS if name in arguments.runs] or list(RUNS)
    arguments.directory.mkdir(parents=True, exist_ok=True)
    bad = [name for name in names if not _run(name, arguments)]
    if bad:
        sys.exit(f"error: promises were broken in: {', '.join(bad)}")


def _run(name: str, arguments: argparse.Namespace) -> bool:
    """Do one run; returns whether every promise was kept."""
    work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=arguments.directory.resolve()))
    setting = Setting(
        work,
        lambda text: say(f"{name}: {text}"),
        Random(arguments.seed),
        seconds_given=arguments.seconds,
        times_given=arguments.times,
        sessions_given=arguments.sessions,
    )
    outcome = Outcome(name)
    try:
        outcome = RUNS[name](setting)
    except ProvlogError as error:
        outcome.promise(False, str(error))
    finally:
        say("")
    print(outcome.render(), end="\n\n", flush=True)
    if arguments.out is not None:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(outcome.json_line() + "\n")
    if outcome.broken:
        print(f"kept for a look: {work}", file=sys.stderr)
    else:
        shutil.rmtree(work, ignore_errors=True)
    return not outcome.broken


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", type=_name)
    parser.add_argument("--seconds", type=float, metavar="N", help="length of a phase of a run")
    parser.add_argument("--times", type=int, metavar="N", help="how often to kill or to start")
    parser.add_argument("--sessions", type=int, metavar="N", help="how many sessions are idle")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="for what is random")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append one JSON line per run")
    parser.add_argument(
        "--directory",
        type=Path,
        default=_REPOSITORY / ".soak",
        metavar="DIR",
        help="where to work; default: .soak in the repository",
    )
    return parser


def _name(text: str) -> str:
    if text not in RUNS:
        raise argparse.ArgumentTypeError(f"no run {text!r}; there are: {', '.join(RUNS)}")
    return text


if __name__ == "__main__":
    main()
