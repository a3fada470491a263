"""Calls in several processes: what comes out is what would come of calls made one by one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provenance_log import spreading
from provenance_log.errors import LineInvalid
from provenance_log.spreading import spread

_KILLED_PARENT = """if True:
    import os, sys, time
    from pathlib import Path
    from provenance_log import spreading

    def work(number):
        (Path(sys.argv[1]) / str(os.getpid())).touch()
        time.sleep(60)

    spreading.usable_processes = lambda: 3
    list(spreading.spread(work, [1, 2, 3, 4], 3))
"""


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "usable_processes", lambda: 2)


def test_results_come_in_the_order_of_the_items_from_more_than_one_process() -> None:
    def work(number: int) -> tuple[int, int]:
        time.sleep(0.05 if number == 0 else 0.01)
        return number, os.getpid()

    results = list(spread(work, range(9), 2))

    assert [number for number, _ in results] == list(range(9))
    pids = {pid for _, pid in results}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_an_error_is_raised_at_its_turn_as_by_a_call() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise LineInvalid("not_json", "broken")
        return number

    results = spread(work, range(6), 2)

    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LineInvalid, match="broken") as raised:
        next(results)
    assert raised.value.reason == "not_json"


def test_what_a_process_that_dies_did_not_do_is_done_here() -> None:
    here = os.getpid()

    def work(number: int) -> int:
        if number in {1, 2} and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    assert list(spread(work, range(7), 2)) == [0, 1, 4, 9, 16, 25, 36]


def test_processes_end_with_the_iterator(tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / str(os.getpid())).touch()
        if number:
            time.sleep(60)
        return number

    results = spread(work, range(4), 2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]  # a generator

    assert [pid for pid in _pids(tmp_path) if _is_alive(pid)] == []


def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED_PARENT, str(tmp_path)]
    parent = subprocess.Popen(command)
    while len(_pids(tmp_path)) < 3:
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()

    deadline = time.monotonic() + 20
    while any(_is_alive(pid) for pid in _pids(tmp_path)):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.02)


def _pids(directory: Path) -> list[int]:
    return [int(path.name) for path in directory.iterdir()]


def _is_alive(pid: int) -> bool:
    """A process that has ended but whose parent did not ask for its end yet is not alive."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
