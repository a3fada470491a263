"""blind: the same load, while the system tells the daemon nothing, or less than there is.

Five faults, each with a daemon of its own. The real limits of inotify are set for the one daemon
where the system allows it: the number of watches in a user namespace of its own, the length of
the queue (one for the whole machine) for the moment in which the daemon starts.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from projections.status import read_status
from projections.waiting import wait_until_visible
from provenance_log.recording import SessionHeader, start_session
from provenance_log.store import Store
from soaking.load import appenders, show_appends, show_end
from soaking.measuring import Outcome, Setting, percentile, spread
from soaking.processes import PROVLOG, DaemonProcess, children, sabotaged

SECONDS = 20.0
RATE_HZ = 400
RESCAN_S = 2.0
LONE_APPENDS = 6
_GRACE_S = 1.0
"""For the work itself: reading, writing, and waiting for who reads."""

_CATCH_UP_S = 60.0
_MODES = {"watching", "polling"}
_ACTION = {"type": "read", "tool": "Read", "status": "success"}
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_IN_NAMESPACE = ("unshare", "--user", "--map-root-user")
_LIMIT = "/proc/sys/user/max_inotify_watches"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that keeps hints from coming, and what the daemon has to say of it."""

    name: str
    command: tuple[str, ...]
    said: str
    """A notice with this in its name or message must be there."""
    around_start: Callable[[], AbstractContextManager[None]] = nullcontext


def blind(setting: Setting) -> Outcome:
    """Append under each fault, and look when the lines show and what the daemon says."""
    outcome = Outcome("blind")
    for fault in _faults():
        setting.say(fault.name)
        part = _run(setting, fault)
        outcome.figures += [(f"{fault.name}: {what}", value) for what, value in part.figures]
        outcome.broken += [f"{fault.name}: {text}" for text in part.broken]
    return outcome


def _faults() -> Iterator[Fault]:
    yield Fault("every event suppressed", sabotaged("suppressed"), "polling")
    yield Fault("observer killed", sabotaged("observer"), "started again")
    if _can_limit_watches():
        yield Fault("no watch left", _with_watches(0), "polling")
        yield Fault("watches exhausted later", _with_watches(4), "polling")
    else:
        yield Fault("no watch left (pretended)", sabotaged("watches"), "polling")
    if _is_writable(_QUEUE):
        yield Fault("queue overflows", (*PROVLOG, "daemon"), "overflow", _short_queue)


def _run(setting: Setting, fault: Fault) -> Outcome:
    part = Outcome(fault.name)
    directory = setting.directory / fault.name.replace(" ", "-")
    directory.mkdir()
    store = setting.store(f"{directory.name}/store")
    options = ("--rescan", str(RESCAN_S))
    log = directory / "daemon.log"
    with fault.around_start():
        daemon = DaemonProcess(store, log, *options, command=fault.command)
        daemon.wait_until_it_said("started")
    with daemon, children(("visible", store.root), *appenders(store, RATE_HZ)) as started:
        time.sleep(setting.seconds(SECONDS))
        appended = [child.stop() for child in started[1:]]
        directories = store.session_directories()
        wait_until_visible(store, directories, timeout_s=_CATCH_UP_S)
        _append_alone(part, store, daemon, fault)
        seen = started[0].stop()
        _ask_how_it_watches(part, store, daemon, fault)
        daemon.end()
        found = show_appends(part, appended, seen)
        late = percentile(found, 1)
        limit_s = RESCAN_S + _GRACE_S
        part.promise(late <= limit_s, f"a line took {late:.1f} s to show, more than {limit_s} s")
        show_end(part, setting, daemon, appended)
    return part


def _append_alone(part: Outcome, store: Store, daemon: DaemonProcess, fault: Fault) -> None:
    """Append to a session of its own, to which no other line draws attention."""
    recording = start_session(store, SessionHeader(agent_type="soak"))
    took_s = []
    for _ in range(LONE_APPENDS):
        recording.append(_ACTION)
        began = time.monotonic()
        wait_until_visible(store, [recording.directory], timeout_s=_CATCH_UP_S)
        took_s.append(time.monotonic() - began)
        if _told(daemon, fault):
            break
        time.sleep(1.5 * RESCAN_S)
    recording.end(success=True)
    wait_until_visible(store, [recording.directory], timeout_s=_CATCH_UP_S)
    part.add("a lone line visible after", spread(took_s))
    limit_s = RESCAN_S + _GRACE_S
    text = f"a lone line took {max(took_s):.1f} s to show, more than {limit_s} s"
    part.promise(max(took_s) <= limit_s, text)


def _ask_how_it_watches(part: Outcome, store: Store, daemon: DaemonProcess, fault: Fault) -> None:
    """Look whether the daemon says what is wrong, and `provlog status` how it watches now."""
    texts = _warnings(daemon)
    part.add("said", "; ".join(dict.fromkeys(texts)) or "nothing")
    part.promise(_told(daemon, fault), f"the daemon did not say {fault.said!r}")
    told = read_status(store, wait_s=_CATCH_UP_S).daemon
    modes = [notice["event"] for notice in daemon.notices if notice["event"] in _MODES]
    part.add("status", f"{told.mode}, as {told.mode_reason}" if told.mode_reason else told.mode)
    is_right = told.is_running and told.mode == (modes or ["watching"])[-1]
    part.promise(is_right, f"the status says {told.mode}, and the daemon {modes}")
    is_reasoned = told.mode != "polling" or bool(told.mode_reason)
    part.promise(is_reasoned, "the status does not say why it is polling")


def _told(daemon: DaemonProcess, fault: Fault) -> bool:
    """Say whether the daemon told of the fault."""
    return any(fault.said in text for text in _warnings(daemon))


def _warnings(daemon: DaemonProcess) -> list[str]:
    told = [notice for notice in daemon.notices if notice["level"] == "warning"]
    return [f"{notice['event']}: {notice['message']}" for notice in told]


def _can_limit_watches() -> bool:
    try:
        done = subprocess.run(_with_watches(1, "true"), capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _with_watches(count: int, *command: str) -> tuple[str, ...]:
    """Return a command that runs where only so many watches may be had."""
    script = f'echo {count} > {_LIMIT} && exec "$@"'
    return (*_IN_NAMESPACE, "sh", "-c", script, "sh", *(command or (*PROVLOG, "daemon")))


def _is_writable(path: Path) -> bool:
    try:
        path.write_text(path.read_text("ascii"), "ascii")
    except OSError:
        return False
    return True


@contextmanager
def _short_queue() -> Iterator[None]:
    """Have a queue of one event, for those who ask for notifications in the meantime."""
    before = _QUEUE.read_text("ascii")
    try:
        _QUEUE.write_text("1", "ascii")
        yield
    finally:
        _QUEUE.write_text(before, "ascii")
