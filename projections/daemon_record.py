"""A daemon keeps its state for others: from what it has to say, and only when something changed."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from projections.daemon_notices import Notice
from projections.daemon_state import (
    DaemonError,
    DaemonState,
    now_text,
    read_state,
    state_bytes,
    state_path,
)
from projections.holders import started_ticks
from provenance_log import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance_log.store import Store

_KINDS = {"held": "projection", "failed": "projection", "log": "log", "files": "files"}
"""The kind of error that a notice is about, by its event."""

_MESSAGE_CHARACTERS_MAX = 2000


class DaemonRecord:
    """Hands notices on, and keeps `daemon.json` as they say; belongs to whoever has the lock.

    Never raises for a file that can't be written: that is told when it begins and when it is over,
    and tried again by `keep`.
    """

    def __init__(
        self, store: Store, tell: Callable[[Notice], None], *, is_polling: bool, rescan_s: float
    ) -> None:
        self._store = store
        self._tell = tell
        self._state = DaemonState(
            pid=os.getpid(),
            ticks=started_ticks(os.getpid()),
            command=" ".join(sys.argv),
            since=now_text(),
            mode="polling" if is_polling else "watching",
            mode_reason="asked for by --poll" if is_polling else None,
            rescan_s=rescan_s,
        )
        self._is_kept = False
        self._problem: str | None = None

    def begin(self) -> None:
        """Take over from the last daemon: what was wrong then is over, and still worth knowing."""
        before = read_state(self._store)
        self._state = replace(self._state, since=now_text(), errors=before.errors if before else ())
        for error in self._state.errors:
            self._state = self._state.without(error.kind, self._state.since)
        self._change(self._state)

    def tell(self, notice: Notice) -> None:
        """Hand a notice on, and keep what it changes."""
        self._tell(notice)
        changed = self._after(notice)
        if changed != self._state:
            self._change(changed)

    def ended_by(self, error: BaseException) -> None:
        """Keep what ended the daemon against its will."""
        moment = now_text()
        text = _on_one_line(f"{type(error).__name__}: {error}")
        failure = DaemonError("end", "ended", text, moment)
        self._change(replace(self._state.with_error(failure), stopped=moment))

    def keep(self) -> None:
        """Write the state if it is not written yet; costs nothing otherwise."""
        if self._is_kept:
            return
        try:
            files.write_atomically(state_path(self._store), state_bytes(self._state))
        except OSError as error:
            self._complain(f"{state_path(self._store)}: {error.strerror or error}")
        else:
            self._is_kept = True
            if self._problem is not None:
                self._problem = None
                self._tell(Notice("info", "state", "written again"))

    def _change(self, state: DaemonState) -> None:
        self._state, self._is_kept = state, False
        self.keep()

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            message = f"{problem}; `provlog status` can't tell of this daemon"
            self._tell(Notice("warning", "state", message))
        self._problem = problem

    def _after(self, notice: Notice) -> DaemonState:
        state, moment = self._state, now_text()
        if notice.event == "watching":
            return replace(state, mode="watching", mode_reason=None)
        if notice.event == "polling":
            return replace(state, mode="polling", mode_reason=notice.message)
        if notice.event == "stopped":
            return replace(state, stopped=moment)
        if notice.event == "recovered":
            return state.without("projection", moment)
        kind = _KINDS.get(notice.event)
        if kind is None:
            return state
        if notice.level == "info":
            return state.without(kind, moment)
        message = _on_one_line(notice.message)
        return state.with_error(DaemonError(kind, notice.event, message, moment))


def _on_one_line(message: str) -> str:
    """Return a message with the hint of a `ProvlogError` behind it and not below it."""
    return message.replace("\nhint: ", "; ")[:_MESSAGE_CHARACTERS_MAX]
