"""A daemon that is looked at from inside, in the process of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from projections.daemon import Daemon
from projections.daemon_notices import Notice
from provenance_log.store import Store

WAIT_S = 30.0
NEVER_S = 3600.0


class Watched:
    """A daemon that is looked at from inside, and what it said."""

    def __init__(self, store: Store, **options: Any) -> None:
        self.notices: list[Notice] = []
        options = {"rescan_s": 0.1, "debounce_s": 0.01, **options}
        self.daemon = Daemon(store, self.notices.append, **options)

    @property
    def events(self) -> list[str]:
        return [notice.event for notice in self.notices]

    @property
    def told(self) -> list[str]:
        """What it said, except of how it watches: whether a hint came is up to the system."""
        return [event for event in self.events if event not in {"watching", "polling"}]

    def look(self) -> None:
        """One turn of the loop, without hints."""
        self.daemon._is_hinted = True
        self.daemon._look()

    def until(self, line_count: int) -> None:
        self.until_true(lambda: self.daemon._line_count >= line_count)

    def until_true(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)


@contextmanager
def running(watched: Watched) -> Iterator[None]:
    thread = threading.Thread(target=watched.daemon.run)
    thread.start()
    try:
        yield
    finally:
        watched.daemon.stop()
        thread.join(WAIT_S)
    assert not thread.is_alive()
