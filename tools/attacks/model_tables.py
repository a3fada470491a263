"""What the tables must say of a world, and what a projector must have noticed since its last look.

The rules are those of the design, told a second time: a session is what its first line says, of
several logs of one session the longest is projected, every complete line of it is a row of the
events or of the quarantine. `Looks` remembers what a projector saw, and so what it must tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid5

from attacks.model_bytes import (
    GENESIS,
    NAMESPACE,
    digest_of,
    lines_of,
    links_of,
    session_of,
    value_of,
    whole,
)
from attacks.model_world import World
from projections.database import Connection

MARK_BYTES = 1024
"""How much of the beginning, and of the end of what was read, is compared at each look."""

_RELATIONS = "('duplicate', 'fork')"

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The log from which a session is projected."""

    session_id: str
    log: str
    data: bytes


def chosen_logs(world: World) -> list[Chosen]:
    """Return the log of each session that must be projected."""
    found = []
    sessions = world.sessions()
    for session_id, names in sessions.items():
        best = min(names, key=lambda name: (-len(lines_of(world.data(name))), name))
        found.append(Chosen(session_id, best, whole(world.data(best))))
    for session_id, entry in world.archived.items():
        if session_id not in sessions and entry.keep_rows:
            found.append(Chosen(session_id, entry.directory, whole(entry.data)))
    return found


def expected_rows(world: World) -> dict[str, Rows]:
    """Return what the tables must hold, by the names of `_QUERIES`."""
    rows: dict[str, Rows] = {name: [] for name in _QUERIES}
    for chosen in chosen_logs(world):
        _add_lines(rows, chosen)
        rows["checkpoints"].append(_checkpoint(chosen, "projected"))
        names = world.sessions().get(chosen.session_id, [])
        for other in (name for name in names if name != chosen.log):
            twin = Chosen(chosen.session_id, other, whole(world.data(other)))
            role = "duplicate" if chosen.data.startswith(twin.data) else "fork"
            rows["checkpoints"].append(_checkpoint(twin, role))
            rows["relations"].append((role, other, chosen.session_id, chosen.log))
    return {name: sorted(found) for name, found in rows.items()}


def _add_lines(rows: dict[str, Rows], chosen: Chosen) -> None:
    lines = lines_of(chosen.data)
    offset = good = 0
    for number, (line, link) in enumerate(zip(lines, links_of(lines), strict=True), start=1):
        value, place = value_of(line), (chosen.session_id, number, offset)
        if value is None:
            rows["quarantine"].append((*place, chosen.log, digest_of(line), len(line)))
        else:
            made = str(uuid5(NAMESPACE, f"{chosen.session_id}/{number}"))
            event_id = value.get("database_event_id") or made
            row = (*place, digest_of(line), bool(link), event_id, value["action_id"])
            rows["events"].append(row)
            good += 1
        offset += len(line) + 1
    rows["sessions"].append((chosen.session_id, chosen.log, good, len(lines) - good))


def _checkpoint(chosen: Chosen, role: str) -> tuple[Any, ...]:
    lines = lines_of(chosen.data)
    last = digest_of(lines[-1]) if lines else GENESIS
    place = (chosen.session_id, chosen.log, role)
    return (*place, len(chosen.data), len(lines), last)


_QUERIES = {
    "events": "SELECT session_id, line_number, line_offset, line_hash, chained, event_id, "
    "sequence_number FROM provenance_events",
    "quarantine": "SELECT session_id, line_number, line_offset, log, sha256, line_bytes "
    "FROM provenance_quarantine",
    "checkpoints": "SELECT session_id, log, role, line_offset, line_number, line_hash "
    "FROM provenance_checkpoints",
    "relations": "SELECT kind, log, session_id, other_log FROM provenance_incidents "
    f"WHERE kind IN {_RELATIONS}",
    "sessions": "SELECT session_id, log, action_count, coalesce(quarantined_count, 0) "
    "FROM provenance_sessions",
}


