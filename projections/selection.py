"""What a person means by SESSION and by a time: the arguments of the looking commands.

A SESSION is a session id, the beginning of one, the name or path of its directory, or `latest`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from projections.database import load_sql
from projections.lag import status_of_log
from provenance_log.errors import ProvlogError, SessionNotFound
from provenance_log.store import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.database import Connection
    from provenance_log.store import Store

LATEST = "latest"
_LISTED_MAX = 10
_AGO = re.compile(r"(\d{1,6})([mhdw])")
_AGO_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A directory and the session in it; of a session in two directories there are two."""

    session_id: str
    log: str


def find_session(store: Store, connection: Connection, given: str) -> str:
    """Return the id of the session that `given` names.

    A whole id or directory name wins over the beginning of another.
    Raises `SessionNotFound`, for a beginning of several with the candidates.
    """
    rows = connection.rows(load_sql("views", "looking_candidates"))
    candidates = [Candidate(row["session_id"], row["log"]) for row in rows]
    if given == LATEST:
        if not candidates:
            raise _not_found(store, candidates, "there is no session in the database")
        return candidates[0].session_id
    wanted = _directory_name(store, given)
    exact = [c for c in candidates if given == c.session_id or wanted == c.log]
    if exact:
        return exact[0].session_id
    return _by_beginning(store, candidates, given)


def _directory_name(store: Store, given: str) -> str:
    """Return the directory name that a path in the store ends with; a plain name is one already."""
    bare = given.rstrip("/")
    if "/" not in bare:
        return bare
    path = Path(bare).absolute()
    if path.name == LOG_NAME:
        path = path.parent
    if path.resolve().parent != store.sessions_dir.resolve():
        hint = "name a directory of this store, or choose another store with --root"
        raise SessionNotFound(f"{given} is not in {store.sessions_dir}", hint=hint)
    return path.name


def _by_beginning(store: Store, candidates: Sequence[Candidate], given: str) -> str:
    matching: dict[str, str] = {}
    for candidate in candidates:
        if given and (candidate.session_id.startswith(given) or candidate.log.startswith(given)):
            matching.setdefault(candidate.session_id, candidate.log)
    if not matching:
        raise _not_found(store, candidates, f"no session {given}")
    if len(matching) > 1:
        raise _ambiguous(given, matching)
    return next(iter(matching))


def _ambiguous(given: str, matching: dict[str, str]) -> SessionNotFound:
    listed = [f"  {session_id}  {log}" for session_id, log in matching.items()][:_LISTED_MAX]
    if len(matching) > _LISTED_MAX:
        listed.append(f"  … and {len(matching) - _LISTED_MAX} more")
    message = "\n".join([f"{len(matching)} sessions begin with {given}:", *listed])
    return SessionNotFound(message, hint="give more of the id, or the directory name")


def _not_found(store: Store, candidates: Sequence[Candidate], message: str) -> SessionNotFound:
    projected = {candidate.log for candidate in candidates}
    is_behind = any(
        directory.name not in projected and status_of_log(directory.log) is not None
        for directory in store.session_directories()
    )
    hint = "`provlog sessions --all` lists the sessions"
    if is_behind:
        hint = "some sessions are not projected yet: run `provlog project`"
    return SessionNotFound(message, hint=hint)


def moment_of(text: str, now: datetime) -> datetime:
    """Return the naive UTC time that `2026-01-31`, `2026-01-31T10:00`, `90m`, `12h` or `7d` means.

    A time without a zone is UTC; `now` has a zone. Raises `ProvlogError`.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            moment = now - timedelta(**{_AGO_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        hint = "write a date (2026-01-31), a time (2026-01-31T10:00) or an age (90m, 12h, 7d, 4w)"
        raise ProvlogError(f"{text!r} is not a time", hint=hint) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(tzinfo=None)
