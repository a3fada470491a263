"""Append to one session's log what it lacks of a conversation.

An event's id is a function of its place in the transcript, so what is in the log already is known
by its id, and what is written is the same whenever and from whatever copy it is imported.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provenance_log import files
from provenance_log.archive_index import read_index
from provenance_log.claude_code.actions import (
    AGENT_TYPE,
    Action,
    ActionWriter,
    event_id,
    moment_of,
)
from provenance_log.claude_code.items import Call, Item, Message, Prompt
from provenance_log.errors import LineInvalid
from provenance_log.recording import Recording, SessionHeader, reopen_session, start_session
from provenance_log.store import SessionDirectory, is_safe_name, read_session_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from provenance_log.claude_code.conversation import Conversation
    from provenance_log.store import Store

SOURCE_KIND = "claude-code-transcript"
QUERY_LENGTH_MAX = 2_000

_BATCH_ACTIONS_MAX = 500
_BATCH_BYTES_MAX = 8 * 1024 * 1024
_LOCK_WAIT_S = 30.0
_LATER_PIECES_MAX = 16


@dataclass(slots=True)
class SessionReport:
    """What an import did to one session."""

    session_id: str
    directory: str
    agent_id: str
    state: str
    """new, grown, unchanged, or archived: then nothing was added."""
    added_count: int
    call_count: int
    """Tool calls among the added actions; one that was pending before counts again."""
    not_written: list[str] = field(default_factory=list)
    """Items that no line can hold, each with its line in the transcript and the reason."""


class Sessions:
    """The sessions of a store, so that looking for one that is not there is cheap.

    `Store.find_session` looks at every log before it says no; an import asks once per session.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._ids: dict[str, str | None] = {}
        self._is_loaded = False

    def reopen(self, session_id: str) -> Recording | None:
        """Return the recording of a session, or None where there is no such session."""
        if not self._is_loaded:
            recording = reopen_session(self.store, session_id)
            if recording is not None:
                return recording
        self._look_again()
        if session_id not in self._ids.values():
            return None
        return reopen_session(self.store, session_id)

    def is_archived(self, session_id: str) -> bool:
        """Say whether a session is archived and not live; started anew, it would be there twice.

        A session gets into the index before its directory goes, so that is looked at last.
        """
        return self.reopen(session_id) is None and session_id in read_index(self.store)

    def start(self, header: SessionHeader, started_at: datetime) -> tuple[Recording, bool]:
        """Return the recording of a session, and whether it was started now.

        Two imports at once must not both make a directory for the same session.
        """
        with files.exclusive_lock(self.store.root / "import.lock", wait_s=_LOCK_WAIT_S):
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


