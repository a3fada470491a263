"""Attacks side by side, each in a process of its own, for as long as they are told.

Every attack gets a share of the time by its weight. There are as many lanes as processors; the
attacks of a lane come one after the other, and all lanes end at about the same moment. Where an
attack has a lane to itself, the others run with a lower priority: most of them have several
processes at once, which would take its processor from it.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from attacks.effort import Effort, Impossible
from attacks.scoring import Attacked

YIELDING = 10
"""How nice (as in `nice -n`) the attacks are that share a lane."""
GRACE_S = 900.0
"""How much longer than its time an attack may take, as to find the shortest steps that fail."""

Attack = Callable[[Effort], list[Attacked]]


@dataclass(frozen=True, slots=True)
class Weighted:
    """An attack, and how much of the time it is worth beside the others."""

    attack: Attack
    weight: float


@dataclass(frozen=True, slots=True)
class Share:
    """One attack's part of a run."""

    name: str
    seconds: float


def lanes(attacks: Mapping[str, Weighted], seconds: float, count: int) -> list[list[Share]]:
    """Divide attacks over lanes, and the time of each lane over its attacks.

    The heaviest come first, each into the lane that has least to do, so the lanes are about as
    heavy as each other. No lane is empty.
    """
    chosen: list[list[str]] = [[] for _ in range(min(count, len(attacks)))]

    def weight(names: Sequence[str]) -> float:
        return sum(attacks[name].weight for name in names)

    for name in sorted(attacks, key=lambda name: (-attacks[name].weight, name)):
        min(chosen, key=weight).append(name)
    return [
        [Share(name, seconds * attacks[name].weight / weight(names)) for name in names]
        for names in chosen
    ]


def run(
    attacks: Mapping[str, Weighted],
    seconds: float,
    *,
    seed: int,
    directory: Path,
    lane_count: int,
    say: Callable[[str], None],
) -> list[Attacked]:
    """Run every attack for its share of the time, and return all rows.

    An attack that ends with an exception is a violation, and so is one that takes its process
    with it, or does not end: that one is aborted, and tells on stderr what it was doing. The
    directories of attacks without violations are removed by whoever made `directory`.
    """
    planned = lanes(attacks, seconds, lane_count)

    def run_lane(shares: list[Share]) -> list[Attacked]:
        rows = []
        niceness = YIELDING if len(shares) > 1 else 0
        for share in shares:
            say(f"{share.name} for {share.seconds:,.0f} s")
            attack, place = attacks[share.name].attack, directory / share.name
            found = _in_process(attack, share, seed, place, niceness)
            say(f"{share.name}: {sum(len(row.violations) for row in found)} violations")
            rows += found
        return rows

    with ThreadPoolExecutor(len(planned)) as pool:
        return [row for rows in pool.map(run_lane, planned) for row in rows]


def _in_process(
    attack: Attack, share: Share, seed: int, directory: Path, niceness: int
) -> list[Attacked]:
    directory.mkdir(parents=True)
    # A new interpreter for each: an attack may fork, set limits, or leave threads behind.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawning, initializer=_begin, initargs=(niceness,)) as pool:
        try:
            pid = pool.submit(os.getpid).result()
            running = pool.submit(_attack, attack, share, seed, directory)
            return running.result(share.seconds + GRACE_S)
        except BrokenProcessPool:
            told = "the process died"
        except TimeoutError:
            told = f"did not end within {GRACE_S:,.0f} s after its time"
            os.kill(pid, signal.SIGABRT)
        return [Attacked(share.name, "runs", violations=[f"seed {seed}: {told}"])]


def _begin(niceness: int) -> None:
    faulthandler.enable()
    os.nice(niceness)


def _attack(attack: Attack, share: Share, seed: int, directory: Path) -> list[Attacked]:
    effort = Effort(directory, seed, deadline=time.monotonic() + share.seconds)
    try:
        return attack(effort)
    except Impossible as reason:
        return [Attacked(share.name, f"left out: {reason}")]
    except Exception:  # noqa: BLE001 - whatever it was, it is told with the seed that repeats it
        told = f"seed {seed}: the attack failed:\n{traceback.format_exc()}"
        return [Attacked(share.name, "runs", violations=[told])]
