"""Group commit: concurrent appenders of one descriptor share one sync.

The first to arrive syncs for everybody who has written by then; the others wait for it. Where
several were there at the end of the last sync, it first waits for as many to write again, for as
long as that sync took at most: who comes just too late needs another one. A thread on its own
never waits.
"""

from __future__ import annotations

import threading
import time

from provenance_log import files

_LOOK_S = 0.000_02


class SyncGate:
    """Orders the syncs of one descriptor, which it owns; a failed one is never retried on it."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor: `close` closes it when its last user has left."""
        self._fd = fd
        self._changed = threading.Condition()
        # Tickets, not offsets: a log that somebody truncated grows through the same offsets again.
        self._entered = 0
        self._synced = 0
        self._sharers = 1
        """How many were here when the last sync ended, served by it or too late for it."""
        self._sync_s = 0.0
        self._users = 0
        self._is_running = False
        self._is_closing = False
        self._error: OSError | None = None

    def enter(self) -> int:
        """Return a ticket for what was written so far, and keep the descriptor for its `sync`."""
        with self._changed:
            self._users += 1
            self._entered += 1
            return self._entered

    def sync(self, ticket: int) -> None:
        """Return when everything written before this ticket was given is on the disk.

        Raises the OSError of the sync that failed, also to everybody who waited for it and to
        everybody who comes later.
        """
        with self._changed:
            try:
                while self._synced < ticket:
                    if self._error is not None:
                        raise self._error
                    if self._is_running:
                        self._changed.wait()
                    else:
                        self._lead()
            finally:
                self._users -= 1
                self._close_if_unused()

    def close(self) -> None:
        """Close the descriptor as soon as nobody is syncing it."""
        with self._changed:
            self._is_closing = True
            self._close_if_unused()

    def _lead(self) -> None:
        """Sync once for all who have entered; called with the condition held, which it lets go."""
        self._is_running = True
        self._changed.release()
        error: OSError | None = None
        target = 0
        try:
            target = self._gathered()
            started = time.perf_counter()
            files.sync_data(self._fd)
            self._sync_s = time.perf_counter() - started
        except OSError as failed:
            error = failed
        finally:
            self._changed.acquire()
            self._is_running = False
            self._changed.notify_all()
        if error is None:
            self._sharers = self._users
            self._synced = target
        else:
            self._error = error

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
