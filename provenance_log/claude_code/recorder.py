"""Record one arrival: find its session, see under the lock what the log lacks, append that.

An arrival that can't be recorded now goes to the spool, and what waits there is recorded by the
next recorder that has nothing in its way, by `provlog project` and by the daemon.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance_log.appender import Appender
from provenance_log.claude_code.actions import (
    AGENT_TYPE,
    ActionWriter,
    moment_of,
    store_session_id,
)
from provenance_log.claude_code.arrivals import Arrival, from_spool, to_spool
from provenance_log.claude_code.fields import name_of, text_of
from provenance_log.claude_code.hook_calls import CALL_EVENTS, CallLines
from provenance_log.claude_code.hook_lines import line_of
from provenance_log.claude_code.session_ends import end_of, repeated_end
from provenance_log.claude_code.sessions import QUERY_LENGTH_MAX, Sessions
from provenance_log.errors import (
    LineInvalid,
    LockHeld,
    PayloadInvalid,
    ProvlogError,
    SettingsInvalid,
)
from provenance_log.recorder_problems import note_problem
from provenance_log.recording import Recording, SessionHeader
from provenance_log.settings import default_settings, load_settings
from provenance_log.spool import drain_spool, spooled_paths, write_spooled
from provenance_log.store import DATABASE_NAME, Store
from provenance_log.store_redaction import redactor_of

if TYPE_CHECKING:
    from provenance_log.log_end import LogEnd
    from provenance_log.settings import Settings

Action = dict[str, Any]

LOCK_WAIT_S = 0.25
"""How long a recorder waits for a lock before it leaves the event in the spool."""
DRAINED_COUNT_MAX = 20
"""How many spooled events a recorder takes along; whoever has the time takes all."""

# What begins something; whatever else comes after the end of a session is late.
_REOPENING = frozenset({"PreToolUse", "SessionStart", "Setup", "UserPromptSubmit"})


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records the arrivals of one store."""

    store: Store
    settings: Settings
    wait_s: float

    def record(self, arrival: Arrival) -> None:
        """Append what the arrival brings; the log may have all of it already.

        Raises the errors of `Sessions.start` and of `Appender.append_planned`.
        """
        deadline = time.monotonic() + self.wait_s
        session_id = store_session_id(arrival.session_id)
        recording, is_new = self._recording(arrival, session_id)
        writer = ActionWriter(
            session_id, session_id, self.settings.taxonomy, redactor_of(self.store.root).redact
        )
        if is_new and _is_plain_start(arrival):
            recording.close()
            return
        is_end = arrival.event_name == "SessionEnd"
        with closing(recording):
            recording.appender.append_planned(
                lambda log_end: planned(log_end, arrival, writer),
                wait_s=max(0.0, deadline - time.monotonic()),
                durability="disk" if is_end else self.settings.durability,
            )

    def record_spooled(self, content: bytes) -> None:
        """Record what a recorder left in the spool.

        Raises the same, and `LineInvalid` for what will never be recorded.
        """
        try:
            arrival = from_spool(content)
        except PayloadInvalid as error:
            raise LineInvalid("wrong_type", error.message) from error
        self.record(arrival)

    def _recording(self, arrival: Arrival, session_id: str) -> tuple[Recording, bool]:
        sessions = Sessions(self.store, wait_s=self.wait_s)
        directory = self.store.find_indexed_session(session_id)
        if directory is not None:
            redactor = redactor_of(self.store.root)
            return Recording(
                session_id, directory, Appender(directory.log, redactor=redactor)
            ), False
        return sessions.start(_header(arrival, session_id), moment_of(arrival.time))


def planned(log_end: LogEnd, arrival: Arrival, writer: ActionWriter) -> list[Action]:
    """Return the lines that an arrival brings to a log, in their order."""
    if arrival.is_retry and log_end.mentions(arrival.event_id):
        return []
    calls = CallLines(log_end, arrival, writer)
    if arrival.event_name in CALL_EVENTS:
        lines = calls.of_call()
    else:
        lines = [*calls.of_orphans(), line_of(log_end, arrival, writer)]
    if not lines or arrival.event_name in _REOPENING or arrival.event_name == "SessionEnd":
        return lines
    end = end_of(log_end)
    return lines if end is None else [*lines, repeated_end(end, writer.session_id)]


