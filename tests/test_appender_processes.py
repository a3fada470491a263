"""Many threads and many processes append to one log, are forked, and are killed."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from log_cases import APPEND_ONE, action, check_goes_on, numbers_of, read_all, run_python

from provenance_log.appender import Appended, Appender
from provenance_log.format import line_hash


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "actions.jsonl"


@pytest.fixture
def appender(log: Path) -> Iterator[Appender]:
    made = Appender(log)
    yield made
    made.close()


def append_from_threads(path: str, process: int, threads: int, count: int) -> None:
    appender = Appender(Path(path))

    def work(thread: int) -> None:
        for n in range(count):
            appender.append(action(tool=f"{process}/{thread}", details={"n": n}))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


@pytest.mark.slow
def test_8_processes_of_4_threads_append_64_000_lines_in_one_chain(log: Path) -> None:
    """A1, A4, A6, F11: dense numbers, no torn line, an unbroken chain, each writer in its order."""
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=append_from_threads, args=(str(log), n, 4, 2_000)) for n in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 8

    reading = read_all(log)
    assert (reading.bad, reading.unchained) == ([], [])
    assert [value["action_id"] for value in reading.values] == list(range(1, 64_001))
    by_writer: dict[str, list[int]] = {}
    for value in reading.values:
        by_writer.setdefault(value["tool"], []).append(value["details"]["n"])
    assert len(by_writer) == 32
    assert all(numbers == list(range(2_000)) for numbers in by_writer.values())


def test_a_fork_after_opening_gives_both_sides_an_appender_of_their_own(
    log: Path, appender: Appender
) -> None:
    """A4, F14: a forked child shares the parent's file description, and so its lock."""
    appender.append(action())
    stop = threading.Event()

    def keep_appending() -> None:
        while not stop.is_set():
            appender.append(action(tool="parent"))

    threads = [threading.Thread(target=keep_appending) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(100):
                    appender.append(action(tool="child"))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stop.set()
    for thread in threads:
        thread.join()

    assert codes == [0] * 8
    reading = read_all(log)
    assert (reading.bad, reading.unchained) == ([], [])
    assert numbers_of(log) == list(range(1, len(reading.good) + 1))
    assert sum(value["tool"] == "child" for value in reading.values) == 800


def test_a_child_that_holds_nothing_keeps_nobody_waiting(log: Path, appender: Appender) -> None:
    """A9, F14: a child that lives on does not keep its parent's lock."""
    appender.append(action())
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(read_end)
    try:
        appender.append(action())
        assert run_python(APPEND_ONE, str(log), timeout=20).stdout == "3\n"
    finally:
        os.close(write_end)
        os.waitpid(child, 0)


@pytest.mark.parametrize("written", [b"", b'{"timestamp":"2026-01', b"whole\n"])
def test_a_writer_killed_with_the_lock_in_hand_keeps_nobody_waiting(
    log: Path, appender: Appender, written: bytes
) -> None:
    """A9, F13: the kernel frees the lock, and the next append seals what is left."""
    appender.append(action())
    script = """if True:
        import fcntl, os, sys, time
        fd = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, sys.argv[2].encode())
        print("locked", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", script, str(log), written.decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "locked\n"
        appended: list[Appended] = []
        waiting = threading.Thread(target=lambda: appended.append(appender.append(action())))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert appended == []
        writer.kill()
        waiting.join(20)

    assert [item.action_id for item in appended] == [2]
    assert read_all(log).bad == ([(2, "not_json")] if written else [])
    assert read_all(log).unchained == []
    check_goes_on(log)


def test_writers_killed_at_random_leave_whole_lines_and_fragments_only(log: Path) -> None:
    """A1, A2, A9, F12: each acknowledged line is there once, and nothing else is fused."""
    script = """if True:
        import sys
        from pathlib import Path
        from provenance_log.appender import Appender
        appender = Appender(Path(sys.argv[1]))
        n = 0
        while True:
            n += 1
            details = {"text": "x" * (n * 97 % 5000)}
            item = appender.append({"type": "read", "tool": sys.argv[2], "status": "success",
                                    "database_event_id": f"{sys.argv[2]}-{n}", "details": details})
            print(item.action_id, item.hash, flush=True)
    """
    acknowledged: list[tuple[int, str]] = []
    for generation in range(4):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(log), f"{generation}-{n}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(2)
        ]
        outputs: list[list[str]] = [[], []]
        for writer, output in zip(writers, outputs, strict=True):
            assert writer.stdout is not None
            output.extend(writer.stdout.readline() for _ in range(20 + 31 * generation))
            writer.kill()
        for writer, output in zip(writers, outputs, strict=True):
            rest = writer.communicate()[0].splitlines()
            pairs = [text.split() for text in (*output, *rest)]
            acknowledged += [(int(p[0]), p[1]) for p in pairs if len(p) == 2 and len(p[1]) == 64]

    reading = read_all(log)
    hashes = [line_hash(content) for content in reading.good]
    found = dict(zip((value["action_id"] for value in reading.values), hashes, strict=True))
    assert len(found) == len(reading.good)
    assert [found[number] for number, _ in acknowledged] == [digest for _, digest in acknowledged]
    assert sorted(found) == list(range(1, len(found) + 1))
    assert len(reading.bad) <= 8
    assert reading.unchained == []
    check_goes_on(log)
