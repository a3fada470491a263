"""A process with everything imported that forks others, so that a kill costs milliseconds.

It is started anew and has no threads and no database open, unlike whoever attacks, so that its
children may do what they like. It is told what to do by lines of JSON on stdin, and answers each
on stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Self

_TOOLS = Path(__file__).resolve().parent.parent
KILLED = -signal.SIGKILL
"""The exit code of who was killed."""
_EARLY_S = 0.0002
_LATE = 1.2


class ForkServer:
    """Starts tasks of a module in processes of their own, and kills them."""

    def __init__(
        self, directory: Path, *, tasks: str = "attacks.killed", sabotage: str = ""
    ) -> None:
        """Start the server; what its children complain of goes to a file in `directory`.

        The module of `tasks` has the tables `TASKS` and `SABOTAGES`.
        """
        self._log = directory / "complaints.log"
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "attacks.forking", tasks, sabotage],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(_TOOLS)},
                text=True,
            )
        self._ask("ready")

    def start(self, task: str, *arguments: object) -> int:
        """Return the process id of a child that does this task and then ends with 0."""
        return self._ask("start", task, *map(str, arguments))

    def send(self, pid: int, number: int) -> None:
        """Send a signal to a child that was not waited for."""
        self._ask("send", pid, number)

    def wait(self, pid: int) -> int:
        """Return the exit code of a child, as `subprocess` does."""
        return self._ask("wait", pid)

    def run(self, task: str, *arguments: object) -> float:
        """Let a child do a task to its end, and return how long it took in seconds."""
        began = time.monotonic()
        code = self.wait(self.start(task, *arguments))
        if code != 0:
            raise RuntimeError(f"{task} ended with {code}: {self.complaints()}")
        return time.monotonic() - began

    def run_and_kill(self, pairs: Sequence[tuple[float, Sequence[object]]]) -> list[int]:
        """Start tasks at once, kill each after so many seconds, and return their exit codes.

        Who has ended by then has ended with 0, or with 1 and a complaint.
        """
        began = time.monotonic()
        pids = [self.start(str(task), *arguments) for _, (task, *arguments) in pairs]
        codes = dict.fromkeys(pids, 0)
        for after_s, pid in sorted(zip([pair[0] for pair in pairs], pids, strict=True)):
            time.sleep(max(0.0, began + after_s - time.monotonic()))
            self.send(pid, signal.SIGKILL)
            codes[pid] = self.wait(pid)
        return [codes[pid] for pid in pids]

    def complaints(self) -> str:
        """Return the end of what the children complained of."""
        return self._log.read_text("utf-8", "replace")[-2000:].strip()

    def _ask(self, *words: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            code = self._process.wait()
            raise RuntimeError(f"the fork server ended with {code}: {self.complaints()}")
        return int(json.loads(answer))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it is gone already, which was said
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class Moments:
    """When to kill who works for so long: anywhere, and more often in the first moments."""

    duration_s: float

    def choose(self, random: Random) -> float:
        """Return a time after the start, in seconds; it may be shortly after the end."""
        if random.random() < 0.5:
            return random.uniform(0.0, _LATE * self.duration_s)
        share = random.random()
        return float(_EARLY_S * (self.duration_s / _EARLY_S) ** share)


def serve(tasks: str, sabotage: str) -> None:
    """Do what the lines on stdin say, until there are no more."""
    module = importlib.import_module(tasks)  # whoever attacks needs none of it
    if sabotage:
        module.SABOTAGES[sabotage]()
    running: set[int] = set()
    for line in sys.stdin:
        word, *arguments = json.loads(line)
        answer = 0
        if word == "start":
            answer = _fork(module.TASKS[arguments[0]], arguments[1:])
            running.add(answer)
        elif word == "send":
            # To a zombie at worst: nobody else gets a number before it was waited for here.
            os.kill(*arguments)
        elif word == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(arguments[0], 0)[1])
            running.discard(arguments[0])
        print(answer, flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _fork(task: Any, arguments: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        task(*arguments)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, whoever attacks wants to know
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(*sys.argv[1:3])
