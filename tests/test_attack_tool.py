"""`make soak`: attacks for as long as they are told, and the table in which they end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attacks.effort import Effort
from attacks.schedule import Share, Weighted, lanes
from attacks.scoring import Attacked, render

SCRIPT = """
import os
import time
import attack
from attacks import schedule
from attacks.effort import Impossible
from attacks.schedule import Weighted
from attacks.scoring import Attacked

def calm(effort):
    (effort.directory / "file").touch()
    return [Attacked("calm", "kills", injected=sum(1 for _ in effort.numbers()) and 7, runs=1)]

def lossy(effort):
    row = Attacked("lossy", "faults", injected=1, runs=1)
    row.violated(["a line was lost"], f"seed {effort.seed}, number 0")
    return [row]

def clumsy(effort):
    raise ZeroDivisionError

def deadly(effort):
    os._exit(3)

def heavy(effort):
    return [Attacked(f"heavy, nice {os.nice(0)}", "runs")]

def light(effort):
    return [Attacked(f"light, nice {os.nice(0)}", "runs")]

def slight(effort):
    return [Attacked(f"slight, nice {os.nice(0)}", "runs")]

def homeless(effort):
    raise Impossible("no disk")

def endless(effort):
    time.sleep(600)

attack.ATTACKS = {
    function.__name__: Weighted(function, 1.0)
    for function in (calm, lossy, clumsy, deadly, homeless, endless, light, slight)
}
attack.ATTACKS["heavy"] = Weighted(heavy, 2.0)
attack.os.cpu_count = lambda: 2
schedule.GRACE_S = 2
if __name__ == "__main__":
    attack.main()
"""


def attacked(repository: Path, folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    work = str(folder / "work")
    options = ["--minutes", "0.005", "--seed", "5", "--directory", work]
    return subprocess.run(
        [sys.executable, str(script), *names, *options],
        env={**os.environ, "PYTHONPATH": f"{repository}:{repository / 'tools'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_attacks_without_violations_end_well_and_leave_nothing(
    repository: Path, tmp_path: Path
) -> None:
    done = attacked(repository, tmp_path, "calm")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "seed 5, 0.005 minutes",
            "attack  injected  how many  runs  violations",
            "calm    kills            7     1           0",
        ],
    )
    assert list((tmp_path / "work").iterdir()) == []


def test_an_attack_that_is_impossible_here_is_left_out_with_the_reason(
    repository: Path, tmp_path: Path
) -> None:
    done = attacked(repository, tmp_path, "homeless")
    assert (done.returncode, done.stdout.splitlines()[-1].split()) == (
        0,
        ["homeless", "left", "out:", "no", "disk", "0", "0", "0"],
    )


def test_every_violation_is_told_with_the_seed_that_repeats_it(
    repository: Path, tmp_path: Path
) -> None:
    done = attacked(repository, tmp_path)
    (kept,) = (tmp_path / "work").iterdir()
    assert done.returncode == 1
    assert "BROKEN: lossy, seed 5, number 0: a line was lost" in done.stdout
    assert "BROKEN: seed 5: the attack failed:\n" in done.stdout
    assert "ZeroDivisionError" in done.stdout
    assert "BROKEN: seed 5: the process died" in done.stdout
    assert "BROKEN: seed 5: did not end within 2 s after its time" in done.stdout
    assert "in endless" in done.stderr
    assert done.stderr.endswith(f"error: 4 violations, seed 5; kept for a look: {kept}\n")


def test_attacks_that_share_a_lane_yield_to_one_that_has_a_lane_to_itself(
    repository: Path, tmp_path: Path
) -> None:
    done = attacked(repository, tmp_path, "light", "heavy", "slight")
    own = os.nice(0)
    expected = {f"heavy, nice {own}", f"light, nice {own + 10}", f"slight, nice {own + 10}"}
    assert {line.split("  ")[0] for line in done.stdout.splitlines()[2:]} == expected


def test_an_unknown_attack_is_refused_with_the_names_there_are(
    repository: Path, tmp_path: Path
) -> None:
    done = attacked(repository, tmp_path, "clam")
    assert done.returncode == 2
    names = "calm, lossy, clumsy, deadly, homeless, endless, light, slight, heavy"
    assert f"no attack 'clam'; there are: {names}" in done.stderr


def nothing(_effort: Effort) -> list[Attacked]:
    return []


def test_lanes_are_about_as_heavy_as_each_other_and_use_all_of_their_time() -> None:
    weights = {"a": 4.0, "b": 2.0, "c": 1.0, "d": 1.0}
    planned = lanes({name: Weighted(nothing, weights[name]) for name in weights}, 60, 2)
    assert planned == [
        [Share("a", 60.0)],
        [Share("b", 30.0), Share("c", 15.0), Share("d", 15.0)],
    ]


def test_there_are_no_more_lanes_than_attacks() -> None:
    assert lanes({"a": Weighted(nothing, 1.0)}, 60, 8) == [[Share("a", 60.0)]]


def test_an_effort_ends_after_its_times_or_its_deadline(tmp_path: Path) -> None:
    assert list(Effort(tmp_path, 1, times=3).numbers()) == [0, 1, 2]
    assert list(Effort(tmp_path, 1, times=3, deadline=0.0).numbers()) == []
    assert next(Effort(tmp_path, 1).numbers()) == 0
    assert Effort(tmp_path, 1).random(4).random() == Effort(tmp_path, 1).random(4).random()


@pytest.mark.parametrize("count", [1, 2])
def test_rows_of_the_same_attack_are_added_up(count: int) -> None:
    rows = [Attacked("a", "faults", 1000, 2, ["x"])] * count
    assert render(rows).splitlines()[1].split() == [
        *("a", "faults", f"{1000 * count:,}", str(2 * count), str(count)),
    ]
