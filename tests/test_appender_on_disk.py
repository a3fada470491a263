"""What is on the disk when an append returns, and what a failed sync means."""

import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from log_cases import action, check_goes_on, locks_held, numbers_of

from provenance_log import files
from provenance_log.appender import Appender
from provenance_log.errors import (
    AppendUnknown,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "actions.jsonl"


@pytest.fixture
def appender(log: Path) -> Iterator[Appender]:
    made = Appender(log)
    yield made
    made.close()


def test_on_disk_the_data_and_then_the_new_name_are_synced(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: a file's name is durable only after its directory was synced, once."""
    calls: list[str] = []
    monkeypatch.setattr(files, "sync_data", lambda _: calls.append("data"))
    monkeypatch.setattr(files, "sync_directory", lambda path: calls.append(path.name))
    appender = Appender(log, durability="disk")

    placed = appender.append(action())
    appender.append(action())
    appender.append(action(), durability="process")

    assert placed.durability == "disk"
    assert calls == ["data", log.parent.name, "data"]


def test_a_failed_sync_is_not_acknowledged_and_not_tried_again(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A10: the kernel may have dropped the pages, so the descriptor is given up."""
    appender = Appender(log, durability="disk")
    appender.append(action())
    synced: list[int] = []
    sync_data = files.sync_data

    def fail_once(fd: int) -> None:
        synced.append(fd)
        if len(synced) == 1:
            raise OSError(errno.EIO, "Input/output error")
        sync_data(fd)

    monkeypatch.setattr(files, "sync_data", fail_once)
    spare = os.open(log, os.O_RDONLY)  # so that a new descriptor gets another number
    with pytest.raises(AppendUnknown, match="may not be on the disk") as raised:
        appender.append(action(database_event_id="doubtful"))
    assert raised.value.path == log
    assert appender.append(action()).action_id == 3
    os.close(spare)

    assert len(synced) == 2
    assert numbers_of(log) == [1, 2, 3]
    assert locks_held() == 0
    # A later sync of those bytes would say yes without having written them.
    with pytest.raises(AppendUnknown, match="failed earlier"):
        appender.append(action(database_event_id="doubtful"))
    placed = appender.append(action(database_event_id="doubtful"), durability="process")
    assert (placed.was_there, placed.durability) == (True, "process")
    check_goes_on(log)


def test_a_failed_sync_of_the_directory_is_not_acknowledged(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A10."""
    appender = Appender(log, durability="disk")
    sync_directory = files.sync_directory

    def fail_once(path: Path) -> None:
        monkeypatch.setattr(files, "sync_directory", sync_directory)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "sync_directory", fail_once)
    with pytest.raises(AppendUnknown):
        appender.append(action())
    assert appender.append(action()).durability == "disk"


def test_threads_share_syncs(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: group commit; each append returns only after a sync that began after its write."""
    syncs: list[int] = []
    sync_data = files.sync_data

    def counted(fd: int) -> None:
        size = os.fstat(fd).st_size
        sync_data(fd)
        syncs.append(size)

    monkeypatch.setattr(files, "sync_data", counted)
    appender = Appender(log, durability="disk")
    ends: list[tuple[int, int]] = []

    def work(_: int) -> None:
        for _ in range(25):
            item = appender.append(action())
            ends.append((item.offset + item.length + 1, max(syncs)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert len(ends) == 200
    assert len(syncs) < 200
    assert all(end <= synced for end, synced in ends)


def test_closing_while_others_append_loses_nothing(log: Path) -> None:
    appender = Appender(log, durability="disk")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    def work(n: int) -> None:
        for _ in range(20):
            appender.append(action())
            if n == 0:
                appender.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    appender.close()
    appender.close()

    assert numbers_of(log) == list(range(1, 81))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_replaced_log_is_unlocked_while_another_thread_still_syncs_it(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A4, A9: whoever waits for the old file finds out that it was replaced."""
    started, let_go = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        started.set()
        assert let_go.wait(10)

    monkeypatch.setattr(files, "sync_data", slow)
    appender = Appender(log)
    syncing = threading.Thread(target=lambda: appender.append(action(), durability="disk"))
    syncing.start()
    assert started.wait(10)
    log.with_name("new").write_bytes(b"")
    log.with_name("new").rename(log)

    appender.append(action())

    assert locks_held() == 0
    let_go.set()
    syncing.join()
    assert numbers_of(log) == [1]
