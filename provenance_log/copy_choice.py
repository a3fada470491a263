"""Which sessions of a store a person means when copying: told from the logs, without a database."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provenance_log.errors import SessionNotFound
from provenance_log.session_names import LATEST, directory_name, matching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance_log.copy_source import PassedOver, Source, SourceSession


@dataclass(frozen=True, slots=True)
class Choice:
    """Which sessions of the source are meant; without `given`, all that the filters let pass."""

    given: tuple[str, ...] = ()
    """Session ids or beginnings of one, names or paths of directories, or `latest`."""
    since_us: int | None = None
    """Started then or later, in microseconds since 1970."""
    agent_type: str | None = None


def chosen_sessions(source: Source, choice: Choice) -> tuple[list[SourceSession], list[PassedOver]]:
    """Return the sessions that are meant, and what is none of them with the reason.

    What is named and can't be copied is refused, as is what may hide a session from `--all`.
    Raises `SessionNotFound`.
    """
    sessions, others = source.look()
    if not choice.given:
        return [session for session in sessions if _passes(session, choice)], others
    picked: dict[str, SourceSession] = {}
    refused: dict[str, PassedOver] = {}
    for given in choice.given:
        name = directory_name(source.sessions_dir, given)
        other = next((one for one in others if one.name == name), None)
        if other is None:
            found = _found(source, given, name, sessions)
            picked.update({session.name: session for session in found})
        else:
            refused[name] = replace(other, is_refused=True)
    chosen = [session for session in picked.values() if _passes(session, choice)]
    return chosen, list(refused.values())


def _passes(session: SourceSession, choice: Choice) -> bool:
    if choice.agent_type is not None and session.agent_type != choice.agent_type:
        return False
    if choice.since_us is None:
        return True
    return session.started_us is not None and session.started_us >= choice.since_us


def _found(
    source: Source, given: str, name: str, sessions: Sequence[SourceSession]
) -> list[SourceSession]:
    """Return the session that is meant, with each of the directories that hold it."""
    if given == LATEST and sessions:
        return [max(sessions, key=lambda one: (one.started_us or 0, os.fsencode(one.name)))]
    found = matching(sessions, given, name)
    if not found:
        hint = f"`provlog sessions --all --root {source.root}` lists the sessions"
        raise SessionNotFound(f"no session {given} in {source.root}", hint=hint)
    return found
