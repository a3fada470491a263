"""Which sessions are archived: what a log says of its session, told without a database.

Finished means what it means in the tables: the last event that is no annotation is a session_end,
or the session was imported and its source keeps it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance_log.errors import LineInvalid
from provenance_log.format import decode_timed, event_name_of, event_type_of
from provenance_log.reader import START, ReadPosition, read_log, session_id_of_log
from provenance_log.session_names import SessionLog, find_session_log, session_logs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provenance_log.reader import RawLine
    from provenance_log.store import Store


@dataclass(frozen=True, slots=True)
class ArchiveChoice:
    """Which sessions are meant; without `given`, all that the filters let pass."""

    given: Sequence[str] = ()
    """Session ids or beginnings of one, names or paths of directories, or `latest`."""
    before_us: int | None = None
    """Whose last action was before that time, in microseconds since 1970."""
    with_unfinished: bool = False


@dataclass(slots=True)
class LogFacts:
    """What a log says of its session."""

    session_id: str = ""
    end: ReadPosition = START
    """Of its whole lines."""
    first_us: int | None = None
    """Time of the first action, in microseconds since 1970; None without any action."""
    last_us: int | None = None
    """The latest time of an action."""
    is_ended: bool = False
    is_imported: bool = False
    success: bool | None = None
    """Of the session_end, while the session is ended."""

    @property
    def is_finished(self) -> bool:
        """Say whether nothing more is expected to be appended."""
        return self.is_ended or self.is_imported

    @property
    def state(self) -> str:
        """The state that the tables give the session."""
        if self.is_ended and self.success is not None:
            return "success" if self.success else "failure"
        if self.is_imported:
            return "imported"
        return "failure" if self.is_ended else "open"

    def see(self, raw: RawLine) -> None:
        """Take in one line; what is no action says nothing."""
        if not self.session_id and (raw.content is None or raw.content.strip()):
            self.session_id = session_id_of_log(raw)
        try:
            action, time_us = decode_timed(raw.content or b"")
        except LineInvalid:
            return
        self.first_us = time_us if self.first_us is None else self.first_us
        self.last_us = time_us if self.last_us is None else max(self.last_us, time_us)
        event_type, details = event_type_of(action), action.get("details")
        if event_type == "lifecycle" and isinstance(details, dict):
            name = event_name_of(action)
            if name == "session_start":
                self.is_imported = self.is_imported or _has_source(details)
            self.is_ended = name == "session_end"
            success = details.get("success")
            self.success = success if self.is_ended and isinstance(success, bool) else None
        elif event_type != "annotation":
            self.is_ended, self.success = False, None


def facts_of(log: Path) -> LogFacts:
    """Read a log to its end; raises OSError, and `LogUnsafe` for what is no plain file."""
    facts = LogFacts()
    for chunk in read_log(log):
        for raw in chunk.lines:
            facts.see(raw)
        facts.end = chunk.end
    return facts


def chosen_logs(store: Store, choice: ArchiveChoice) -> list[SessionLog]:
    """Return the logs that are meant, in bytewise order of their directories.

    Whether they are old enough and finished is for `facts_of` to say. Raises `SessionNotFound`.
    """
    if not choice.given:
        return session_logs(store)
    found = [find_session_log(store, given) for given in choice.given]
    by_name = {log.directory.name: log for log in found}
    return [by_name[name] for name in sorted(by_name, key=os.fsencode)]


def _has_source(details: dict[str, Any]) -> bool:
    session = details.get("session")
    return isinstance(session, dict) and isinstance(session.get("source"), dict)
