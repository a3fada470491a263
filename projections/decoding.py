"""Decoding in several processes, for a rebuild: Python decodes on one processor only.

Each process is given whole sessions and returns batches with their rows as columns. The batches
come in the same order whatever the number of processes, at most one for each process is waiting,
and no process outlives the work: without its parent it finds its pipes closed and ends.
"""

from __future__ import annotations

import gc
import os
import pickle
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from projections.following import Following
from provenance_log.errors import ProvlogError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import IO

    from projections.loading import Batch
    from projections.planning import SessionPlan

SPREAD_BYTES = 32 * 1024 * 1024
"""With less to read, the start of other processes would cost more than it saves."""

_PROCESSES_MAX = 4
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from projections.decoding import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
)
_LOST = "a process that decoded lines ended before its work"

_Item = TypeVar("_Item")


def spread_batches(
    plans: Sequence[SessionPlan], batch_bytes: int, problems: list[str]
) -> Generator[Batch, None, None]:
    """Yield what was planned as batches of about so many bytes, decoded ahead of the caller.

    `problems` gets a sentence for each log that can't be read. Raises `ProvlogError` when a
    process that decodes is killed.
    """
    shares = _shares(plans, batch_bytes)
    count = min(_processors(), _PROCESSES_MAX, len(shares))
    is_small = sum(plan.size_bytes for plan in plans) < SPREAD_BYTES
    if count == 1 or is_small or not _can_start():
        following = Following(plans, problems)
        yield from ahead(iter(lambda: following.next_batch(batch_bytes), None))
        return
    workers: list[_Worker] = []
    try:
        workers.extend(_Worker(shares[number::count], batch_bytes) for number in range(count))
        with ThreadPoolExecutor(max_workers=count) as pool:
            running = [pool.submit(worker.run) for worker in workers]
            try:
                for number in range(len(shares)):
                    yield from workers[number % count].next_share(problems)
            finally:
                for worker in workers:
                    worker.stop()
            for one in running:
                one.result()
    finally:
        for worker in workers:
            worker.close()


def ahead(items: Iterator[_Item | None]) -> Iterator[_Item]:
    """Yield the items, each made in a thread of its own while the one before is worked on.

    DuckDB works without Python's lock, so a batch is decoded while another is written.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Decode the shares that come, until there are no more, or nobody reads the answers."""
    # Lines have no cycles; to look for some among a batch of them takes a tenth of the time.
    gc.disable()
    try:
        while True:
            plans, batch_bytes = pickle.load(requests)  # noqa: S301 - from the parent process
            problems: list[str] = []
            following = Following(plans, problems)
            while (batch := following.next_batch(batch_bytes)) is not None:
                _send(answers, batch.in_columns())
                gc.collect()
            _send(answers, problems)
    except (EOFError, BrokenPipeError):
        # What is buffered can't be written any more, and must not be tried at the exit.
        os._exit(0)


class _Worker:
    """A process that decodes, and the thread that waits for it."""

    def __init__(self, shares: Sequence[Sequence[SessionPlan]], batch_bytes: int) -> None:
        self._shares = shares
        self._batch_bytes = batch_bytes
        self._found: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._is_stopped = False
        # In a group of its own: an interrupt from the terminal is its parent's to handle.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        self._requests: Any = self._process.stdin
        self._answers: Any = self._process.stdout

    def run(self) -> None:
        """Have every share decoded, and queue what comes of it."""
        try:
            for share in self._shares:
                if self._is_stopped:
                    return
                self._decode(share)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._put(ProvlogError(_LOST))

    def next_share(self, problems: list[str]) -> Iterator[Batch]:
        """Yield the batches of the next share."""
        while True:
            found = self._found.get()
            if isinstance(found, ProvlogError):
                raise found
            if isinstance(found, list):
                problems += found
                return
            yield found

    def stop(self) -> None:
        """End the process at once, and what waits for it; safe to call when all is done."""
        self._is_stopped = True
        self._process.kill()
        try:
            self._found.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        """Wait for the process and give back its pipes."""
        self._process.kill()
        self._process.communicate()

    def _decode(self, share: Sequence[SessionPlan]) -> None:
        _send(self._requests, (tuple(share), self._batch_bytes))
        while True:
            found = pickle.load(self._answers)  # noqa: S301 - from the process started here
            self._put(found)
            if isinstance(found, list):
                return

    def _put(self, found: Any) -> None:
        if not self._is_stopped:
            self._found.put(found)


def _send(stream: IO[bytes], value: object) -> None:
    pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _shares(plans: Sequence[SessionPlan], bytes_max: int) -> list[list[SessionPlan]]:
    """Cut the sessions, in their order, into shares of about so many bytes."""
    shares: list[list[SessionPlan]] = []
    left_bytes = 0
    for plan in plans:
        if left_bytes <= 0:
            shares.append([])
            left_bytes = bytes_max
        shares[-1].append(plan)
        left_bytes -= plan.size_bytes
    return shares


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _can_start() -> bool:
    """Say whether `sys.executable` is a Python that runs a program given as text."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)
