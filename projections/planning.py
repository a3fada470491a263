"""What has to be done: the directories as they are now against the checkpoints as they were.

Nothing is written here and no database is open. The plan is a list of sessions, each with the log
to project it from, because a session and not a file is what the tables count: a log may have been
renamed, copied, cut, edited or replaced by another since it was last looked at.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from projections.archived import Archive, is_projected_from
from projections.checkpoints import Checkpoint, advance, at_start, examine, read_until
from projections.directories import Untouched
from projections.duplicates import Comparisons, Copy
from projections.incidents import Incident
from provenance_log.errors import LogUnsafe
from provenance_log.reader import first_line, session_id_of_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from projections.incidents import Kind
    from provenance_log.archive_index import ArchivedSession
    from provenance_log.reader import Chunk
    from provenance_log.store import SessionDirectory, Store


@dataclass(frozen=True, slots=True)
class Member:
    """A log, and the session it holds now."""

    path: Path
    checkpoint: Checkpoint
    """Describes a beginning of the log as it is now; `at_start` for a new or damaged one."""
    origin: Checkpoint | None
    """The stored checkpoint that still holds, under whatever name it was stored."""
    is_changed: bool
    size_bytes: int

    @property
    def is_continued(self) -> bool:
        """Say whether the log begins as what was stored under its name."""
        return self.origin is not None and self.origin.log == self.checkpoint.log


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What is to be done for one session."""

    session_id: str
    source: Member | None
    """The log to project; None when no directory holds the session any more."""
    limit: int | None
    """Project up to this byte; None for as far as there are lines."""
    must_clear: bool
    """True when the rows in the tables are not a beginning of what `source` holds."""
    must_settle: bool
    """True when the stored checkpoints and incidents of the session are not just `source`."""
    end: Checkpoint | None = None
    """The checkpoint at `limit`, where the log was read that far to compare it with others."""
    others: tuple[Checkpoint, ...] = ()
    relations: tuple[Incident, ...] = ()
    """Duplicates and forks, as the directories are now."""
    observed: tuple[Incident, ...] = ()
    """What was seen to have happened since the last look."""
    archived: ArchivedSession | None = None
    """Where no directory holds the log of `source`, which has to be unpacked first."""

    @property
    def size_bytes(self) -> int:
        """How much there is to read."""
        if self.source is None:
            return 0
        end = self.source.size_bytes if self.limit is None else self.limit
        return max(0, end - self.source.checkpoint.line_offset)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what could not be looked at (one sentence each)."""

    sessions: tuple[SessionPlan, ...]
    problems: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """How much there is to read."""
        return sum(session.size_bytes for session in self.sessions)


def make_plan(
    store: Store,
    checkpoints: Iterable[Checkpoint],
    comparisons: Comparisons,
    limits: Mapping[str, int] | None = None,
    archive: Archive | None = None,
) -> Plan:
    """Look at every log and return what has to be done.

    A log that looks untouched by its status is not opened. `limits` confines the look to the logs
    named there, each up to a byte: the state of a moment in the past. `archive` is asked for
    the archived sessions after the directories were looked at: a session gets into the index
    before its directory goes, so it is never missed in both.
    Raises `StoreNotFound` when the directory of sessions is not there: its disk may be missing,
    which is no reason to forget every session.
    """
    survey = _Survey(checkpoints, comparisons, limits or {})
    if limits is None:
        directories = survey.untouched.sort_out(store, survey.stored)
    else:
        directories = [item for item in store.session_directories() if item.name in limits]
    return survey.plan(directories, archive or Archive(store))


@contextmanager
def open_log(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Yield the descriptor and the status of a log.

    Raises `LogUnsafe` for what is not a plain file, and OSError for what can't be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise LogUnsafe("not a plain file; it is passed over", path=path) from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise LogUnsafe("not a plain file; it is passed over", path=path)
        yield fd, status
    finally:
        os.close(fd)


class _Survey:
    """One look at all directories."""

    def __init__(
        self,
        checkpoints: Iterable[Checkpoint],
        comparisons: Comparisons,
        limits: Mapping[str, int],
    ) -> None:
        self._comparisons = comparisons
        self._limits = limits
        self.stored: dict[str, list[Checkpoint]] = defaultdict(list)
        self._stored_of_session: dict[str, list[Checkpoint]] = defaultdict(list)
        for checkpoint in checkpoints:
            self.stored[checkpoint.log].append(checkpoint)
            self._stored_of_session[checkpoint.session_id].append(checkpoint)
        self.untouched = Untouched()
        self._members: dict[str, list[Member]] = defaultdict(list)
        """The members that were looked at; those of untouched logs are made by `_members_of`."""
        self._incidents: dict[str, list[Incident]] = defaultdict(list)
        self._claimed: set[tuple[str, str]] = set()
        self._newcomers: list[Member] = []
        self._present: set[str] = set()
        self._archived: Mapping[str, ArchivedSession] = {}
        self._is_archive_whole = True
        self._unclaimed: set[str] = set()
        self._problems: list[str] = []

    def _members_of(self, session_id: str) -> list[Member]:
        """Return all logs that hold a session, those among them that nobody touched."""
        untouched = [
            _untouched_member(stored, *self.untouched.place(stored.log))
            for stored in self._stored_of_session.get(session_id, ())
            if stored.log in self.untouched
        ]
        return [*untouched, *self._members.get(session_id, ())]

    def plan(self, directories: Iterable[SessionDirectory], archive: Archive) -> Plan:
        for directory in directories:
            try:
                self._look_at(directory)
            except FileNotFoundError:
                continue
            except LogUnsafe as error:
                self._problems.append(str(error))
            except OSError as error:
                self._problems.append(f"{directory.log}: {error.strerror or error}")
                self._keep(directory)
        self._archived = archive.sessions()
        self._is_archive_whole = archive.is_whole
        self._match_newcomers()
        touched = self._incidents.keys() | {
            session_id
            for session_id, members in self._members.items()
            if any(member.is_changed for member in members)
        }
        touched |= {item for item in self._archived if self._is_touched_by_archiving(item)}
        # What is cleared comes first: until then its rows have no log that accounts for them.
        plans = [plan for plan in map(self._plan_session, sorted(touched)) if plan is not None]
        plans.sort(key=lambda plan: not plan.must_clear)
        return Plan(tuple(plans), tuple(self._problems))

    def _look_at(self, directory: SessionDirectory) -> None:
        stored = self.stored.get(directory.name, [])
        status = directory.log.lstat()
        if len(stored) == 1 and stored[0].describes(status):
            self._add(_untouched_member(stored[0], directory.log, status.st_size))
            return
        with open_log(directory.log) as (fd, status):
            self._present.add(directory.name)
            raw = first_line(fd)
            if raw is None:
                return
            session_id = session_id_of_log(raw)
            for checkpoint in stored:
                if checkpoint.session_id == session_id:
                    self._add_known(directory, checkpoint, fd, status)
                    return
            start = at_start(directory.name, session_id)
            self._newcomers.append(Member(directory.log, start, None, True, status.st_size))

    def _add_known(
        self, directory: SessionDirectory, stored: Checkpoint, fd: int, status: os.stat_result
    ) -> None:
        change = examine(stored, fd, status)
        if change in ("truncated", "replaced", "edited"):
            self._observe(change, stored, _TOLD[change])
            start = at_start(stored.log, stored.session_id, stored.generation + 1)
            self._add(Member(directory.log, start, None, True, status.st_size))
            self._claimed.add((stored.session_id, stored.log))
        else:
            is_changed = change != "unchanged"
            self._add(Member(directory.log, stored, stored, is_changed, status.st_size))

    def _keep(self, directory: SessionDirectory) -> None:
        """Leave the rows of a log that can't be read at the moment as they are."""
        self._present.add(directory.name)
        for checkpoint in self.stored.get(directory.name, []):
            end = checkpoint.line_offset
            self._add(Member(directory.log, checkpoint, checkpoint, False, end))

    def _add(self, member: Member) -> None:
        self._members[member.checkpoint.session_id].append(member)
        if member.origin is not None:
            self._claimed.add((member.origin.session_id, member.origin.log))

    def _match_newcomers(self) -> None:
        """Recognise renamed directories; what is left over is new, or gone."""
        for newcomer in self._newcomers:
            try:
                self._add(self._moved(newcomer) or newcomer)
            except (OSError, LogUnsafe) as error:  # it changed between two looks
                self._problems.append(f"{newcomer.path}: {error}")
        for stored in (item for items in self.stored.values() for item in items):
            if stored.log in self.untouched or (stored.session_id, stored.log) in self._claimed:
                continue
            if stored.session_id in self._archived:
                # Nothing happened to it but that it was archived; the checkpoint is to be settled.
                self._unclaimed.add(stored.session_id)
                continue
            if stored.log in self._present:
                kind: Kind = "replaced" if self._holds_a_session(stored.log) else "truncated"
            else:
                kind = "gone"
                if not self._is_archive_whole:
                    continue  # it may be archived; its rows stay until the index can be read
            self._observe(kind, stored, _TOLD[kind])

    def _is_touched_by_archiving(self, session_id: str) -> bool:
        """Say whether the rows of an archived session have to be cleared, made or settled."""
        if self._members_of(session_id):
            return session_id in self._unclaimed
        stored = self._stored_of_session.get(session_id, [])
        entry = self._archived[session_id]
        if not entry.keep_rows:
            return bool(stored)
        return len(stored) != 1 or not is_projected_from(stored[0], entry)

    def _moved(self, newcomer: Member) -> Member | None:
        session_id, log = newcomer.checkpoint.session_id, newcomer.checkpoint.log
        orphans = [
            stored
            for stored in self._stored_of_session[session_id]
            if stored.log not in self.untouched and (session_id, stored.log) not in self._claimed
        ]
        for orphan in sorted(orphans, key=lambda item: (item.role != "projected", item.log)):
            with open_log(newcomer.path) as (fd, status):
                if examine(orphan, fd, status) in ("unchanged", "touched", "grown"):
                    moved = orphan._replace(log=log)
                    return Member(newcomer.path, moved, orphan, True, status.st_size)
        return None

    def _holds_a_session(self, log: str) -> bool:
        return any(
            member.checkpoint.log == log for members in self._members.values() for member in members
        )

    def _observe(self, kind: Kind, stored: Checkpoint, told: str) -> None:
        place = (stored.line_number, stored.line_offset)
        incident = Incident(kind, stored.log, stored.session_id, None, *place, told)
        self._incidents[stored.session_id].append(incident)

    def _plan_session(self, session_id: str) -> SessionPlan | None:
        members = self._members_of(session_id)
        observed = tuple(self._incidents.get(session_id, ()))
        entry = self._archived.get(session_id)
        if not members and entry is not None and entry.keep_rows:
            start = at_start(entry.directory, session_id)
            # Where the log will be is known when it is unpacked.
            source = Member(Path(entry.member), start, None, True, entry.bytes)
            plan = self._plan_source(session_id, source, None, observed)
            return replace(plan, archived=entry)
        if not members:
            return SessionPlan(session_id, None, None, True, True, observed=observed)
        if len(members) == 1:
            limit = self._limits.get(members[0].checkpoint.log)
            return self._plan_source(session_id, members[0], limit, observed)
        copies = [copy for copy in map(self._read_to_end, members) if copy is not None]
        if not copies:
            return None
        try:
            choice = self._comparisons.choose(copies)
        except OSError as error:
            self._problems.append(str(error))
            return None
        end = choice.chosen.checkpoint._replace(role="projected")
        source = next(member for member in members if member.checkpoint.log == end.log)
        return replace(
            self._plan_source(session_id, source, end.line_offset, observed),
            must_settle=True,
            end=end,
            others=choice.others,
            relations=choice.incidents,
        )

    def _read_to_end(self, member: Member) -> Copy | None:
        """Return a copy that can be compared; one that can't be read must not hold up the rest."""
        try:
            limit = self._limits.get(member.checkpoint.log)
            return Copy(member.path, _read_to_end(member, limit), member.is_continued)
        except (OSError, LogUnsafe) as error:
            self._problems.append(str(error))
            return None

    def _plan_source(
        self, session_id: str, source: Member, limit: int | None, observed: tuple[Incident, ...]
    ) -> SessionPlan:
        stored = self._stored_of_session[session_id]
        rows_come_from = next((item for item in stored if item.role == "projected"), None)
        is_continued = source.origin is not None and source.origin is rows_come_from
        if not is_continued:
            generation = source.checkpoint.generation
            start = at_start(source.checkpoint.log, session_id, generation)
            source = replace(source, checkpoint=start)
        return SessionPlan(
            session_id,
            source,
            limit,
            must_clear=rows_come_from is not None and not is_continued,
            must_settle=bool(observed) or _logs_of(stored) not in ([], [source.checkpoint.log]),
            observed=observed,
        )


def _untouched_member(stored: Checkpoint, path: Path, size_bytes: int) -> Member:
    return Member(path, stored, stored, False, size_bytes)


_TOLD: dict[Kind, str] = {
    "truncated": "the log became shorter than what had been read of it",
    "replaced": "the log does not begin as it did",
    "edited": "the log was changed before the place up to which it had been read",
    "gone": "the log is not there any more",
}


def _logs_of(stored: Iterable[Checkpoint]) -> list[str]:
    return [checkpoint.log for checkpoint in stored]


def _read_to_end(member: Member, limit: int | None) -> Checkpoint:
    checkpoint = member.checkpoint
    with open_log(member.path) as (fd, status):

        def take(chunk: Chunk) -> None:
            nonlocal checkpoint
            checkpoint = advance(checkpoint, fd, status, chunk)

        read_until(fd, checkpoint.position, limit, take)
    return checkpoint
