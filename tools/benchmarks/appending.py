"""append_process, append_disk, append_8_processes: our append against the least that does it.

The bare loop encodes an action that is already complete, numbers and all, and writes it; it
neither chains nor checks nor redacts. Both sides write lines of the same length to fresh logs.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from corpus import Shape, make_corpus
from sample_action import ACTION

from benchmarks.measuring import (
    CHILD_COMMAND,
    LINES,
    Result,
    Setting,
    Target,
    alternate,
    ratios,
)
from provenance_log.appender import Appender, Durability
from provenance_log.format import decode
from provenance_log.redact import RedactionSettings, Redactor
from provenance_log.store import open_store

ACTIONS_PROCESS = 20_000
ACTIONS_DISK = 400
ACTIONS_GROWN = 5000
ACTIONS_SHARED = 40_000
THREADS = 8
PROCESSES = 8
LINES_FEW = 1000

_OFF = Redactor(RedactionSettings(is_enabled=False), lambda: b"")


def append_process(setting: Setting) -> list[Result]:
    """Append with durability `process` against encode, lock, write; and to a long log."""
    return [*_against_bare(setting), *_grown(setting)]


def _against_bare(setting: Setting) -> list[Result]:
    count = setting.scaled(ACTIONS_PROCESS, least=20)
    logs = _Logs(setting.directory)
    values = alternate(
        setting,
        {
            "bare": lambda _: _bare(logs.fresh(), count, _write_locked),
            "ours": lambda _: _ours(logs.fresh(), count, "process"),
            "raw": lambda _: _ours(logs.fresh(), count, "process", redactor=_OFF),
        },
    )
    against = "bare loop orjson.dumps + flock + os.write"
    times = ratios(values["ours"], values["bare"])
    redacting = ratios(values["ours"], values["raw"])
    off = "our append with redaction off"
    return [
        Result("append_process", against, "time", times, Target("P1", 3, "time"), values),
        Result("append_process, redaction", off, "time", redacting, measured=values),
    ]


def _grown(setting: Setting) -> list[Result]:
    """Append to a log of a million lines against one of a thousand, both open and opened."""
    count = setting.scaled(ACTIONS_GROWN, least=20)
    many, few = (_log_of(setting, n) for n in _lengths(setting))
    appends = alternate(
        setting,
        {
            "few": lambda _: _ours(few, count, "process"),
            "many": lambda _: _ours(many, count, "process"),
        },
    )
    opens = alternate(
        setting, {"few": lambda _: _first_append(few), "many": lambda _: _first_append(many)}
    )
    many_count, few_count = _lengths(setting)
    name = f"append_process, at {many_count:,} lines"
    against = f"at {few_count:,} lines"
    times, firsts = (ratios(values["many"], values["few"]) for values in (appends, opens))
    return [
        Result(name, against, "time", times, Target("P2", 1.1, "time"), appends),
        Result(f"{name}, open too", against, "time", firsts, measured=opens),
    ]


def _lengths(setting: Setting) -> tuple[int, int]:
    return setting.scaled(LINES, least=20), setting.scaled(LINES_FEW, least=2)


def appends_at(setting: Setting, lengths: Sequence[int]) -> dict[int, list[float]]:
    """Return seconds per append to open logs of these many lines, round by round."""
    count = setting.scaled(ACTIONS_GROWN, least=20)
    logs = {str(length): _log_of(setting, length) for length in lengths}
    variants = {
        name: partial(lambda log, _: _ours(log, count, "process"), log)
        for name, log in logs.items()
    }
    values = alternate(setting, variants)
    return {length: values[str(length)] for length in lengths}


def _log_of(setting: Setting, lines_count: int) -> Path:
    root = setting.directory / f"log-{lines_count}"
    setting.say(f"making a log of {lines_count:,} lines")
    make_corpus(root, Shape(1, lines_count))
    (directory,) = open_store(root).session_directories()
    os.sync()
    return directory.log


def _first_append(log: Path) -> float:
    """Return seconds to open a log, append to it and close it, as who resumes a session does."""
    appender = Appender(log)

    def work() -> None:
        appender.append(ACTION)
        appender.close()

    return _timed(work)


def append_8_processes(setting: Setting) -> list[Result]:
    """Let eight processes append to one log against one process, by what all append a second."""
    count = setting.scaled(ACTIONS_SHARED, least=PROCESSES)
    logs = _Logs(setting.directory)
    values = alternate(
        setting,
        {
            "one": lambda _: _by_processes(logs.fresh(), count, 1),
            "eight": lambda _: _by_processes(logs.fresh(), count, PROCESSES),
        },
        warm_up=False,
    )
    rates = ratios(values["one"], values["eight"])
    target = Target("P5", 0.6, "throughput")
    return [Result("append_8_processes, rate", "1 process", "throughput", rates, target, values)]


def _by_processes(log: Path, count: int, processes_count: int) -> float:
    """Return seconds per action, from the first start to the last end among the processes."""
    share = count // processes_count
    command = [*CHILD_COMMAND, "append_when_told", str(log), str(share)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        for _ in range(processes_count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    spans = [json.loads(process.communicate()[0]) for process in processes]
    elapsed_s = max(end for _, end in spans) - min(start for start, _ in spans)
    return float(elapsed_s) / (share * processes_count)


def append_disk(setting: Setting) -> list[Result]:
    """Append with durability `disk`, by one thread and by eight, against write and fdatasync."""
    count = setting.scaled(ACTIONS_DISK, least=5)
    logs = _Logs(setting.directory)
    values = alternate(
        setting,
        {
            "bare": lambda _: _bare(logs.fresh(), count, _write_synced),
            "one": lambda _: _ours(logs.fresh(), count, "disk"),
            "eight": lambda _: _ours(logs.fresh(), count, "disk", threads=THREADS),
        },
    )
    against = "bare write + fdatasync, 1 thread"
    times = ratios(values["one"], values["bare"])
    rates = ratios(values["bare"], values["eight"])
    name = f"append_disk, {THREADS} threads, rate"
    return [
        Result(
            "append_disk, 1 thread, time",
            against,
            "time",
            times,
            Target("P4", 1.15, "time"),
            values,
        ),
        Result(name, against, "throughput", rates, Target("P4", 3, "throughput"), values),
    ]


class _Logs:
    """Gives out the paths of logs that are not there yet, in directories of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def fresh(self) -> Path:
        self._count += 1
        directory = self._directory / str(self._count)
        directory.mkdir()
        return directory / "actions.jsonl"