class SessionImport:
    """Feeds the records of one session to its log."""

    def __init__(
        self,
        sessions: Sessions,
        conversation: Conversation,
        writer: ActionWriter,
        source: Mapping[str, str],
        header: Mapping[str, Any],
        *,
        is_dry_run: bool,
    ) -> None:
        """Say of what session: `source` and `header` go into the header of a new one."""
        self.conversation = conversation
        self.report = SessionReport(writer.session_id, "", "", "unchanged", 0, 0)
        self.tool_use_ids: set[str] = set()
        self.spawned_agent_ids: set[str] = set()
        self.is_known_elsewhere: Callable[[Call], bool] = lambda _call: False
        self._sessions = sessions
        self._writer = writer
        self._source = source
        self._header = header
        self._is_dry_run = is_dry_run
        self._recording: Recording | None = None
        self._is_open = False
        self.is_archived = False
        """Whether the session is archived, so that nothing can be added to it."""
        self._new: set[str] = set()
        self._batch: list[Action] = []
        self._batch_bytes = 0

    def add(self, line: int, record: dict[str, Any]) -> None:
        """Take one record in, and plan what the turn that it ends has brought."""
        items = self.conversation.add(line, record)
        if items:
            self._plan(items, is_last_turn=False)

    def end(self) -> None:
        """Plan what the last turn has brought, and write."""
        items = self.conversation.end()
        if items:
            self._plan(items, is_last_turn=True)
        self._write()

    def look(self) -> None:
        """Find the session's log where there is one, so that `has` can answer."""
        if self._recording is None:
            self._recording = self._sessions.reopen(self._writer.session_id)

    def close(self) -> None:
        """Close the log; `has` opens it again."""
        if self._recording is not None:
            self._recording.close()

    def has(self, own_id: str) -> bool:
        """Say whether an event is in the log, or will be after the next write."""
        if own_id in self._new:
            return True
        if self.report.state == "new" or self._recording is None:
            return False
        return self._recording.appender.has_event(own_id)

    def _plan(self, items: list[Item], *, is_last_turn: bool) -> None:
        self._open()
        if self.is_archived:
            return
        for item in items:
            action = self._action_of(item, is_last_turn=is_last_turn)
            if action is not None:
                self._new.add(action["database_event_id"])
                self._batch.append(action)
                self._batch_bytes += action["details"].get("output_size_bytes", 0)
            if len(self._batch) >= _BATCH_ACTIONS_MAX or self._batch_bytes >= _BATCH_BYTES_MAX:
                self._write()

    def _action_of(self, item: Item, *, is_last_turn: bool) -> Action | None:
        """Return the action of an item, or None where the log has it or something later."""
        if isinstance(item, Call):
            return self._action_of_call(item)
        if isinstance(item, Message):
            own_id = self._piece_id(item, item.piece_count)
            is_there = self.has(own_id) or (is_last_turn and self._has_longer(item))
            return None if is_there else self._writer.message(item, own_id)
        if isinstance(item, Prompt):
            own_id = self._writer.id_of(item, "prompt", item.key)
            return None if self.has(own_id) else self._writer.prompt(item, own_id)
        own_id = self._writer.id_of(item, item.kind, item.key)
        return None if self.has(own_id) else self._writer.note(item, own_id)

    def _has_longer(self, message: Message) -> bool:
        """Say whether the log has more of this message: an older copy ended in the middle of it."""
        if self.report.state == "new":
            return False
        pieces = range(message.piece_count + 1, message.piece_count + _LATER_PIECES_MAX)
        return any(self.has(self._piece_id(message, number)) for number in pieces)

    def _piece_id(self, message: Message, piece_count: int) -> str:
        return self._writer.id_of(message, "message", f"{message.key}/{piece_count}")

    def _action_of_call(self, call: Call) -> Action | None:
        self.tool_use_ids.add(call.tool_use_id)
        self.spawned_agent_ids.add(call.spawned_agent_id)
        own_id = self._writer.id_of(call, "call", call.tool_use_id)
        if self.has(own_id) or self.is_known_elsewhere(call):
            return None
        pending_id = self._writer.id_of(call, "pending", call.tool_use_id)
        was_pending = self.has(pending_id)
        if call.result is None:
            return None if was_pending else self._writer.call(call, pending_id, None)
        return self._writer.call(call, own_id, pending_id if was_pending else None)

    def _open(self) -> None:
        if self._is_open:
            return
        self._is_open = True
        if self.is_archived or self._sessions.is_archived(self._writer.session_id):
            self.is_archived, self.report.state = True, "archived"
            return
        self._recording = self._sessions.reopen(self._writer.session_id)
        is_new = self._recording is None
        if is_new and not self._is_dry_run:
            started_at = moment_of(self.conversation.beginning.timestamp)
            self._recording, is_new = self._sessions.start(self._session_header(), started_at)
        if is_new:
            self.report.state, self.report.added_count = "new", 1
        if self._recording is not None:
            self.report.directory = self._recording.directory.name

    def _session_header(self) -> SessionHeader:
        beginning = self.conversation.beginning
        context = {
            "working_directory": beginning.cwd,
            "git_branch": beginning.git_branch,
            "claude_code_version": beginning.version,
        }
        source = {"kind": SOURCE_KIND, "version": beginning.version, **self._source}
        source = {key: value for key, value in source.items() if value}
        return SessionHeader(
            agent_type=AGENT_TYPE,
            query=(beginning.prompt or beginning.command)[:QUERY_LENGTH_MAX],
            session_id=self._writer.session_id,
            agent_version=beginning.version or None,
            model=beginning.model or None,
            user_context={key: value for key, value in context.items() if value},
            project=re.split(r"[\\/]", beginning.cwd.rstrip("\\/"))[-1] or None,
            source=source,
            **self._header,
        )

    def _write(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if self._recording is None or self._is_dry_run:
            self._count(batch, [True] * len(batch))
            return
        try:
            appended = self._recording.append_many(batch)
        except LineInvalid:
            self._write_one_by_one(self._recording, batch)
            return
        self._count(batch, [not one.was_there for one in appended])

    def _write_one_by_one(self, recording: Recording, batch: list[Action]) -> None:
        for action in batch:
            try:
                appended = recording.append(action)
            except LineInvalid as error:
                line = action["details"]["source_line"]
                self.report.not_written.append(f"line {line}: {error.message}")
            else:
                self._count([action], [not appended.was_there])

    def _count(self, batch: list[Action], is_new: list[bool]) -> None:
        added = [action for action, is_one in zip(batch, is_new, strict=True) if is_one]
        self.report.added_count += len(added)
        self.report.call_count += sum(action["event_type"] == "tool_call" for action in added)
        if added and self.report.state == "unchanged":
            self.report.state = "grown"
