"""What is asked of an archiving, and what became of each session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["archived", "unfinished", "younger", "refused"]


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """What is done with the sessions that are meant."""

    keep_rows: bool = False
    with_damaged: bool = False
    """Also what does not verify."""
    is_replacing: bool = False
    """Where the archived copy has other files than the directory, the directory's are kept."""
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class SessionArchived:
    """What became of one session."""

    directory: str
    session_id: str
    state: State
    line_count: int = 0
    size_bytes: int = 0
    """Of all files of the directory."""
    packed_bytes: int = 0
    month: str = ""
    verdict: str = ""
    reason: str | None = None
    """Why it was refused; or what could not be tidied up after it was archived."""


@dataclass(slots=True)
class ArchiveReport:
    """What became of every session that was meant, in the order of their directories."""

    sessions: list[SessionArchived] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Say whether anything was refused."""
        return any(session.state == "refused" for session in self.sessions)

    def in_state(self, state: State) -> list[SessionArchived]:
        """Return the sessions of which that became."""
        return [session for session in self.sessions if session.state == state]
