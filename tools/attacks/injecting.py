"""Faults of single system calls, by strace: count the calls of a process, and let the n-th fail.

The method is that of Tessera's POSIX tests. strace attaches to a child that has stopped itself,
so a run costs some milliseconds and counts nothing of how Python starts. A call is counted in
each thread apart.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attacks.forking import ForkServer

_KILL = "signal=KILL"
_ERRORS = ("EIO", "ENOSPC", "EINTR", "EDQUOT", "EACCES")
_CHANGING = (_KILL, *(f"error={name}" for name in _ERRORS))
_LOOKING = (_KILL, "error=EIO", "error=EINTR", "error=EACCES")
FAULTS = {
    **dict.fromkeys(
        ("openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "mkdir", "rename"),
        _CHANGING,
    ),
    **dict.fromkeys(("link", "unlink", "rmdir", "chmod", "fchmod", "fallocate"), _CHANGING),
    **dict.fromkeys(("read", "pread64", "newfstatat", "getdents64"), _LOOKING),
    # The error of a lock that the file system does not know.
    "flock": (_KILL, "error=EINTR", "error=ENOLCK"),
    "fcntl": (_KILL, "error=ENOLCK"),
    "lseek": (_KILL, "error=EIO"),
    # An error here would leave the file open, which a real one does not.
    "close": (_KILL,),
}
"""System call → what is injected into it."""
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: what happens to which call."""

    call: str
    number: int
    """Of the calls of this name in one thread, from 1."""
    fault: str

    def __str__(self) -> str:
        return f"{self.call} {self.number} {self.fault}"


def why_impossible() -> str | None:
    """Return why no fault can be injected here; None where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed: `make system-packages`"
    done = subprocess.run(["strace", "true"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"strace may not trace: {done.stderr.strip()}"


def counted(server: ForkServer, below: str, task: Sequence[object]) -> list[tuple[str, int]]:
    """Run a task without a fault, and return its calls that concern paths with `below` in them."""
    with tempfile.TemporaryDirectory() as directory:
        trace = Path(directory, "trace")
        run(server, task, ["-y", "-o", str(trace), "-e", f"trace={','.join(FAULTS)}"])
        return list(dict.fromkeys(_calls(trace.read_text("utf-8", "replace"), below)))


def _calls(trace: str, below: str) -> Iterator[tuple[str, int]]:
    numbers: dict[tuple[str, str], int] = {}
    for line in trace.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        thread, call, arguments = found.groups()
        numbers[thread, call] = numbers.get((thread, call), 0) + 1
        if below in arguments:
            yield call, numbers[thread, call]


def cases(calls: Sequence[tuple[str, int]], count_max: int) -> list[Case]:
    """Return every fault of every call, or so many of them, evenly over all."""
    found = [Case(call, number, fault) for call, number in calls for fault in FAULTS[call]]
    step = max(1.0, len(found) / count_max)
    return [found[int(i * step)] for i in range(min(count_max, len(found)))]


def inject(server: ForkServer, task: Sequence[object], case: Case) -> int:
    """Run a task with one fault, and return how its process ended."""
    what = f"inject={case.call}:{case.fault}:when={case.number}"
    return run(server, task, ["-o", os.devnull, "-e", f"trace={case.call}", "-e", what])


def go(server: ForkServer, task: Sequence[object]) -> int:
    """Run a task that stops itself without a fault, and return its exit code."""
    word, *arguments = task
    pid = server.start(str(word), *arguments)
    _wait_until_stopped(pid)
    server.send(pid, signal.SIGCONT)
    return server.wait(pid)


def run(server: ForkServer, task: Sequence[object], options: Sequence[str]) -> int:
    """Run a task under strace, and return its exit code; one that hangs is killed."""
    word, *arguments = task
    pid = server.start(str(word), *arguments)
    _wait_until_stopped(pid)
    command = ["strace", "-f", *options, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        attached = tracer.stderr.readline()
        if "attached" not in attached:
            server.send(pid, signal.SIGKILL)
            server.wait(pid)
            raise RuntimeError(f"strace could not attach: {attached}")
        server.send(pid, signal.SIGCONT)
        try:
            tracer.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.send(pid, signal.SIGKILL)
            tracer.communicate()
    return server.wait(pid)


def _wait_until_stopped(pid: int) -> None:
    while True:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
        if state in {"T", "Z"}:
            return
        os.sched_yield()
