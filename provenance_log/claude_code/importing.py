"""Bring the sessions of some transcripts into a store: what it has already is left alone.

Importing again, or a grown transcript, or a copy of it, appends only what is new. Two imports at
once agree on a session's directory through a lock, and on its events by their ids.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provenance_log.claude_code.actions import (
    ActionWriter,
    child_session_id,
    store_session_id,
)
from provenance_log.claude_code.conversation import Conversation
from provenance_log.claude_code.families import AgentFile, Family, find_families
from provenance_log.claude_code.session_import import SessionImport, SessionReport
from provenance_log.claude_code.sessions import Sessions
from provenance_log.settings import load_settings
from provenance_log.store_redaction import redactor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provenance_log.claude_code.transcripts import Problem, Transcript
    from provenance_log.errors import TranscriptInvalid
    from provenance_log.store import Store
    from provenance_log.taxonomy import Taxonomy

SESSION_ID_LENGTH_MAX = 200


@dataclass(slots=True)
class ImportReport:
    """What an import read, added, passed over and refused."""

    file_count: int = 0
    bytes_count: int = 0
    sessions: list[SessionReport] = field(default_factory=list)
    set_aside: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    repeated_count: int = 0
    stray_result_count: int = 0
    problem_count: int = 0
    problems: list[Problem] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    refused: list[TranscriptInvalid] = field(default_factory=list)

    @property
    def added_count(self) -> int:
        """Actions appended, session starts among them."""
        return sum(session.added_count for session in self.sessions)

    @property
    def call_count(self) -> int:
        """Tool calls among the appended actions."""
        return sum(session.call_count for session in self.sessions)

    @property
    def not_written(self) -> list[str]:
        """What no line could hold, with session, line in the transcript, and reason."""
        return [
            f"session {session.session_id}, {text}"
            for session in self.sessions
            for text in session.not_written
        ]

    def in_state(self, state: str) -> int:
        """Count the sessions that are new, grown, unchanged or archived."""
        return sum(session.state == state for session in self.sessions)


def import_transcripts(
    store: Store,
    paths: Sequence[Path],
    *,
    is_dry_run: bool = False,
    holds_back: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportReport:
    """Import files and directories; see `find_families` for what belongs together.

    Files that are no transcripts are in the report's `refused`; the rest is imported all the
    same. `on_progress` gets bytes read and bytes in all. With `is_dry_run` nothing is written and
    the report says what would be. With `holds_back`, what may still change in a session that goes
    on (calls without a result, the last message) is left to a later import.
    Raises the errors of `start_session` and `append_many`; what
    was appended before stays, and the next import goes on from there.
    """
    found = find_families(paths)
    report = ImportReport(empty=found.empty, refused=found.refused)
    total = sum(transcript.size_bytes for transcript in found.transcripts)
    sessions = Sessions(store)
    taxonomy = load_settings(store.root, is_cached=not is_dry_run).taxonomy
    for family in found.families:
        one = _FamilyImport(
            sessions, family, report, taxonomy, is_dry_run=is_dry_run, holds_back=holds_back
        )
        one.run()
        on_progress(report.bytes_count, total)
    return report


class _FamilyImport:
    """Imports one session with its subagents."""

    def __init__(
        self,
        sessions: Sessions,
        family: Family,
        report: ImportReport,
        taxonomy: Taxonomy,
        *,
        is_dry_run: bool,
        holds_back: bool,
    ) -> None:
        self._sessions = sessions
        self._family = family
        self._report = report
        self._taxonomy = taxonomy
        self._redact = redactor_of(sessions.store.root).redact
        self._is_dry_run = is_dry_run
        self._holds_back = holds_back
        self._trunk_id = store_session_id(family.session_id)
        self._own_transcripts: dict[str, bool] = {one.agent.agent_id: True for one in family.agents}

    def run(self) -> None:
        """Import the trunk, then the subagents, each after the one that started it."""
        sessions = {self._family.session_id: self._trunk(self._family.session_id)}
        trunk = sessions[self._family.session_id]
        for transcript in self._family.trunks:
            for line, record in transcript.records():
                session_id = record.get("sessionId")
                if isinstance(session_id, str) and session_id != self._family.session_id:
                    # A resumed session may carry records of the one it goes on from.
                    if session_id not in sessions:
                        sessions[session_id] = self._trunk(session_id)
                    sessions[session_id].add(line, record)
                else:
                    trunk.add(line, record)
            self._note(transcript)
        for session in sessions.values():
            self._finish(session)
        self._import_agents(trunk)
        trunk.close()

    def _trunk(self, session_id: str) -> SessionImport:
        own_id = store_session_id(session_id)
        conversation = Conversation(has_own_transcript=self._has_own_transcript)
        session = SessionImport(
            self._sessions,
            conversation,
            ActionWriter(own_id, own_id, self._taxonomy, self._redact),
            _source(session_id, own_id),
            {},
            is_dry_run=self._is_dry_run,
        )
        session.holds_back = self._holds_back
        return session

    def _has_own_transcript(self, agent_id: str) -> bool:
        known = self._own_transcripts.get(agent_id)
        if known is None:
            child = child_session_id(self._trunk_id, agent_id)
            known = self._sessions.reopen(child) is not None or self._sessions.is_archived(child)
            self._own_transcripts[agent_id] = known
        return known

    def _import_agents(self, trunk: SessionImport) -> None:
        """Import each subagent after the one that started it, which may be a subagent too.

        Where nobody is known to have started an agent, the oldest one goes to the trunk.
        """
        if self._family.agents:
            trunk.look()
        parents = _Parents(trunk)
        waiting = list(self._family.agents)
        while waiting:
            ready = [one for one in waiting if parents.of(one) is not None] or waiting[:1]
            for agent_file in ready:
                parent, depth = parents.of(agent_file) or (trunk, 0)
                child = self._agent(agent_file, parent, depth + 1, trunk)
                parents.add(child, depth + 1)
            done = {id(one) for one in ready}
            waiting = [one for one in waiting if id(one) not in done]

    def _agent(
        self, agent_file: AgentFile, parent: SessionImport, depth: int, trunk: SessionImport
    ) -> SessionImport:
        agent = agent_file.agent
        own_id = child_session_id(self._trunk_id, agent.agent_id)
        source = _source(self._family.session_id, self._trunk_id)
        header: dict[str, object] = {
            "parent_session_id": parent.report.session_id,
            "depth": depth,
            "kwargs": _agent_kwargs(agent_file),
        }
        child = SessionImport(
            self._sessions,
            Conversation(own_agent=agent, has_own_transcript=self._has_own_transcript),
            ActionWriter(own_id, self._trunk_id, self._taxonomy, self._redact),
            {**source, "agent_id": agent.agent_id},
            header,
            is_dry_run=self._is_dry_run,
        )
        child.report.agent_id = agent.agent_id
        # What the trunk has of a subagent can't be told while the trunk is archived.
        child.is_archived = self._sessions.is_archived(self._trunk_id)
        child.hand_over = trunk.take
        child.holds_back = self._holds_back
        for line, record in agent_file.transcript.records():
            child.add(line, record)
        self._note(agent_file.transcript)
        self._finish(child)
        return child

    def _note(self, transcript: Transcript) -> None:
        report = self._report
        report.file_count += 1
        report.bytes_count += transcript.size_bytes
        report.problem_count += transcript.problem_count
        report.problems += transcript.problems

    def _finish(self, session: SessionImport) -> None:
        session.end()
        session.close()
        report, counts = self._report, session.conversation.counts
        report.set_aside += counts.set_aside
        report.unknown += counts.unknown
        report.repeated_count += counts.repeated
        report.stray_result_count += counts.stray_results
        if session.conversation.has_begun:
            report.sessions.append(session.report)


class _Parents:
    """Which session, and how deep, a subagent was started from."""

    def __init__(self, trunk: SessionImport) -> None:
        self._by_tool_use: dict[str, tuple[SessionImport, int]] = {}
        self._by_agent: dict[str, tuple[SessionImport, int]] = {}
        self.add(trunk, 0)

    def add(self, session: SessionImport, depth: int) -> None:
        """Learn which calls a session made, and which agents they started."""
        for tool_use_id in session.tool_use_ids:
            self._by_tool_use.setdefault(tool_use_id, (session, depth))
        for agent_id in session.spawned_agent_ids:
            self._by_agent.setdefault(agent_id, (session, depth))

    def of(self, agent_file: AgentFile) -> tuple[SessionImport, int] | None:
        """Return the parent of a subagent and its depth, or None while nobody is known."""
        agent = agent_file.agent
        by_tool_use = self._by_tool_use.get(agent.parent_tool_use_id)
        return by_tool_use or self._by_agent.get(agent.agent_id)


def _agent_kwargs(agent_file: AgentFile) -> dict[str, str]:
    agent = agent_file.agent
    kwargs = {
        "agent_id": agent.agent_id,
        "agent_type": agent.agent_type,
        "description": agent_file.description,
        "tool_use_id": agent.parent_tool_use_id,
    }
    return {key: value for key, value in kwargs.items() if value}


def _source(session_id: str, own_id: str) -> dict[str, str]:
    """Return the id in the transcript where the store can't have it as the session's id."""
    return {} if session_id == own_id else {"session_id": session_id[:SESSION_ID_LENGTH_MAX]}
