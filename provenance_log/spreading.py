"""Spread calls over processes: results in the order of the items, as if called one by one.

Only a process that has one thread is forked, on Linux; anywhere else, and where there is little
to do, the calls are made here. What another process could not do is done here as well, so that an
error, and the death of a process, are what they would be without it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

T = TypeVar("T")
R = TypeVar("R")

_THREADS = Path("/proc/self/task")


def usable_processes() -> int:
    """Return how many processes can be of use: the cores that this one may run on."""
    is_forkable = sys.platform == "linux" and len(list(_THREADS.iterdir())) == 1
    return len(os.sched_getaffinity(0)) if is_forkable else 1


def spread(function: Callable[[T], R], items: Sequence[T], processes: int) -> Iterator[R]:
    """Yield `function(item)` for each item, in their order, computed in up to so many processes.

    The function may be any, and takes its item from memory; a result is pickled. What is done
    early is kept until it is its turn, so memory is not bounded. A call that raises, or whose
    process dies, is made again here. Processes end with the iterator, and when this process is
    killed. Locks that this process holds are held by the others too, until they end.
    """
    count = min(processes, len(items), usable_processes())
    if count < 2:
        yield from map(function, items)
        return
    group = _Group(function, items)
    try:
        group.start(count)
        for index in range(len(items)):
            done = group.result(index)
            yield done[0] if done else function(items[index])
    finally:
        group.stop()


class _Group(Generic[T, R]):
    """The processes, what each is at, and the results whose turn has not come."""

    def __init__(self, function: Callable[[T], R], items: Sequence[T]) -> None:
        self._function = function
        self._items = items
        self._left = deque(range(len(items)))
        self._processes: list[ForkProcess] = []
        self._at_work: dict[Connection, int] = {}
        self._results: dict[int, tuple[R] | None] = {}

    def start(self, count: int) -> None:
        context = multiprocessing.get_context("fork")
        ends: list[Connection] = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            ends.append(ours)
            # It must not hold the other ends, which tell that this process has gone.
            process = context.Process(target=self._work, args=(theirs, tuple(ends)), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._hand_on(ours)

    def result(self, index: int) -> tuple[R] | None:
        """Return the result of an item, or None where it has to be computed here."""
        while index not in self._results:
            if not self._at_work:
                return None
            for end in wait(list(self._at_work)):
                self._take(end)  # type: ignore[arg-type]  # what is waited for comes back
        return self._results.pop(index)

    def stop(self) -> None:
        for end in self._at_work:
            end.close()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
            process.close()

    def _take(self, end: Connection) -> None:
        index = self._at_work.pop(end)
        try:
            self._results[index] = end.recv()
        except (EOFError, OSError):
            self._results[index] = None
            end.close()
            return
        self._hand_on(end)

    def _hand_on(self, end: Connection) -> None:
        if not self._left:
            end.close()
            return
        index = self._left.popleft()
        self._at_work[end] = index
        try:
            end.send(index)
        except OSError:  # it died; reading from it will tell so
            return

    def _work(self, end: Connection, others: tuple[Connection, ...]) -> None:
        """Do what one process does, until the other end is closed."""
        for other in others:
            other.close()
        # Ctrl-C reaches every process of a terminal, and this one is ended by its parent.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        while True:
            try:
                index = end.recv()
            except EOFError:
                return
            end.send(self._attempt(self._items[index]))

    def _attempt(self, item: T) -> tuple[R] | None:
        try:
            return (self._function(item),)
        except Exception:  # noqa: BLE001 - the call is made again in the parent, where it raises
            return None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
