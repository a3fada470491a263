"""Group commit: concurrent appenders of one descriptor share one sync.

The first to arrive syncs for everybody who has written by then; the others wait for it. Where
several were there at the end of the last sync, it first waits for as many to write again, for as
long as that sync took at most: who comes just too late needs another one. A thread on its own
never waits.

A handler of signals may run between any two calls here. Whatever it raises, the `with` that took
the lock of a turn gives it back, and a turn whose lock is free is over, so that nothing has to be
put back. A handler that appends itself has a turn within that of the thread it interrupted.
"""

from __future__ import annotations

import threading
import time

from provenance_log import files

_LOOK_S = 0.000_02


class _Turn:
    """Of one thread to sync for everybody: it lasts as long as the thread holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._thread = threading.get_ident()

    def is_for_another(self) -> bool:
        """Say whether another thread is syncing, which can be waited for."""
        return self.lock.locked() and self._thread != threading.get_ident()


class SyncGate:
    """Orders the syncs of one descriptor, which it owns; a failed one is never retried on it."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor: `close` closes it when its last user has left."""
        self._fd = fd
        # A handler of signals may come here while its thread has it.
        self._mutex = threading.RLock()
        # Tickets, not offsets: a log that somebody truncated grows through the same offsets again.
        self._entered = 0
        self._synced = 0
        self._sharers = 1
        """How many were here when the last sync ended, served by it or too late for it."""
        self._sync_s = 0.0
        self._users = 0
        self._turn = _Turn()
        """The last one that began; at first one that is over."""
        self._is_closing = False
        self._error: OSError | None = None

    def enter(self) -> int:
        """Return a ticket for what was written so far, and keep the descriptor for its `sync`."""
        with self._mutex:
            self._users += 1
            self._entered += 1
            return self._entered

    def sync(self, ticket: int) -> None:
        """Return when everything written before this ticket was given is on the disk.

        Raises the OSError of the sync that failed, also to everybody who waited for it and to
        everybody who comes later. Where a signal raises meanwhile, another thread goes on.
        """
        try:
            while not self._is_synced(ticket):
                self._sync_or_wait()
        finally:
            with self._mutex:
                self._users -= 1
                self._close_if_unused()

    def close(self) -> None:
        """Close the descriptor as soon as nobody is syncing it."""
        with self._mutex:
            self._is_closing = True
            self._close_if_unused()

    def _is_synced(self, ticket: int) -> bool:
        with self._mutex:
            if self._synced < ticket and self._error is not None:
                raise self._error
            return self._synced >= ticket

    def _sync_or_wait(self) -> None:
        """Sync for all who have entered, or wait for who does."""
        turn = _Turn()
        with turn.lock:
            with self._mutex:
                other = self._turn
                must_wait = other.is_for_another()
                if not must_wait:
                    self._turn = turn
            if not must_wait:
                self._lead()
                return
        with other.lock:
            pass

    def _lead(self) -> None:
        target = self._gathered()
        started = time.perf_counter()
        try:
            files.sync_data(self._fd)
        except OSError as error:
            self._error = error
            return
        with self._mutex:
            self._sync_s = time.perf_counter() - started
            self._sharers = self._entered - self._synced
            self._synced = max(self._synced, target)

    def _gathered(self) -> int:
        """Return the last ticket, once as many wrote as were here at the last sync."""
        if self._sharers > 1:
            deadline = time.perf_counter() + self._sync_s
            while self._entered - self._synced < self._sharers and time.perf_counter() < deadline:
                time.sleep(_LOOK_S)
        return self._entered

    def _close_if_unused(self) -> None:
        if self._is_closing and self._users == 0 and self._fd >= 0:
            # Forgotten first, as a number that was closed may be another file's by now.
            fd, self._fd = self._fd, -1
            files.close_read(fd)
