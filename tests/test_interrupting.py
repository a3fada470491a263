"""Whatever a handler of signals does, and wherever: other threads go on, and so does its own.

Python runs handlers when a function is entered and when a call of one written in C returns.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from log_cases import action, read_all

from provenance_log import appender, files, sync_gate
from provenance_log.appender import Appender
from provenance_log.sync_gate import SyncGate

INTERRUPTIBLE = {module.__file__ for module in (appender, files, sync_gate)}
WAIT_S = 10.0


class Interrupted(Exception):
    """What the handler raises."""


class RaisingAt:
    """Raises once, at the n-th of the moments in which a handler may run."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.has_raised = False

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event in {"call", "c_return"} and frame.f_code.co_filename in INTERRUPTIBLE:
            self._left -= 1
            if self._left < 0:
                self.has_raised = True
                raise Interrupted


class Contended:
    """A lock that is waited for; a handler raises in the n-th wait."""

    def __init__(self, number: int) -> None:
        self._lock = threading.RLock()
        self._left = number

    def __enter__(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise Interrupted
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def interrupt_everywhere(prepare: Callable[[], Any], work: Callable[[Any], None]) -> list[Any]:
    """Do the work once for each moment of it, interrupted there; return what it was done with."""
    done = []
    while True:
        done.append(prepare())
        moment = RaisingAt(len(done) - 1)
        sys.setprofile(moment)
        try:
            work(done[-1])
        except Interrupted:
            continue
        finally:
            sys.setprofile(None)
        if not moment.has_raised:
            return done


def is_done_by_another_thread(work: Callable[[], object]) -> bool:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    return not thread.is_alive()


def test_a_shared_sync_survives_what_a_handler_raises_at_any_moment(tmp_path: Path) -> None:
    """A1: nobody waits for a thread that has left."""

    def sync(gate: SyncGate) -> None:
        gate.sync(gate.enter())

    gates = interrupt_everywhere(
        lambda: SyncGate(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)), sync
    )
    hanging = [
        number
        for number, gate in enumerate(gates)
        if not is_done_by_another_thread(partial(sync, gate))
    ]
    for gate in gates:
        gate.close()
    assert len(gates) > 10
    assert hanging == []


@pytest.mark.parametrize("number", range(6))
def test_a_shared_sync_survives_what_a_handler_raises_while_a_lock_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A1: nobody waits for a thread that has left."""
    gate = SyncGate(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
    with monkeypatch.context() as patched:
        patched.setattr(gate, "_mutex", Contended(number))
        with suppress(Interrupted):
            gate.sync(gate.enter())

    assert is_done_by_another_thread(lambda: gate.sync(gate.enter()))
    gate.close()


def test_a_log_can_be_appended_to_after_what_a_handler_raised_at_any_moment(
    tmp_path: Path,
) -> None:
    """A1, A2: by the same appender, by the thread that was interrupted and by another one."""
    names = (tmp_path / f"{number}" for number in range(10_000))

    def prepare() -> Appender:
        directory = next(names)
        directory.mkdir()
        made = Appender(directory / "actions.jsonl", durability="disk")
        made.append(action(tool="first"))
        return made

    appenders = interrupt_everywhere(prepare, lambda one: one.append(action(tool="interrupted")))
    for one in appenders:
        one.append(action(tool="same"))
        assert is_done_by_another_thread(partial(one.append, action(tool="other")))
        one.close()

    assert len(appenders) > 20
    for one in appenders:
        tools = [value["tool"] for value in read_all(one.path).values]
        assert [tool for tool in tools if tool != "interrupted"] == ["first", "same", "other"]
        assert len(tools) <= 4


def test_a_handler_that_appends_during_a_sync_has_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: the thread that it interrupts can't go on before it."""
    log = tmp_path / "actions.jsonl"
    shared = Appender(log, durability="disk")
    sync = files.sync_data
    signalled: list[bool] = []

    def sync_and_signal(fd: int) -> None:
        if not signalled:
            signalled.append(True)
            signal.raise_signal(signal.SIGUSR1)
        sync(fd)

    def on_signal(*_: object) -> None:
        shared.append(action(tool="handler"))

    monkeypatch.setattr(files, "sync_data", sync_and_signal)
    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        shared.append(action(tool="main"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    shared.close()

    assert [value["tool"] for value in read_all(log).values] == ["main", "handler"]