def table_differences(world: World, connection: Connection) -> list[str]:
    """Return the tables that do not say what they must, with the first rows that differ."""
    found = []
    for name, wanted in expected_rows(world).items():
        rows = sorted(connection.execute(_QUERIES[name]))
        if rows != wanted:
            extra = [row for row in rows if row not in wanted][:2]
            missing = [row for row in wanted if row not in rows][:2]
            text = f"{len(rows)} rows, not {len(wanted)}; strange {extra}, missing {missing}"
            found.append(f"{name}: {text}")
    return found


Told = Counter[tuple[str, str, str]]
"""Incidents of the past, by kind, directory and session."""


def told_by(connection: Connection) -> Told:
    """Return the incidents of the past that the tables hold."""
    sql = f"SELECT kind, log, session_id FROM provenance_incidents WHERE kind NOT IN {_RELATIONS}"
    return Counter(connection.execute(sql))


@dataclass(frozen=True, slots=True)
class _Seen:
    data: bytes
    """The complete lines."""
    size_bytes: int
    """With the torn tail."""
    inode: int | None
    """None where it is not known."""


class Looks:
    """What one projector saw when it last looked at a world, and has told since."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: Told = Counter()
        self._seen: dict[tuple[str, str], _Seen] = {}

    def forget(self) -> None:
        """The tables are gone, and with them what was seen."""
        self.told.clear()
        self._seen.clear()

    def note(self) -> None:
        """The projector has seen everything as it is now."""
        self._seen = {
            (session_id, name): self._see(name)
            for session_id, names in self.world.sessions().items()
            for name in names
        }
        for chosen in chosen_logs(self.world):
            self._seen.setdefault(
                (chosen.session_id, chosen.log), _Seen(chosen.data, len(chosen.data), None)
            )

    def may_be_blind(self) -> bool:
        """Say whether an edit may hide from a look: in the middle, and behind a longer log (B5)."""
        return any(self._hides(*pair) for pair in self._pairs())

    def incidents(self) -> tuple[Told, Told]:
        """Return what must be told at the next look, and what may be."""
        required: Told = Counter()
        allowed: Told = Counter()
        for (session_id, name), was in self._seen.items():
            data = self.world.readable(name)
            now = None if data is None else session_of(data)
            if now == session_id and data is not None:
                kind = _change(was, data)
                if kind is not None:
                    required[kind, name, session_id] += 1
                continue
            if session_id in self.world.archived:
                continue
            kind = "gone" if data is None else "truncated" if now is None else "replaced"
            heirs, orphans = self._heirs(session_id, was), self._orphans(session_id)
            if not heirs:
                required[kind, name, session_id] += 1
            elif orphans > 1:
                allowed[kind, name, session_id] += 1
        return required, allowed

    def _see(self, name: str) -> _Seen:
        data = self.world.data(name)
        return _Seen(whole(data), len(data), self.world.inode(name))

    def _pairs(self) -> Iterator[tuple[_Seen, str]]:
        sessions = self.world.sessions()
        for (session_id, _), was in self._seen.items():
            for name in sessions.get(session_id, []):
                yield was, name

    def _hides(self, was: _Seen, name: str) -> bool:
        data, end = self.world.data(name), len(was.data)
        mark = min(MARK_BYTES, end)
        return (
            data[:end] != was.data
            and len(data) > was.size_bytes
            and was.inode in {None, self.world.inode(name)}
            and data[:mark] == was.data[:mark]
            and data[end - mark : end] == was.data[end - mark :]
        )

    def _heirs(self, session_id: str, was: _Seen) -> list[str]:
        """Return the directories that may be the old one under another name."""
        return [
            name
            for name in self.world.sessions().get(session_id, [])
            if (session_id, name) not in self._seen and self.world.data(name).startswith(was.data)
        ]

    def _orphans(self, session_id: str) -> int:
        present = self.world.sessions().get(session_id, [])
        return sum(stored == session_id and name not in present for stored, name in self._seen)


def _change(was: _Seen, data: bytes) -> str | None:
    if data.startswith(was.data):
        return None
    if len(data) < len(was.data):
        return "truncated"
    mark = min(MARK_BYTES, len(was.data))
    return "edited" if data[:mark] == was.data[:mark] else "replaced"
