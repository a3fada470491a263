"""What a person means by SESSION and by DIR: one rule, over whatever knows of sessions.

`find_session_log` applies it to the logs of a store, `copy_choice` to those of a store to copy
from, and `projections.selection` to what the database knows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from provenance_log.archive_index import read_index_leniently
from provenance_log.errors import LineInvalid, SessionNotFound
from provenance_log.format import decode_timed
from provenance_log.reader import read_first_line, session_id_of_log
from provenance_log.store import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provenance_log.store import SessionDirectory, Store

LATEST = "latest"
_LISTED_MAX = 10


class Candidate(Protocol):
    """A session in a directory; of a session in two directories there are two."""

    @property
    def session_id(self) -> str:
        """The id of the session."""

    @property
    def name(self) -> str:
        """The name of the directory."""


_Found = TypeVar("_Found", bound=Candidate)


@dataclass(frozen=True, slots=True)
class SessionLog:
    """A directory with a log, the session in it, and when its first line says it began."""

    session_id: str
    directory: SessionDirectory
    started_us: int | None
    """Microseconds since 1970; None where the first line is no action."""

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.directory.name


def matching(candidates: Iterable[_Found], given: str, name: str) -> list[_Found]:
    """Return the candidates of the one session that `given` means; an empty list for none.

    The directory called `name`, which is what `given` is as a path, wins over the session with
    the whole id `given`, and that one over sessions whose id or directory begins with it. Of a
    session in several directories, several candidates are returned, in the order they came.
    Raises `SessionNotFound`, naming them, where several sessions begin with `given`.
    """
    known = list(candidates)
    exact = [one for one in known if one.name == name]
    exact = exact or [one for one in known if one.session_id == given]
    if exact or not given:
        return exact
    begins = [one for one in known if one.session_id.startswith(given) or one.name.startswith(name)]
    names = {one.session_id: one.name for one in reversed(begins)}
    if len(names) > 1:
        listed = [f"{session_id}  {names[session_id]}" for session_id in reversed(names)]
        raise _ambiguous(f"{len(names)} sessions begin with {given}", listed)
    return begins


def directory_name(sessions_dir: Path, given: str) -> str:
    """Return the directory name that a path to a session or its log ends with.

    A name without a slash is one already. Raises `SessionNotFound` for a path elsewhere.
    """
    bare = given.rstrip("/")
    if "/" not in bare and bare not in {".", ".."}:
        return bare
    path = Path(os.path.normpath(Path(bare).absolute()))
    if path.name == LOG_NAME:
        path = path.parent
    if path.parent.resolve() != sessions_dir.resolve():
        hint = "name a directory of this store, or choose another store with --root"
        raise SessionNotFound(f"{given} is not in {sessions_dir}", hint=hint)
    return path.name


def session_logs(store: Store) -> list[SessionLog]:
    """Return every log that has a first line, in bytewise order of their directories."""
    found = (_session_log(directory) for directory in store.session_directories())
    return [log for log in found if log is not None]


def latest_of(logs: Sequence[SessionLog]) -> SessionLog:
    """Return the session that started last, of at least one."""
    return max(logs, key=lambda log: (log.started_us or 0, os.fsencode(log.name)))


def find_session_logs(store: Store, given: str) -> list[SessionLog]:
    """Return the logs of the session that `given` names, which several directories may hold.

    `given` is a directory, a session id, the beginning of one, or `latest`; see `matching`.
    Raises `SessionNotFound`.
    """
    logs = session_logs(store)
    if given == LATEST:
        if not logs:
            raise SessionNotFound("there is no session with a log", path=store.sessions_dir)
        return [latest_of(logs)]
    name = directory_name(store.sessions_dir, given)
    return matching(logs, given, name) or _not_found(store, given, name)


def find_session_log(store: Store, given: str) -> SessionLog:
    """Return the one log that `given` names.

    Raises `SessionNotFound`, also for a session in several directories: which of them is meant?
    """
    found = find_session_logs(store, given)
    if len(found) == 1:
        return found[0]
    listed = [f"{log.session_id}  {log.name}" for log in found]
    raise _ambiguous(f"{len(found)} directories hold {given}", listed)


def directory_named(store: Store, given: str) -> SessionDirectory:
    """Return the session directory of this name or path, with or without a log.

    Raises `SessionNotFound`, also for a symlink and for a name that is not safe.
    """
    wanted = directory_name(store.sessions_dir, given)
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


def _ambiguous(message: str, listed: Sequence[str]) -> SessionNotFound:
    lines = [f"  {line}" for line in listed[:_LISTED_MAX]]
    if len(listed) > _LISTED_MAX:
        lines.append(f"  … and {len(listed) - _LISTED_MAX} more")
    hint = "give more of the id, or the directory name"
    return SessionNotFound("\n".join([f"{message}:", *lines]), hint=hint)


def _not_found(store: Store, given: str, name: str) -> list[SessionLog]:
    hint = "`provlog sessions --all` lists the sessions"
    if any(directory.name == name for directory in store.session_directories()):
        hint = "this directory has no log; `provlog adopt` makes one of its manifest"
    raise SessionNotFound(f"no session {given}", hint=_archived_hint(store, given, name) or hint)


def _archived_hint(store: Store, given: str, name: str) -> str | None:
    """Return what to do where an archived session is meant, or several may be."""
    entries = read_index_leniently(store)[0]
    try:
        found = matching(entries.values(), given, name)
    except SessionNotFound:
        return "several archived sessions begin with it: `provlog restore --list` lists them"
    if not found:
        return None
    return f"it is archived: `provlog restore {found[0].session_id}` brings it back"
