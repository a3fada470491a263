"""What a person means by SESSION and by DIR, answered by the logs alone.

`projections.selection` answers the same question from the database, for questions about it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance_log.errors import LineInvalid, SessionNotFound
from provenance_log.format import decode_timed
from provenance_log.reader import read_first_line, session_id_of_log
from provenance_log.store import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance_log.store import SessionDirectory, Store

LATEST = "latest"
_LISTED_MAX = 10


@dataclass(frozen=True, slots=True)
class SessionLog:
    """A directory with a log, the session in it, and when its first line says it began."""

    session_id: str
    directory: SessionDirectory
    started_us: int | None
    """Microseconds since 1970; None where the first line is no action."""


def session_logs(store: Store) -> list[SessionLog]:
    """Return every log that has a first line, in bytewise order of their directories."""
    found = (_session_log(directory) for directory in store.session_directories())
    return [log for log in found if log is not None]


def find_session_log(store: Store, given: str) -> SessionLog:
    """Return the log that `given` names: a directory, a session id, the beginning of one, `latest`.

    A whole name or id wins over the beginning of another. Raises `SessionNotFound`, with the
    candidates for a beginning of several sessions and for a session in several directories.
    """
    logs = session_logs(store)
    if given == LATEST:
        if not logs:
            raise SessionNotFound("there is no session with a log", path=store.sessions_dir)
        return max(logs, key=lambda log: (log.started_us or 0, os.fsencode(log.directory.name)))
    wanted = _directory_name(store, given)
    named = [log for log in logs if log.directory.name == wanted]
    found = named or [log for log in logs if log.session_id == given]
    if not found and given:
        found = [
            log
            for log in logs
            if log.session_id.startswith(given) or log.directory.name.startswith(given)
        ]
    if len(found) == 1:
        return found[0]
    raise _ambiguous(given, found) if found else _not_found(store, given, wanted)


def directory_named(store: Store, given: str) -> SessionDirectory:
    """Return the session directory of this name or path, with or without a log.

    Raises `SessionNotFound`, also for a symlink and for a name that is not safe.
    """
    wanted = _directory_name(store, given)
    for directory in store.session_directories():
        if directory.name == wanted:
            return directory
    raise SessionNotFound(f"no session directory {given}", path=store.sessions_dir)


def _session_log(directory: SessionDirectory) -> SessionLog | None:
    raw = read_first_line(directory.log)
    if raw is None:
        return None
    try:
        started_us = None if raw.content is None else decode_timed(raw.content)[1]
    except LineInvalid:
        started_us = None
    return SessionLog(session_id_of_log(raw), directory, started_us)


def _directory_name(store: Store, given: str) -> str:
    """Return the directory name that a path in the store ends with; a plain name is one already."""
    bare = given.rstrip("/")
    if "/" not in bare and bare not in {".", ".."}:
        return bare
    path = Path(os.path.normpath(Path(bare).absolute()))
    if path.name == LOG_NAME:
        path = path.parent
    if path.parent.resolve() != store.sessions_dir.resolve():
        hint = "name a directory of this store, or choose another store with --root"
        raise SessionNotFound(f"{given} is not in {store.sessions_dir}", hint=hint)
    return path.name


def _ambiguous(given: str, found: Sequence[SessionLog]) -> SessionNotFound:
    listed = [f"  {log.session_id}  {log.directory.name}" for log in found][:_LISTED_MAX]
    if len(found) > _LISTED_MAX:
        listed.append(f"  … and {len(found) - _LISTED_MAX} more")
    message = "\n".join([f"{len(found)} sessions answer to {given}:", *listed])
    return SessionNotFound(message, hint="give more of the id, or the directory name")


def _not_found(store: Store, given: str, wanted: str) -> SessionNotFound:
    hint = "`provlog sessions --all` lists the sessions"
    if any(directory.name == wanted for directory in store.session_directories()):
        hint = "this directory has no log; `provlog adopt` makes one of its manifest"
    return SessionNotFound(f"no session {given}", hint=hint)
