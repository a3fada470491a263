"""Append to one session's log what it lacks of a conversation.

An event's id is a function of its place in the transcript, so what is in the log already is known
by its id, and what is written is the same whenever and from whatever copy it is imported.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.actions import (
    AGENT_TYPE,
    Action,
    ActionWriter,
    event_id,
    moment_of,
)
from provenance_log.claude_code.calls import Call
from provenance_log.claude_code.items import Item, Message, Prompt
from provenance_log.claude_code.recognition import (
    input_key,
    prompt_key,
    typed_text,
    unnamed_call_id,
)
from provenance_log.claude_code.session_ends import repeated_end, state_of
from provenance_log.claude_code.sessions import QUERY_LENGTH_MAX, Sessions
from provenance_log.errors import LineInvalid
from provenance_log.recording import Recording, SessionHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provenance_log.claude_code.conversation import Conversation

SOURCE_KIND = "claude-code-transcript"
_BATCH_ACTIONS_MAX = 500
_BATCH_BYTES_MAX = 8 * 1024 * 1024
_LATER_PIECES_MAX = 16
_CALL_KINDS = ("call", "pending", "start")


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


def settled(items: list[Item]) -> list[Item]:
    """Leave out what may still change: calls without a result, and the last message."""
    last = next((item for item in reversed(items) if isinstance(item, Message)), None)
    return [
        item
        for item in items
        if item is not last and not (isinstance(item, Call) and item.result is None)
    ]


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
        self.hand_over: Callable[[Call], bool] = lambda _call: False
        """Says of a call that another session has taken it."""
        self.holds_back = False
        """Whether what may still change is left to a later import."""
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
        self._occurrences: Counter[str] = Counter()
        self._unnamed: dict[str, str] = {}
        self._has_unnamed = False
        self._end: Action | None = None
        self._is_end_stale = False

    def add(self, line: int, record: dict[str, Any]) -> None:
        """Take one record in, and plan what the turn that it ends has brought."""
        items = self.conversation.add(line, record)
        if items:
            self._plan(items, is_last_turn=False)

    def end(self) -> None:
        """Plan what the last turn has brought, and write."""
        items = self.conversation.end()
        if self.holds_back:
            items = settled(items)
        if items:
            self._plan(items, is_last_turn=True)
        self._write()

    def look(self) -> None:
        """Find the session's log where there is one, so that `has` can answer."""
        if self._recording is None:
            self._recording = self._sessions.reopen(self._writer.session_id)
            if self._recording is not None:
                self._end, self._has_unnamed = state_of(self._recording.directory.log)

    def take(self, call: Call) -> bool:
        """Write a subagent's call here if this log has something of it; say whether it has.

        A recorder of hooks writes what a subagent calls into the log of the session.
        """
        if not any(self.has(self._call_event_id(call, kind)) for kind in _CALL_KINDS):
            return False
        self._plan([call], is_last_turn=True)
        self._write()
        return True

    def close(self) -> None:
        """Close the log, which is ended again if it was before; `has` opens it again."""
        if self._recording is None:
            return
        if self._end is not None and self._is_end_stale:
            self._end = repeated_end(self._end, self._writer.session_id)
            self._recording.appender.append(self._end, durability="disk")
            self._is_end_stale = False
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
            is_there = self._was_typed(item) or self.has(own_id)
            return None if is_there else self._writer.prompt(item, own_id)
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

    def _was_typed(self, prompt: Prompt) -> bool:
        """Say whether a hook recorded this prompt: the n-th one of the same words."""
        typed = typed_text(prompt)
        if typed is None:
            return False
        key = prompt_key(typed, self._writer.redact)
        self._occurrences[key] += 1
        number = f"{key}/{self._occurrences[key]}"
        return self.has(event_id(self._writer.session_id, "", "typed", number))

    def _call_event_id(self, call: Call, kind: str) -> str:
        """Return the id of an event of a call, by the name under which the log knows the call."""
        if self._has_unnamed and not call.recorded_as:
            unnamed = self._unnamed_id(call)
            ids = [event_id(self._writer.session_id, "", kind, unnamed) for kind in _CALL_KINDS]
            call.recorded_as = unnamed if any(map(self.has, ids)) else ""
        if call.recorded_as:
            return event_id(self._writer.session_id, "", kind, call.recorded_as)
        return self._writer.id_of(call, kind, call.tool_use_id)

    def _unnamed_id(self, call: Call) -> str:
        if call.tool_use_id not in self._unnamed:
            key = input_key(call.tool, call.input, self._writer.redact)
            self._occurrences[key] += 1
            self._unnamed[call.tool_use_id] = unnamed_call_id(key, self._occurrences[key])
        return self._unnamed[call.tool_use_id]

    def _action_of_call(self, call: Call) -> Action | None:
        self.tool_use_ids.add(call.tool_use_id)
        self.spawned_agent_ids.add(call.spawned_agent_id)
        own_id = self._call_event_id(call, "call")
        if self.has(own_id) or self.hand_over(call):
            return None
        earlier = [self._call_event_id(call, kind) for kind in ("pending", "start")]
        if call.result is None:
            return None if self.has(earlier[0]) else self._writer.call(call, earlier[0], None)
        return self._writer.call(call, own_id, next(filter(self.has, earlier), None))

    def _open(self) -> None:
        if self._is_open:
            return
        self._is_open = True
        if self.is_archived or self._sessions.is_archived(self._writer.session_id):
            self.is_archived, self.report.state = True, "archived"
            return
        self.look()
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
        self._is_end_stale = self._is_end_stale or bool(added)
        self.report.added_count += len(added)
        self.report.call_count += sum(action["event_type"] == "tool_call" for action in added)
        if added and self.report.state == "unchanged":
            self.report.state = "grown"
