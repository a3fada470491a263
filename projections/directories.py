"""The session directories as the projector finds them: thousands, of which few were touched.

For a log that looks as its checkpoint says, nothing is made and nothing is opened: it costs one
`lstat`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from provenance_log.store import LOG_NAME, SessionDirectory, is_safe_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projections.checkpoints import Checkpoint
    from provenance_log.store import Store


class Untouched:
    """The logs that their one stored checkpoint describes by their status, by name."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int]] = {}

    def __contains__(self, log: str) -> bool:
        return log in self._found

    def place(self, log: str) -> tuple[Path, int]:
        """Return the path and the size in bytes of a log that is among them."""
        path, size_bytes = self._found[log]
        return Path(path), size_bytes

    def sort_out(
        self, store: Store, stored: Mapping[str, Sequence[Checkpoint]]
    ) -> list[SessionDirectory]:
        """Take note of the untouched logs, and return the directories of all others.

        Both together are what `Store.session_directories` returns, and raise what it raises.
        """
        check_directories(store)
        others = []
        with os.scandir(store.sessions_dir) as found:
            for entry in found:
                if not entry.is_dir(follow_symlinks=False) or not is_safe_name(entry.name):
                    continue
                if not self._is_untouched(entry, stored.get(entry.name, ())):
                    others.append(SessionDirectory(entry.name, Path(entry.path)))
        return sorted(others, key=lambda directory: os.fsencode(directory.name))

    def _is_untouched(self, entry: os.DirEntry[str], stored: Sequence[Checkpoint]) -> bool:
        if len(stored) != 1:
            return False
        path = f"{entry.path}/{LOG_NAME}"
        try:
            status = os.lstat(path)
        except OSError:
            return False  # what that means is found out where the log is looked at
        if not stored[0].describes(status):
            return False
        self._found[entry.name] = (path, status.st_size)
        return True


def check_directories(store: Store) -> None:
    """Raise `StoreNotFound` or `ProvlogError` where the session directories can't be listed."""
    try:
        os.scandir(store.sessions_dir).close()
    except OSError:
        store.session_directories()
        raise