def _ours(
    log: Path,
    count: int,
    durability: Durability,
    *,
    threads: int = 1,
    redactor: Redactor | None = None,
) -> float:
    """Return seconds per action, the first append left out: it opens the log."""
    appender = Appender(log, durability=durability, redactor=redactor)
    appender.append(ACTION)

    def work() -> None:
        for _ in range(count):
            appender.append(ACTION)

    if threads == 1:
        elapsed_s = _timed(work)
    else:
        workers = [threading.Thread(target=work) for _ in range(threads)]
        elapsed_s = _timed(lambda: _run_all(workers))
    appender.close()
    return elapsed_s / (count * threads)


def _run_all(workers: list[threading.Thread]) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _bare(log: Path, count: int, write: Callable[[int, bytes], None]) -> float:
    """Return seconds per action of a loop that does nothing but encode and write."""
    complete = _complete_action(log.with_name("model.jsonl"))
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def work() -> None:
        for _ in range(count):
            write(fd, orjson.dumps(complete) + b"\n")

    try:
        write(fd, orjson.dumps(complete) + b"\n")
        return _timed(work) / count
    finally:
        os.close(fd)


def _complete_action(log: Path) -> dict[str, Any]:
    """Return the action as our appender writes it, so that the bare lines are as long."""
    appender = Appender(log)
    appender.append(ACTION)
    appender.close()
    return decode(log.read_bytes().rstrip(b"\n"))


def _write_locked(fd: int, line: bytes) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, line)
    fcntl.flock(fd, fcntl.LOCK_UN)


def _write_synced(fd: int, line: bytes) -> None:
    os.write(fd, line)
    os.fdatasync(fd)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