def record_or_spool(store: Store, arrival: Arrival, size_bytes: int) -> None:
    """Record an arrival within a bounded time, or leave it in the spool, or note that it is lost.

    Then take along what waits in the spool. Raises nothing that is expected.
    """
    recorder = Recorder(store, settings_of(store, arrival, size_bytes), LOCK_WAIT_S)
    try:
        recorder.record(arrival)
    except (ProvlogError, OSError) as error:
        _spool(store, arrival, error, size_bytes)
        return
    drain(recorder, count_max=DRAINED_COUNT_MAX)


def drain_store(store: Store) -> int:
    """Append everything that recorders left in the spool; return how many events that were.

    Raises `SettingsInvalid`, and the errors of an append, which leave the rest in the spool.
    """
    if not spooled_paths(store.root):
        return 0
    recorder = Recorder(store, load_settings(store.root), wait_s=LOCK_WAIT_S)
    return drain_spool(store.root, recorder.record_spooled)


def drain(recorder: Recorder, *, count_max: int) -> None:
    """Append some of what waits in the spool; what is in the way stays for another time."""
    root = recorder.store.root
    try:
        drain_spool(root, recorder.record_spooled, count_max=count_max)
    except (ProvlogError, OSError) as error:
        note_problem(root, _now(), f"draining the spool: {_reason(error)}", "", 0)


def settings_of(store: Store, arrival: Arrival, size_bytes: int) -> Settings:
    """Return the settings of a store, or the defaults where its files can't be read as such."""
    try:
        return load_settings(store.root)
    except SettingsInvalid as error:
        reason = _reason(error)
        note_problem(store.root, arrival.time, reason, arrival.event_name, size_bytes)
        return default_settings()


def store_at(root: Path) -> Store:
    """Return the store with this root; a recorder needs nothing that is configured of it."""
    return Store(root, root / DATABASE_NAME)


def _spool(store: Store, arrival: Arrival, error: Exception, size_bytes: int) -> None:
    reason = _reason(error)
    try:
        redact = redactor_of(store.root).redact
        write_spooled(store.root, arrival.time, to_spool(arrival, redact))
    except (OSError, ProvlogError) as worse:
        reason = f"not recorded: {reason}; not spooled: {_reason(worse)}"
    else:
        reason = f"spooled: {reason}"
        if isinstance(error, LockHeld):
            return  # that is what the spool is for
    note_problem(store.root, arrival.time, reason, arrival.event_name, size_bytes)


def _reason(error: Exception) -> str:
    message = error.message if isinstance(error, ProvlogError) else str(error)
    return message or type(error).__name__


def _is_plain_start(arrival: Arrival) -> bool:
    """Say whether an arrival is told in full by the first line of its session."""
    source = name_of(arrival.payload, "source")
    return arrival.event_name == "SessionStart" and source in {"", "startup"}


def _header(arrival: Arrival, session_id: str) -> SessionHeader:
    payload = arrival.payload
    directory = arrival.context.get("working_directory", "")
    kwargs = {
        "first_event": arrival.event_name,
        "session_id": "" if session_id == arrival.session_id else arrival.session_id[:200],
        **{
            key: name_of(payload, key)
            for key in ("source", "agent_type", "session_title", "transcript_path")
        },
    }
    is_prompt = arrival.event_name == "UserPromptSubmit"
    return SessionHeader(
        agent_type=AGENT_TYPE,
        query=text_of(payload, "prompt")[:QUERY_LENGTH_MAX] if is_prompt else "",
        session_id=session_id,
        model=name_of(payload, "model") or None,
        kwargs={key: value for key, value in kwargs.items() if value},
        user_context={**arrival.context, "host": os.uname().nodename},
        project=os.path.basename(directory) or None,  # noqa: PTH119 - a name, maybe of no path
    )


def _now() -> str:
    moment = time.time_ns() // 1000
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 1_000_000)) + (
        f".{moment % 1_000_000:06d}Z"
    )
