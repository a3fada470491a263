"""Concurrent appenders share one sync, and a failed one is never tried again."""

import errno
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provenance_log import files
from provenance_log.sync_gate import SyncGate


@pytest.fixture
def fd(tmp_path: Path) -> int:
    return os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class Disk:
    """Stands in for the disk: each sync waits until it is let go, and may then fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.count = 0
        self.fails: Callable[[int], bool] = lambda _: False
        monkeypatch.setattr(files, "sync_data", self.sync_data)

    def sync_data(self, fd: int) -> None:
        self.count += 1
        number = self.count
        self.started.release()
        assert self.let_go.acquire(timeout=10)
        assert is_open(fd)
        if self.fails(number):
            raise OSError(errno.EIO, f"sync {number}")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_all_who_wrote_before_a_sync_began_share_it(fd: int, disk: Disk) -> None:
    gate = SyncGate(fd)
    tickets = [gate.enter() for _ in range(5)]
    with ThreadPoolExecutor(6) as pool:
        first = [pool.submit(gate.sync, ticket) for ticket in tickets]
        disk.started.acquire()
        late = pool.submit(gate.sync, gate.enter())  # wrote while the sync was running
        disk.let_go.release()
        for future in first:
            future.result(10)
        disk.started.acquire()
        assert not late.done()
        disk.let_go.release()
        late.result(10)

    assert disk.count == 2
    gate.close()
    assert not is_open(fd)


def test_a_failed_sync_is_told_to_all_who_waited_and_never_tried_again(fd: int, disk: Disk) -> None:
    """A10."""
    disk.fails = lambda _: True
    gate = SyncGate(fd)
    tickets = [gate.enter() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(gate.sync, ticket) for ticket in tickets]
        disk.let_go.release()
        for future in futures:
            with pytest.raises(OSError, match="sync 1"):
                future.result(10)
    with pytest.raises(OSError, match="sync 1"):
        gate.sync(gate.enter())

    assert disk.count == 1


def test_what_was_synced_before_a_failure_stays_synced(fd: int, disk: Disk) -> None:
    disk.fails = lambda number: number == 2
    disk.let_go.release(2)
    gate = SyncGate(fd)
    early, same = gate.enter(), gate.enter()
    gate.sync(early)
    with pytest.raises(OSError, match="sync 2"):
        gate.sync(gate.enter())

    gate.sync(same)

    assert disk.count == 2


def test_the_descriptor_is_closed_when_its_last_user_has_left(fd: int, disk: Disk) -> None:
    gate = SyncGate(fd)
    ticket = gate.enter()
    gate.close()
    assert is_open(fd)
    disk.let_go.release()
    gate.sync(ticket)

    assert not is_open(fd)
    gate.close()


def test_a_log_that_shrank_is_synced_as_it_grows_again(fd: int, disk: Disk) -> None:
    """A1: what counts is the order of writes, for offsets come back after a truncation."""
    gate = SyncGate(fd)
    disk.let_go.release(2)
    os.pwrite(fd, b"x" * 1_000, 0)
    gate.sync(gate.enter())
    os.truncate(fd, 0)
    os.pwrite(fd, b"x", 0)
    gate.sync(gate.enter())

    assert disk.count == 2
    gate.close()


def test_a_close_that_fails_is_not_done_again_to_a_number_that_may_be_anothers(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    def fail(number: int) -> None:
        closed.append(number)
        raise OSError(errno.EIO, "Input/output error")

    gate = SyncGate(fd)
    with monkeypatch.context() as patched:
        patched.setattr(os, "close", fail)
        gate.close()
        gate.close()
    os.close(fd)

    assert closed == [fd]


def test_those_who_came_together_are_waited_for_and_share_the_next_sync(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: each of them would come just too late for the one that the first of them began."""
    counts: list[int] = []
    gate = SyncGate(fd)

    def slow(_fd: int) -> None:
        counts.append(gate._entered - gate._synced)
        time.sleep(0.05)

    monkeypatch.setattr(files, "sync_data", slow)

    def work(number: int) -> None:
        for _ in range(6):
            time.sleep(0.002 * number)
            gate.sync(gate.enter())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    assert sum(counts) == 24
    assert counts.count(4) >= 3
    gate.close()


def test_a_thread_on_its_own_never_waits_for_others(
    fd: int, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_seconds: float) -> None:
        raise AssertionError

    monkeypatch.setattr(time, "sleep", refuse)
    gate = SyncGate(fd)
    for _ in range(3):
        disk.let_go.release()
        gate.sync(gate.enter())

    assert disk.count == 3
    gate.close()


def test_whoever_stays_away_is_waited_for_no_longer_than_a_sync_takes(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = SyncGate(fd)
    monkeypatch.setattr(files, "sync_data", lambda _: time.sleep(0.05))
    tickets = [gate.enter() for _ in range(3)]
    for ticket in tickets:
        gate.sync(ticket)  # one sync for three

    started = time.perf_counter()
    gate.sync(gate.enter())
    waited_s = time.perf_counter() - started
    gate.sync(gate.enter())

    assert 0.09 <= waited_s < 1
    assert gate._sharers == 1
    gate.close()
