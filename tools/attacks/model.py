"""The stateful model: the real store against a simple one, in any order of acts and harms.

`model_bytes` says what the bytes of a log mean, `model_world` keeps a store and its model,
`model_appending`, `model_harms`, `model_keeping`, `model_projecting` and `model_tables` act on it
and predict, and `model_machine` lets hypothesis choose. Runs are made in slices, each with a seed
of its own, so that a slice can be repeated without those before.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from attacks.effort import Effort
from attacks.model_machine import Keeping
from attacks.model_world import without_syncs
from attacks.scoring import Attacked

STEPS_OF_AN_EXAMPLE = 100
EXAMPLES_OF_A_SLICE = 4
ATTACK = "model: the store"

_TEXT_CHARACTERS_MAX = 20_000


def model(effort: Effort, *, shrink: bool = True) -> list[Attacked]:
    """Let machines act on stores, and return how many steps they made and what broke.

    One of `effort.numbers()` is a slice of a few examples of up to 100 steps. What breaks is told
    with the shortest steps that break it, which takes minutes to find; without `shrink`, with the
    first. Its store stays as `model-failed` in the directory of the effort.
    Attacks A1, A2, A4 to A7, B1 to B5, B10, C1, C3, C4, D1 to D3, E2 and E4.
    """
    row = Attacked(ATTACK, "steps")
    for number in effort.numbers():
        slice_seed = effort.random(number).getrandbits(64)
        machine = _machine_in(effort.directory)
        text = _broken(machine, slice_seed, shrink=shrink)
        row.injected += machine.steps
        row.runs += EXAMPLES_OF_A_SLICE
        if text is not None:
            row.violated([text], f"seed {effort.seed}, number {number}")
        effort.say(f"{row.injected:,} steps, {len(row.violations)} violations")
    return [row]


def _machine_in(where: Path) -> type[Keeping]:
    class Machine(Keeping):
        directory = where

    return Machine


def _broken(machine: type[Keeping], slice_seed: int, *, shrink: bool) -> str | None:
    """Run one slice; return the error and the steps that lead to it."""
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    wanted = settings(
        max_examples=EXAMPLES_OF_A_SLICE,
        stateful_step_count=STEPS_OF_AN_EXAMPLE,
        phases=phases,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        with without_syncs():
            run_state_machine_as_test(seed(slice_seed)(machine), settings=wanted)
    except Exception as error:  # noqa: BLE001 - whatever is raised here, a promise is broken
        at = traceback.extract_tb(error.__traceback__)[-1]
        notes = "\n".join(getattr(error, "__notes__", ()))
        told = f"{type(error).__name__}: {error}, at {at.filename}:{at.lineno}: {at.line}\n{notes}"
        return told[:_TEXT_CHARACTERS_MAX]
    return None
