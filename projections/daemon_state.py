"""What a daemon leaves for others to read: `daemon.json`, beside the logs.

The file is derived and disposable. It says what a daemon was like when something last changed,
not that there is one: a daemon that is killed leaves it as it was. So it is believed only as long
as the process that wrote it holds the projector's lock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from projections.holders import Holder, lock_holder, started_ticks

if TYPE_CHECKING:
    from pathlib import Path

    from projections.daemon_hints import Mode
    from provenance_log.store import Store

STATE_NAME = "daemon.json"
LOG_NAME = "daemon.log"
"""The log of a daemon in the background."""

GRACE_S = 1.0
"""So long somebody who has just taken the lock may need to say that it is a daemon."""

_STATE_BYTES_MAX = 1024 * 1024
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "int | None": (int, NoneType),
    "float": (float, int),
    "str": (str,),
    "str | None": (str, NoneType),
    "Mode": (str,),
}


_Value = TypeVar("_Value", "DaemonError", "DaemonState")


@dataclass(frozen=True, slots=True)
class DaemonError:
    """Something that kept a daemon from its work; times are RFC 3339 in UTC."""

    kind: str
    """`projection` when nothing could be projected; `log` or `files` when only some could not be
    read or written; `end` when it ended the daemon. There is one error of each kind at most."""
    event: str
    """Under which name the daemon told it."""
    message: str
    since: str
    over: str | None = None
    """When it was over; None as long as it goes on."""


@dataclass(frozen=True, slots=True)
class DaemonState:
    """What a daemon notes of itself; times are RFC 3339 in UTC."""

    pid: int
    ticks: int | None
    """When the process started, see `holders.started_ticks`."""
    command: str
    since: str
    mode: Mode
    mode_reason: str | None
    """Why it is polling; None where it is not."""
    rescan_s: float
    stopped: str | None = None
    """When it ended by itself; None while it runs, and of one that was killed."""
    errors: tuple[DaemonError, ...] = ()

    @property
    def last_error(self) -> DaemonError | None:
        """The error that began last, one that goes on before those that are over."""
        return max(self.errors, key=lambda e: (e.over is None, e.since), default=None)

    def with_error(self, error: DaemonError) -> DaemonState:
        """Return the state with this error in the place of the one of its kind."""
        others = tuple(item for item in self.errors if item.kind != error.kind)
        return replace(self, errors=(*others, error))

    def without(self, kind: str, moment: str) -> DaemonState:
        """Return the state with the error of this kind over since `moment`."""
        return replace(
            self,
            errors=tuple(
                replace(e, over=moment) if e.kind == kind and e.over is None else e
                for e in self.errors
            ),
        )


@dataclass(frozen=True, slots=True)
class Presence:
    """Who has the lock of the projector, and what the last daemon noted of itself."""

    holder: Holder | None
    state: DaemonState | None

    @property
    def daemon(self) -> DaemonState | None:
        """The daemon that runs; None where nobody projects, or somebody who is no daemon."""
        if self.holder is None or self.state is None or self.state.pid != self.holder.pid:
            return None
        ticks = started_ticks(self.state.pid)
        is_same = None in (ticks, self.state.ticks) or ticks == self.state.ticks
        return self.state if is_same and self.state.stopped is None else None


def look(store: Store) -> Presence:
    """Return who is at work in a store; locks nothing and changes nothing."""
    # The state after the holder: whoever has just taken the lock writes it next.
    holder = lock_holder(store.projector_lock)
    return Presence(holder, read_state(store))


def state_path(store: Store) -> Path:
    """Return where the state is kept."""
    return store.root / STATE_NAME


def log_path(store: Store) -> Path:
    """Return where a daemon in the background writes what it has to say."""
    return store.root / LOG_NAME


def state_bytes(state: DaemonState) -> bytes:
    """Return the content of the file."""
    return orjson.dumps(asdict(state), option=orjson.OPT_INDENT_2) + b"\n"


def read_state(store: Store) -> DaemonState | None:
    """Return what the last daemon noted; None where there is nothing that can be read as such."""
    try:
        with state_path(store).open("rb") as file:
            value = orjson.loads(file.read(_STATE_BYTES_MAX))
        errors = tuple(_checked(DaemonError, error) for error in value.pop("errors"))
        return replace(_checked(DaemonState, value), errors=errors)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # also one of another version: the next start writes it anew


def _checked(kind: type[_Value], value: dict[str, Any]) -> _Value:
    """Make a value of a JSON object; raises TypeError where it has other keys, or other types."""
    for field in fields(kind):
        allowed = _JSON_TYPES.get(str(field.type))
        if field.name in value and allowed and not isinstance(value[field.name], allowed):
            raise TypeError(field.name)
    return kind(**value)


def now_text() -> str:
    """Return this moment, RFC 3339 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def process_text(holder: Holder) -> str:
    """Return how a message names a process."""
    return f"process {holder.pid} ({holder.command})" if holder.command else f"process {holder.pid}"


def running_text(found: Presence) -> str:
    """Return how a message names the daemon that runs."""
    if found.daemon is None:
        return "no daemon"
    return f"process {found.daemon.pid}, since {shown_time(found.daemon.since)}"


def shown_time(text: str) -> str:
    """Return a time of the state as people read it, to the second."""
    return f"{text[:19].replace('T', ' ')} UTC"
