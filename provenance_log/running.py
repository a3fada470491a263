"""Run a command as if it were run directly, and say afterwards what it did.

Its output goes where it would have gone, byte by byte, and is counted on the way; a beginning and
an end of it are kept. Signals that are meant for it reach it, and its exit code is ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KEPT_BYTES = 4096
"""Of the beginning and again of the end of an output."""

NOT_FOUND = 127
NOT_EXECUTABLE = 126

_PIECE_BYTES = 64 * 1024
_TAKEN = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclass(slots=True)
class Output:
    """What came out of one of the two streams."""

    size_bytes: int = 0
    beginning: bytes = b""
    end: bytes = b""

    def add(self, piece: bytes) -> None:
        """Count a piece and keep what is to be kept of it."""
        self.size_bytes += len(piece)
        missing = KEPT_BYTES - len(self.beginning)
        if missing > 0:
            self.beginning += piece[:missing]
            piece = piece[missing:]
        self.end = (self.end + piece)[-KEPT_BYTES:]

    @property
    def text(self) -> str:
        """What was kept, with a note where something is left out."""
        left_out = self.size_bytes - len(self.beginning) - len(self.end)
        note = f"\n[… {left_out} bytes left out …]\n".encode() if left_out else b""
        return (self.beginning + note + self.end).decode("utf-8", "replace")


@dataclass(slots=True)
class Run:
    """A command that has ended."""

    exit_code: int = 0
    """As a shell tells it: 128 and the number of the signal where one ended it."""
    signal_name: str | None = None
    problem: str | None = None
    """Why it could not be started."""
    duration_ms: int = 0
    stdout: Output = field(default_factory=Output)
    stderr: Output = field(default_factory=Output)
    is_counted: bool = True
    """False where its output went straight through."""


def run_command(
    command: Sequence[str], *, is_counted: bool = True, more_env: Mapping[str, str] | None = None
) -> Run:
    """Run a command to its end, in our environment with `more_env` in it.

    With `is_counted`, its output goes through pipes, so it sees no terminal; without, it has our
    own streams, and nothing is known of its output. Raises nothing for a command that can't be
    started or that fails.
    """
    run = Run(is_counted=is_counted)
    pipe = subprocess.PIPE if is_counted else None
    started = time.monotonic()
    with _signals_forwarded() as forwarder:
        try:
            env = {**os.environ, **(more_env or {})}
            process = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=env)
        except OSError as error:
            run.problem = f"{command[0]}: {error.strerror or error}"
            is_missing = isinstance(error, FileNotFoundError)
            run.exit_code = NOT_FOUND if is_missing else NOT_EXECUTABLE
            return run
        forwarder.begin(process)
        copying = _copying(process, run)
        for thread in copying:
            thread.start()
        code = process.wait()
        for thread in copying:
            thread.join()
    run.duration_ms = round((time.monotonic() - started) * 1000)
    run.exit_code = code if code >= 0 else 128 - code
    if code < 0:
        run.signal_name = signal.Signals(-code).name
    return run


def _copying(process: subprocess.Popen[bytes], run: Run) -> list[threading.Thread]:
    """Return what passes on the streams that go through pipes, not yet started."""
    ways = ((process.stdout, 1, run.stdout), (process.stderr, 2, run.stderr))
    return [
        threading.Thread(target=_copy, args=(stream, target, output), daemon=True)
        for stream, target, output in ways
        if stream is not None
    ]


def _copy(stream: IO[bytes], target: int, output: Output) -> None:
    with stream:
        while piece := os.read(stream.fileno(), _PIECE_BYTES):
            output.add(piece)
            with suppress(OSError):  # whoever read ours went away; the command goes on
                view = memoryview(piece)
                while view:
                    view = view[os.write(target, view) :]


class _Forwarder:
    """Hands on to the command what is sent to us alone, also what came before it had started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        """Send what came until now, and from now on what comes."""
        self._process = process  # first, so that one that comes now is sent, too
        for number in self._early:
            self._send(process, number)

    def take(self, number: int, _frame: object) -> None:
        """Be the handler of a signal; Ctrl-C reaches a command that runs by itself."""
        if self._process is None:
            self._early.append(number)
        elif number != signal.SIGINT:
            self._send(self._process, number)

    def _send(self, process: subprocess.Popen[bytes], number: int) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)


@contextmanager
def _signals_forwarded() -> Iterator[_Forwarder]:
    """Take the signals; those that are ignored stay so, as the command inherits only that."""
    forwarder = _Forwarder()
    before = {
        number: signal.signal(number, forwarder.take)
        for number in _TAKEN
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield forwarder
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
