"""Attack the promises of docs/guarantees.md for as long as you like, and print what broke.

    python tools/attack.py --minutes 60
    python tools/attack.py kills model --minutes 5 --seed 7

Each attack gets its share of the time, as many side by side as there are processors. Whatever
happens can be repeated with the seed, which is printed first and with every violation. Work files
go below `.soak` in the repository and are removed at the end, unless something broke.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from attacks.databases import bits, databases
from attacks.databases_held import held
from attacks.databases_kills import database_kills
from attacks.databases_limits import full_disk, little_memory
from attacks.exhaustion import exhaustion
from attacks.fuzz import fuzz
from attacks.kills import stopped_holders, writers
from attacks.kills_projecting import daemons, projectors, rebuilds
from attacks.kills_recording import drainers, recorders
from attacks.model import model
from attacks.poison_lines import parsers
from attacks.poison_logs import cuts_then_append, flipped_bits, flips_projected
from attacks.power_cuts import power_cuts
from attacks.schedule import Weighted, run
from attacks.scoring import render
from attacks.short_writes import short_writes
from attacks.system_calls import system_calls

ATTACKS = {
    "model": Weighted(model, 60),
    "writers": Weighted(writers, 10),
    "recorders": Weighted(recorders, 7.5),
    "drainers": Weighted(drainers, 2),
    "projectors": Weighted(projectors, 2.5),
    "rebuilds": Weighted(rebuilds, 1.5),
    "daemons": Weighted(daemons, 1.5),
    "stops": Weighted(stopped_holders, 0.5),
    "power_cuts": Weighted(power_cuts, 10.5),
    "fuzz": Weighted(fuzz, 13),
    "system_calls": Weighted(system_calls, 2),
    "exhaustion": Weighted(exhaustion, 1.5),
    "bits": Weighted(bits, 0.5),
    "databases": Weighted(databases, 1.5),
    "database_kills": Weighted(database_kills, 1.5),
    "little_memory": Weighted(little_memory, 0.5),
    "full_disk": Weighted(full_disk, 0.5),
    "held": Weighted(held, 0.5),
    "short_writes": Weighted(short_writes, 0.5),
    "cuts": Weighted(cuts_then_append, 0.5),
    "flips": Weighted(flipped_bits, 0.5),
    "flips_projected": Weighted(flips_projected, 0.5),
    "parsers": Weighted(parsers, 0.5),
}
"""How much of the time each is worth: the minutes of one processor in a run of an hour on two.

The model has one of the two to itself. Of what `make faults` does as often as is asked for,
system calls and the bits of databases, little is done here.
"""
_REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run what the arguments name, print the table, and fail if a promise broke."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: told to end"))
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    names = arguments.attacks or list(ATTACKS)
    arguments.directory.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="attack-", dir=arguments.directory.resolve()))
    print(f"seed {seed}, {arguments.minutes:g} minutes", flush=True)
    rows = run(
        {name: ATTACKS[name] for name in names},
        60 * arguments.minutes,
        seed=seed,
        directory=directory,
        lane_count=os.cpu_count() or 1,
        say=_Telling().say,
    )
    violations = [text for row in rows for text in row.violations]
    for text in violations:
        print(f"BROKEN: {text}")
    print(render(rows), flush=True)
    if violations:
        sys.exit(f"error: {len(violations)} violations, seed {seed}; kept for a look: {directory}")
    shutil.rmtree(directory, ignore_errors=True)


class _Telling:
    """Tells on stderr what begins and ends, with the minutes since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._mutex = threading.Lock()

    def say(self, text: str) -> None:
        minutes = (time.monotonic() - self._began) / 60
        with self._mutex:
            print(f"{minutes:5.1f} min  {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", type=_name, help=_there_are())
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="default: 10")
    parser.add_argument("--seed", type=int, metavar="N", help="for what is random; default: new")
    parser.add_argument(
        "--directory",
        type=Path,
        default=_REPOSITORY / ".soak",
        metavar="DIR",
        help="where to work; default: .soak in the repository",
    )
    return parser


def _there_are() -> str:
    return "there are: " + ", ".join(ATTACKS)


def _name(text: str) -> str:
    if text not in ATTACKS:
        raise argparse.ArgumentTypeError(f"no attack {text!r}; {_there_are()}")
    return text


if __name__ == "__main__":
    main()
