"""What a person means by SESSION, answered by the database: the argument of the looking commands.

The rule is that of `provenance_log.session_names`, over the sessions that are projected.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from projections.database import load_sql
from projections.lag import status_of_log
from provenance_log.errors import SessionNotFound
from provenance_log.session_names import LATEST, directory_name, matching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.database import Connection
    from provenance_log.store import Store


@dataclass(frozen=True, slots=True)
class Candidate:
    """A directory and the session in it; of a session in two directories there are two."""

    session_id: str
    name: str
    """Of the directory."""


def find_session(store: Store | None, connection: Connection, given: str) -> str:
    """Return the id of the session that `given` names; see `session_names.matching`.

    Without a store only the database is asked, and of a path to a directory its name counts.
    Raises `SessionNotFound`, for a beginning of several with the candidates.
    """
    rows = connection.rows(load_sql("views", "looking_candidates"))
    candidates = [Candidate(row["session_id"], row["log"]) for row in rows]
    if given == LATEST:
        if not candidates:
            raise _not_found(store, candidates, "there is no session in the database")
        return candidates[0].session_id
    name = Path(given).name if store is None else directory_name(store.sessions_dir, given)
    found = matching(candidates, given, name)
    if not found:
        raise _not_found(store, candidates, f"no session {given}")
    return found[0].session_id


def _not_found(
    store: Store | None, candidates: Sequence[Candidate], message: str
) -> SessionNotFound:
    projected = {candidate.name for candidate in candidates}
    is_behind = store is not None and any(
        directory.name not in projected and status_of_log(directory.log) is not None
        for directory in store.session_directories()
    )
    hint = "`provlog sessions --all` lists the sessions"
    if is_behind:
        hint = "some sessions are not projected yet: run `provlog project`"
    return SessionNotFound(message, hint=hint)
