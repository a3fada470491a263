"""Which sessions of a store a person means when copying: told from the logs, without a database."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provenance_log.errors import SessionNotFound
from provenance_log.store import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance_log.copy_source import PassedOver, Source, SourceSession

LATEST = "latest"
_LISTED_MAX = 10


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
        name = given.rstrip("/")
        if "/" in name:
            name = _name_in(source, name)
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


def _name_in(source: Source, path: str) -> str:
    """Return the name of a session's directory that a path in the source leads to."""
    parts = os.path.split(path.removesuffix(f"/{LOG_NAME}"))
    if os.path.realpath(parts[0]) != os.path.realpath(source.root / "sessions"):
        hint = "name a session of that store, by its id or its directory"
        raise SessionNotFound(f"{path} is not in {source.root / 'sessions'}", hint=hint)
    return parts[1]


def _found(
    source: Source, given: str, named: str, sessions: Sequence[SourceSession]
) -> list[SourceSession]:
    """Return the session that is meant; a whole id or name wins over the beginning of another.

    A session that several directories hold is returned with each of them when its id is given.
    """
    if given == LATEST and sessions:
        return [max(sessions, key=lambda one: (one.started_us or 0, os.fsencode(one.name)))]
    by_name = [session for session in sessions if session.name == named]
    exact = by_name or [session for session in sessions if session.session_id == named]
    if exact:
        return exact
    begins = [
        session
        for session in sessions
        if named and (session.session_id.startswith(named) or session.name.startswith(named))
    ]
    ids = sorted({session.session_id for session in begins})
    if len(ids) == 1:
        return begins
    if not ids:
        hint = f"`provlog sessions --all --root {source.root}` lists the sessions"
        raise SessionNotFound(f"no session {given} in {source.root}", hint=hint)
    listed = "".join(f"\n  {session_id}" for session_id in ids[:_LISTED_MAX])
    more = f"\n  … and {len(ids) - _LISTED_MAX} more" if len(ids) > _LISTED_MAX else ""
    message = f"{len(ids)} sessions begin with {given}:{listed}{more}"
    raise SessionNotFound(message, hint="give more of the id, or the directory name")
