"""Being the daemon of a store: one for each, with its state kept for others to read."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from projections.daemon import Daemon
from projections.daemon_notices import Notice
from projections.daemon_record import DaemonRecord
from projections.daemon_state import GRACE_S, look, process_text, running_text
from provenance_log import lock_files
from provenance_log.claude_code.intake import Intake
from provenance_log.errors import LockHeld

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance_log.store import Store

_LOOK_PAUSE_S = 0.1


def run(
    store: Store,
    tell: Callable[[Notice], None],
    stop_when: Callable[[Callable[[], None]], None],
    *,
    rescan_s: float,
    debounce_s: float,
    is_polling: bool,
) -> None:
    """Be the daemon of a store until stopped, or say who is and return (invariant B7).

    A projector that is no daemon is waited for. `stop_when` is given the function that ends the
    waiting and the daemon, to call from any thread.
    """
    record = DaemonRecord(store, tell, is_polling=is_polling, rescan_s=rescan_s)
    daemon = Daemon(
        store, record.tell, rescan_s=rescan_s, debounce_s=debounce_s, is_polling=is_polling
    )
    stopping = threading.Event()

    def stop() -> None:
        stopping.set()
        daemon.stop()

    stop_when(stop)
    with ExitStack() as locked:
        if not _take_turn(store, locked, tell, stopping):
            return
        record.begin()
        Intake(store, lambda text: tell(Notice("warning", "intake", text))).start()
        try:
            daemon.run_locked(record.keep)
        except LockHeld:
            raise  # the lock is lost, and the state file may be that of another daemon by now
        except BaseException as error:
            record.ended_by(error)
            raise


def _take_turn(
    store: Store, locked: ExitStack, tell: Callable[[Notice], None], stopping: threading.Event
) -> bool:
    """Take the lock for as long as `locked` is open; False if there is a daemon, or no hurry."""
    told_from = time.monotonic() + GRACE_S
    is_told = False
    while not stopping.is_set():
        try:
            locked.enter_context(lock_files.exclusive_lock(store.projector_lock))
        except LockHeld:
            found = look(store)
        else:
            return True
        if found.daemon is not None:
            tell(Notice("info", "already_running", running_text(found)))
            return False
        if found.holder is not None and not is_told and time.monotonic() >= told_from:
            is_told = True
            tell(Notice("info", "waiting", f"for {process_text(found.holder)}, which projects"))
        stopping.wait(_LOOK_PAUSE_S)
    return False
