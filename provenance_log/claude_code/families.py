"""Which files belong together: the transcripts of a session and those of its subagents.

Claude Code keeps a session in `<session>.jsonl`. A subagent's transcript is
`<session>/subagents/**/agent-<id>.jsonl` with an `agent-<id>.meta.json` beside it; older versions
put `agent-<id>.jsonl` next to the session. Every one of them names the trunk's session.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from provenance_log.claude_code.calls import Agent
from provenance_log.claude_code.fields import Block, name_of
from provenance_log.claude_code.transcripts import Transcript, open_transcript
from provenance_log.errors import TranscriptInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SUFFIX = ".jsonl"
_META_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class AgentFile:
    """The transcript of a subagent, with what its meta file tells."""

    transcript: Transcript
    agent: Agent
    description: str


@dataclass(slots=True)
class Family:
    """The transcripts of one session, oldest first, and those of its subagents."""

    session_id: str
    """As written in the transcripts."""
    trunks: list[Transcript] = field(default_factory=list)
    agents: list[AgentFile] = field(default_factory=list)


@dataclass(slots=True)
class Found:
    """What a look at the paths found."""

    families: list[Family]
    empty: list[Path]
    """Files that are transcripts, but of no session."""
    refused: list[TranscriptInvalid]

    @property
    def transcripts(self) -> list[Transcript]:
        """Every transcript that is of a session."""
        agents = [one.transcript for family in self.families for one in family.agents]
        return [one for family in self.families for one in family.trunks] + agents


def find_families(paths: Sequence[Path]) -> Found:
    """Look at files, and at every .jsonl below directories, and group what belongs together.

    A session's file brings the files of its subagents along. Nothing is raised for a file that is
    no transcript or can't be read: it is among the refused.
    """
    families: dict[str, Family] = {}
    found = Found([], [], [])
    for path in transcript_files(paths, found.refused):
        try:
            transcript = open_transcript(path)
        except TranscriptInvalid as refusal:
            found.refused.append(refusal)
            continue
        if not transcript.session_id:
            found.empty.append(path)
            continue
        family = families.setdefault(transcript.session_id, Family(transcript.session_id))
        if transcript.agent_id:
            family.agents.append(_agent_file(transcript))
        else:
            family.trunks.append(transcript)
    for family in families.values():
        family.trunks.sort(key=lambda one: (one.first_timestamp, str(one.path)))
        family.agents.sort(key=lambda one: (one.transcript.first_timestamp, one.agent.agent_id))
    found.families = sorted(families.values(), key=_first_timestamp)
    return found


def _first_timestamp(family: Family) -> tuple[str, str]:
    first = [one.first_timestamp for one in family.trunks]
    first += [one.transcript.first_timestamp for one in family.agents]
    return min(first), family.session_id


def transcript_files(paths: Sequence[Path], refused: list[TranscriptInvalid]) -> Iterator[Path]:
    """Yield what may be a transcript, each file once; what is not there is refused."""
    seen: set[str] = set()
    for given in paths:
        if given.is_dir():
            candidates = _below(given)
        elif given.exists():
            candidates = iter((given, *_companions(given)))
        else:
            hint = "check the path; without PATH this project's transcripts are read"
            refused.append(TranscriptInvalid("there is no such file", path=given, hint=hint))
            continue
        for path in candidates:
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                yield path


def _below(directory: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(directory):
        names.sort()
        is_workflow = "workflows" in Path(folder).parts and "subagents" in Path(folder).parts
        for name in sorted(files):
            is_journal = is_workflow and not name.startswith("agent-")
            if name.endswith(_SUFFIX) and not is_journal:
                yield Path(folder, name)


def _companions(path: Path) -> Iterator[Path]:
    """Yield the subagents' files of a session's file."""
    if path.suffix != _SUFFIX or path.name.startswith("agent-"):
        return
    folder = path.with_suffix("") / "subagents"
    if folder.is_dir():
        yield from _below(folder)
    for beside in sorted(path.parent.glob(f"agent-*{_SUFFIX}")):
        try:
            if open_transcript(beside).session_id == path.stem:
                yield beside
        except TranscriptInvalid:
            continue  # it was not asked for, so it is nobody's disappointment


def _agent_file(transcript: Transcript) -> AgentFile:
    meta = _meta(transcript.path.with_suffix(".meta.json"))
    agent = Agent(transcript.agent_id, name_of(meta, "agentType"), name_of(meta, "toolUseId"))
    return AgentFile(transcript, agent, name_of(meta, "description"))


def _meta(path: Path) -> Block:
    """Return the meta file of a subagent; it is not always there, and nothing depends on it."""
    try:
        if path.stat().st_size > _META_BYTES_MAX:
            return {}
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
