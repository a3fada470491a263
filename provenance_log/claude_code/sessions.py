"""The sessions of a store, found by the id that a transcript or a hook names them by."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from provenance_log import lock_files
from provenance_log.appender import Appender
from provenance_log.claude_code.actions import event_id
from provenance_log.recording import Recording, reopen_session, start_session
from provenance_log.store import SessionDirectory, is_safe_name, read_session_id

if TYPE_CHECKING:
    from datetime import datetime

    from provenance_log.recording import SessionHeader
    from provenance_log.store import Store

QUERY_LENGTH_MAX = 2_000
"""Characters of the first prompt that go into a session's header."""

_LOCK_WAIT_S = 30.0


class Sessions:
    """The sessions of a store, so that looking for one that is not there is cheap.

    `Store.find_session` looks at every log before it says no; an import asks once per session.
    """

    def __init__(self, store: Store, *, wait_s: float = _LOCK_WAIT_S) -> None:
        self.store = store
        self._wait_s = wait_s
        self._ids: dict[str, str | None] = {}
        self._is_loaded = False

    def reopen(self, session_id: str) -> Recording | None:
        """Return the recording of a session, or None where there is no such session."""
        if not self._is_loaded:
            directory = self.store.find_indexed_session(session_id)
            if directory is not None:
                return Recording(session_id, directory, Appender(directory.log))
        self._look_again()
        if session_id not in self._ids.values():
            return None
        return reopen_session(self.store, session_id)

    def is_archived(self, session_id: str) -> bool:
        """Say whether a session is archived and not live; started anew, it would be there twice.

        A session gets into the index before its directory goes, so that is looked at last.
        """
        # A hook asks for none of this, and lives for one line.
        from provenance_log.archive_index import read_index  # noqa: PLC0415

        return self.reopen(session_id) is None and session_id in read_index(self.store)

    def start(self, header: SessionHeader, started_at: datetime) -> tuple[Recording, bool]:
        """Return the recording of a session, and whether it was started now.

        Two imports at once must not both make a directory for the same session.
        """
        with lock_files.exclusive_lock(self.store.root / "import.lock", wait_s=self._wait_s):
            recording = self.reopen(header.session_id)
            if recording is not None:
                return recording, False
            first_id = event_id(header.session_id, "", "lifecycle", "session_start")
            recording = start_session(self.store, header, started_at=started_at, event_id=first_id)
            return recording, True

    def _look_again(self) -> None:
        """Read the first line of every log that was not there at the last look."""
        self._is_loaded = True
        with os.scandir(self.store.sessions_dir) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if self._ids.get(name) is None and is_safe_name(name):
                directory = SessionDirectory(name, self.store.sessions_dir / name)
                self._ids[name] = read_session_id(directory)
