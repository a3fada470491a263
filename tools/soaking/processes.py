"""Daemons and children as processes of their own, and what the kernel tells of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from projections.holders import holders
from projections.waiting import end_of_lines
from provenance_log.errors import ProvlogError
from provenance_log.store import Store

PROVLOG = (sys.executable, "-m", "provenance_log.cli")
_CHILD = Path(__file__).with_name("child.py")
_END_S = 60.0
_POLL_S = 0.01
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class DaemonProcess:
    """A daemon, its log of notices, and its use of the machine."""

    def __init__(
        self, store: Store, log: Path, *options: str, command: Sequence[str] = (*PROVLOG, "daemon")
    ) -> None:
        self.store = store
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*command, "--root", str(store.root), "--log-json", *options], stderr=file
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def notices(self) -> list[dict[str, Any]]:
        """What it said so far; a line that is no notice (a traceback) has the level `crash`."""
        lines = self._log.read_text("utf-8", "replace").split("\n")[:-1]
        return [_notice(line) for line in lines]

    @property
    def events(self) -> list[str]:
        """The names of what it said."""
        return [notice["event"] for notice in self.notices]

    @property
    def peak_bytes(self) -> int:
        """The most memory it ever had resident."""
        return self._memory_bytes("VmHWM:")

    @property
    def resident_bytes(self) -> int:
        """The memory it has resident now."""
        return self._memory_bytes("VmRSS:")

    def _memory_bytes(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        return 0

    @property
    def cpu_s(self) -> float:
        """Processor time it took so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def wait_until_it_said(self, event: str, timeout_s: float = _END_S) -> None:
        """Return when a notice of this name is there; raises `ProvlogError` if none comes."""
        until(lambda: event in self.events, f"the daemon to say {event!r}", timeout_s)

    def wait_until_it_projects(self) -> None:
        """Return when it holds the lock of the projector."""
        lock = self.store.projector_lock
        mine = lambda: any(item.pid == self.pid for item in holders(lock))  # noqa: E731
        until(mine, "the daemon to hold the projector's lock")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_END_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


class Child:
    """A task of `child.py` that runs until it is asked to stop, and then returns a value."""

    def __init__(self, task: str, *arguments: object) -> None:
        command = [sys.executable, str(_CHILD), task, *map(str, arguments)]
        self._task = task
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def wait_for_word(self) -> None:
        """Return when it has written its first line: it has what it wanted."""
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def stop(self, timeout_s: float = _END_S) -> Any:
        """Ask it to stop, and return what it found; raises `ProvlogError` if it failed."""
        output, _ = self.process.communicate(timeout=timeout_s)
        if self.process.returncode != 0:
            raise ProvlogError(f"the child {self._task!r} ended with {self.process.returncode}")
        return json.loads(output.splitlines()[-1])

    def kill(self) -> None:
        """End it without a result."""
        self.process.kill()
        self.process.wait()


@contextmanager
def children(*tasks: tuple[object, ...]) -> Iterator[list[Child]]:
    """Run children for a block; those that were not stopped in it are killed at its end."""
    started = [Child(str(task), *arguments) for task, *arguments in tasks]
    try:
        yield started
    finally:
        for child in started:
            child.kill()


def sabotaged(fault: str) -> tuple[str, ...]:
    """Return the command of a daemon in which something is broken; see `child.sabotage`."""
    return (sys.executable, str(_CHILD), "daemon", fault)


def provlog(*arguments: object, timeout_s: float = _END_S) -> subprocess.CompletedProcess[str]:
    """Run a command of `provlog` to its end."""
    return subprocess.run(
        [*PROVLOG, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def until(condition: Callable[[], bool], what: str, timeout_s: float = _END_S) -> None:
    """Return when a condition holds; raises `ProvlogError` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ProvlogError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(_POLL_S)


def wait_for_lines(store: Store, log_count: int) -> None:
    """Return when so many logs have a line."""

    def are_there() -> bool:
        logs = [directory.log for directory in store.session_directories()]
        return sum(end_of_lines(log) > 0 for log in logs) >= log_count

    until(are_there, f"the first lines of {log_count} sessions")


def _notice(line: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        found = {"level": "crash", "event": "crash", "message": line}
    return found
