"""What the write side does beside a daemon: drain the spool, and follow transcripts if told to.

It runs in a thread of its own and knows nothing of the database: it only appends to logs, as
every recorder does, and the daemon projects what came.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from provenance_log.claude_code.following import TranscriptFollower
from provenance_log.claude_code.locate import expected_directory
from provenance_log.claude_code.recorder import drain_store
from provenance_log.errors import ProvlogError
from provenance_log.settings import load_settings
from provenance_log.store import project_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance_log.store import Store

EVERY_S = 2.0


class Intake:
    """One store's events that are not in a log yet."""

    def __init__(self, store: Store, tell: Callable[[str], None]) -> None:
        """Tell what is in the way with `tell`, once for as long as it is the same."""
        self._store = store
        self._tell = tell
        self._told = ""
        self._follower: TranscriptFollower | None = None

    def step(self) -> None:
        """Bring in what there is now; what is in the way is told, and tried again next time."""
        try:
            drain_store(self._store)
            if load_settings(self._store.root).follows_claude_code:
                self._follow()
            trouble = ""
        except (ProvlogError, OSError) as error:
            trouble = str(error)
        if trouble and trouble != self._told:
            self._tell(trouble)
        self._told = trouble

    def start(self, every_s: float = EVERY_S) -> None:
        """Step again and again, from now on until the process ends."""
        threading.Thread(target=self._run, args=(every_s,), name="intake", daemon=True).start()

    def _run(self, every_s: float) -> None:
        pause = threading.Event()
        while True:
            self.step()
            pause.wait(every_s)

    def _follow(self) -> None:
        if self._follower is None:
            project = project_of(self._store.root)
            self._follower = TranscriptFollower(self._store, [expected_directory(project)])
        self._follower.step()
