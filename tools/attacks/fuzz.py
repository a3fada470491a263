"""Fuzzing with coverage guidance (atheris, libFuzzer): one child process for each target.

libFuzzer takes a process over and ends it, so each target runs in one of its own, with seeds made
of what is valid and a dictionary of what is hostile. A target that breaks a promise ends with the
input; what repeats it is in the text of the violation.
"""

from __future__ import annotations

import importlib.util
import math
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from attacks.effort import Effort, Impossible
from attacks.fuzz_seeds import SEEDS, dictionary
from attacks.scoring import Attacked

SHARES = {
    "decoder": 0.62,
    "reader": 0.22,
    "redaction": 0.12,
    "projector": 0.03,
    "hook": 0.006,
    "importer": 0.004,
}
"""Of the inputs; what one input costs differs by a factor of a hundred."""
TIME_SHARES = {
    "decoder": 0.2,
    "reader": 0.34,
    "redaction": 0.12,
    "projector": 0.2,
    "hook": 0.06,
    "importer": 0.08,
}
"""Of the time, where that is the limit."""

_CHILD = Path(__file__).with_name("fuzz_child.py")
_INPUT_BYTES_MAX = 4096
_ONE_INPUT_S_MAX = 120
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
_RAISED = re.compile(r"(?<=Uncaught Python exception: ===\n).*")
_HEX_MAX = 8192


def is_available() -> bool:
    """Say whether atheris is installed: `pip install 'provenance-log[fuzz]'`."""
    return importlib.util.find_spec("atheris") is not None


def fuzz(effort: Effort) -> list[Attacked]:
    """Fuzz every target, a row each; `times` counts inputs over all of them.

    Without a deadline the seed decides all inputs, as far as hashes of Python and the machine
    allow. Raises `Impossible` where atheris is not installed.
    """
    if not is_available():
        raise Impossible("atheris is not installed: `make .venv/fuzz-installed`")
    begun = time.monotonic()
    total_s = effort.deadline - begun
    rows = []
    for target, share in SHARES.items():
        left_s = min(total_s * TIME_SHARES[target], effort.deadline - time.monotonic())
        count = None if effort.times is None else max(1, int(effort.times * share))
        rows.append(fuzz_target(effort, target, count, left_s))
    return rows


def fuzz_target(
    effort: Effort, target: str, count: int | None, total_s: float = math.inf
) -> Attacked:
    """Fuzz one target with so many inputs, or for so long; stops at the first broken promise."""
    row = Attacked(f"fuzzing: {target}", "inputs")
    directory = effort.directory / f"fuzz-{target}"
    _prepare(directory, target)
    command = [sys.executable, str(_CHILD), target, str(directory), *_flags(effort, directory)]
    if count is not None:
        command.append(f"-runs={count}")
    if not math.isinf(total_s):
        command.append(f"-max_total_time={max(1, int(total_s))}")
    effort.say(f"fuzzing {target}")
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    executed = _EXECUTED.search(done.stderr)
    row.injected = row.runs = int(executed[1]) if executed else 0
    if done.returncode != 0 or executed is None:
        row.violated([_told(done, directory)], f"seed {effort.seed}")
    else:
        shutil.rmtree(directory)
    return row


def _prepare(directory: Path, target: str) -> None:
    corpus = directory / "corpus"
    corpus.mkdir(parents=True)
    (directory / "artifacts").mkdir()
    (directory / "work").mkdir()
    for number, seed in enumerate(SEEDS[target]()):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    (directory / "dictionary").write_text(dictionary(), "ascii")


def _flags(effort: Effort, directory: Path) -> list[str]:
    return [
        str(directory / "corpus"),
        f"-seed={effort.seed % 2**32 or 1}",
        f"-max_len={_INPUT_BYTES_MAX}",
        f"-timeout={_ONE_INPUT_S_MAX}",
        f"-dict={directory / 'dictionary'}",
        f"-artifact_prefix={directory / 'artifacts'}/",
        "-print_final_stats=1",
        "-rss_limit_mb=4096",
    ]


def _told(done: subprocess.CompletedProcess[str], directory: Path) -> str:
    """Return what broke and the input that broke it."""
    said = _RAISED.search(done.stdout + done.stderr)
    told = said[0].strip() if said else done.stderr.strip()[-500:]
    inputs = [path.read_bytes().hex()[:_HEX_MAX] for path in directory.glob("artifacts/*")]
    return f"exit code {done.returncode}: {told}; input {', '.join(inputs)}; kept in {directory}"
