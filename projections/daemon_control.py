"""Starting a daemon in the background, and stopping the one that runs.

Whether a process is the daemon is answered by `daemon_state.look`: it holds the projector's lock
and wrote the state file. There is no other pid file, so none can be out of date.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections.daemon_state import GRACE_S, log_path, look, process_text
from projections.holders import is_of_this_system, lock_holder
from provenance_log import files
from provenance_log.errors import LockHeld, ProvlogError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projections.daemon_state import Presence
    from projections.holders import Holder
    from provenance_log.store import Store

START_WAIT_S = 30.0

_POLL_S = 0.02
_LOG_BYTES_MAX = 4 * 1024 * 1024
_REASON_BYTES_MAX = 2000


class DaemonNotStarted(ProvlogError):
    """The daemon in the background ended at once; the message says why."""


class DaemonNotStopped(ProvlogError):
    """The daemon did not end in time, or may not be signalled; it is still running."""


def command_line(store: Store, *arguments: str) -> list[str]:
    """Return the command that runs a daemon over this store from any directory.

    By the interpreter, as a `provlog` on the path may be another one; -P keeps it from importing
    what lies in the working directory.
    """
    place = ["--root", str(store.root), "--db", str(store.database)]
    return [sys.executable, "-P", "-m", "provenance_log.cli", "daemon", *place, *arguments]


@dataclass(frozen=True, slots=True)
class Started:
    """What became of a start in the background."""

    found: Presence
    pid: int | None
    """The process that was started; None where a daemon was running already."""

    @property
    def is_running(self) -> bool:
        """False while the new daemon waits for another projector to finish."""
        return self.found.holder is not None and self.pid in {None, self.found.holder.pid}


def start_in_background(
    store: Store, arguments: Sequence[str], *, wait_s: float = START_WAIT_S
) -> Started:
    """Start a daemon in a session of its own and return when it is running.

    It outlives the terminal and writes to `daemon.log`. Returns as well when there is a daemon
    already, and when the new one waits for a projector that is none. Raises `DaemonNotStarted`
    with the end of that log when it ends, and `StoreNotWritable` or OSError for the log.
    """
    found = look(store)
    if found.daemon is not None:
        return Started(found, None)
    log = log_path(store)
    _set_aside_long(log)
    process, log_offset = _spawn(store, arguments)
    begun = time.monotonic()
    while True:
        code = process.poll()
        found = look(store)
        waited_s = time.monotonic() - begun
        if found.daemon is not None:
            return Started(found, process.pid if found.daemon.pid == process.pid else None)
        if code is not None:
            raise _not_started(store, code, log_offset)
        holds = found.holder is not None and found.holder.pid == process.pid
        if found.holder is not None and waited_s > (GRACE_S if not holds else 5 * GRACE_S):
            # Another projector is at work; or it is ours, and its state can't be written.
            return Started(found, process.pid)
        if waited_s > wait_s:
            message = f"process {process.pid} is not ready after {wait_s:g} s"
            raise DaemonNotStarted(message, path=log, hint="read the log, and `provlog status`")
        time.sleep(_POLL_S)


def _set_aside_long(log: Path) -> None:
    """Keep one older log, so that the disk does not fill up with them."""
    if log.is_file() and log.stat().st_size > _LOG_BYTES_MAX:
        files.replace_file(log, log.with_name(f"{log.name}.1"))


def _spawn(store: Store, arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start the process, and return it with the size that its log had."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(log_path(store), flags, files.FILE_MODE)
    try:
        size_bytes = os.fstat(fd).st_size
        process = subprocess.Popen(
            command_line(store, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(fd)
    return process, size_bytes


def _not_started(store: Store, code: int, log_offset: int) -> DaemonNotStarted:
    with log_path(store).open("rb") as log:
        log.seek(max(log_offset, log.seek(0, os.SEEK_END) - _REASON_BYTES_MAX))
        said = log.read().decode("utf-8", "replace").strip()
    reason = f"the daemon ended at once with exit code {code}"
    message = f"{reason}:\n{said}" if said else reason
    hint = "run `provlog daemon` without --detach to watch it"
    return DaemonNotStarted(message, path=log_path(store), hint=hint)


def stop(store: Store, *, timeout_s: float) -> str:
    """Ask the daemon of a store to end, wait until it has, and return what was done.

    Only a process that holds the projector's lock and wrote the state file is signalled. Raises
    `LockHeld` when the lock is held by one that is no daemon, and `DaemonNotStopped`.
    """
    found = _settled(store)
    if found.holder is None:
        return "no daemon is running"
    pid = found.holder.pid
    if found.daemon is None:
        message = f"held by {process_text(found.holder)}, which is not known as a daemon"
        hint = f"wait for it to finish, or end it with `kill {pid}`"
        raise LockHeld(message, path=store.projector_lock, hint=hint)
    _ask_to_end(store, found.holder)
    deadline = time.monotonic() + timeout_s
    while _holds(store, pid):
        if time.monotonic() >= deadline:
            message = f"process {pid} is still running after {timeout_s:g} s"
            hint = (
                f"it may be at work on a large batch: wait longer, or end it with `kill -9 {pid}`"
            )
            raise DaemonNotStopped(message, path=store.projector_lock, hint=hint)
        time.sleep(_POLL_S)
    return f"stopped process {pid}"


def _settled(store: Store) -> Presence:
    """Look, and again for a moment while there is somebody who may still say what it is."""
    deadline = time.monotonic() + GRACE_S
    while True:
        found = look(store)
        if found.holder is None or found.daemon is not None or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_S)


def _holds(store: Store, pid: int) -> bool:
    holder = lock_holder(store.projector_lock)
    return holder is not None and holder.pid == pid


def _ask_to_end(store: Store, holder: Holder) -> None:
    """Send SIGTERM to the process that has the lock, and to none that got its pid since."""
    if not is_of_this_system(store.projector_lock, holder):
        message = f"{process_text(holder)} runs in another container, or on another machine"
        raise DaemonNotStopped(message, path=store.projector_lock, hint="stop it there")
    try:
        if sys.platform == "linux":
            descriptor = os.pidfd_open(holder.pid)
            try:
                if _holds(store, holder.pid):
                    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            finally:
                os.close(descriptor)
        else:
            os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # it ended just now, and the lock is free
    except PermissionError as error:
        message = f"{process_text(holder)} belongs to somebody else"
        hint = "stop it as the user who started it"
        raise DaemonNotStopped(message, path=store.projector_lock, hint=hint) from error
