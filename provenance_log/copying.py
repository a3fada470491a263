"""Copy sessions from one store into another, byte for byte.

A copied log holds exactly the whole lines that its source had, so its chain is what it was
(invariants D1, D3). Which session it is says its first line, not its directory (D2): what the
destination holds of it already decides what is done.

    the destination has               then
    nothing of it                     copied, staged and renamed
    the same lines                    nothing to do
    the first of them                 the missing ones are appended, under the lock of that log
    the same, and more after them     nothing to do
    other lines from some line on     refused, or with `as_fork` kept beside it

Nothing but plain files is read and nothing is written to the source (D4); a copy that was killed
is finished by the next one (D5). No database is opened on either side.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from provenance_log.copy_choice import Choice, chosen_sessions
from provenance_log.copy_placing import (
    Placing,
    append_missing,
    bring_along,
    first_difference,
    placing,
    stage_session,
)
from provenance_log.copy_source import Source, SourceRefused, end_of_lines
from provenance_log.errors import LogUnsafe, ProvlogError, StoreNotWritable
from provenance_log.format import format_timestamp
from provenance_log.reader import open_for_reading, session_id_of_log
from provenance_log.store import SessionDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provenance_log.copy_source import PassedOver, PlainFile, SourceSession, SourceTree
    from provenance_log.reader import ReadPosition
    from provenance_log.store import Store

State = Literal["copied", "forwarded", "equal", "ahead", "fork kept", "refused", "ignored"]
Kind = Literal["equal", "behind", "ahead", "forked"]

_ATTEMPTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Fork:
    """Where two logs of one session part, and what each of them ends with."""

    directory: str
    """In the destination."""
    line_number: int
    """The first line that differs."""
    source_end: ReadPosition
    end: ReadPosition

    def __str__(self) -> str:
        """Return what a person has to know."""
        return (
            f"forked at line {self.line_number}: the source has {self.source_end.line_number} "
            f"lines and the head {self.source_end.prev}, {self.directory} has "
            f"{self.end.line_number} and {self.end.prev}"
        )


@dataclass(frozen=True, slots=True)
class SessionCopy:
    """What became of one session, or of something that is none."""

    source_directory: str
    state: State
    session_id: str | None = None
    directory: str | None = None
    """In the destination."""
    line_count: int = 0
    """Of the source, when it was looked at."""
    bytes_added: int = 0
    blob_count: int = 0
    """Blobs that came along."""
    reason: str | None = None
    fork: Fork | None = None
    notes: tuple[str, ...] = ()
    """What was left behind, and why."""


@dataclass(slots=True)
class CopyReport:
    """What became of everything that was looked at, in the order of the source's directories."""

    copies: list[SessionCopy] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Say whether anything was refused."""
        return any(copy.state == "refused" for copy in self.copies)


@dataclass(frozen=True, slots=True)
class _Relation:
    kind: Kind
    directory: SessionDirectory
    end: ReadPosition
    """Of the whole lines in the destination."""
    size_bytes: int
    line_number: int = 0
    """The first line that differs, of a fork."""


def copy_sessions(
    source: Store,
    destination: Store,
    choice: Choice,
    *,
    as_fork: bool = False,
    is_dry_run: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> CopyReport:
    """Bring the chosen sessions into the destination, each whole or not at all.

    What is refused is in the report, and the others are copied all the same. With `is_dry_run`
    nothing is written and the report says what would be. `on_progress` gets sessions done and
    in all. Raises `SessionNotFound` before anything is written, `LockHeld`, `StoreNotWritable`
    and append errors of the destination: what was copied before stays, and the next run goes on.
    """
    if source.root.resolve() == destination.root.resolve():
        message = "the source and the destination are the same store"
        raise ProvlogError(message, path=source.root, hint="name another project")
    report = CopyReport()
    with closing(Source(source)) as opened:
        chosen, others = chosen_sessions(opened, choice)
        report.copies += [_passed_over(other) for other in others]
        with _written_to(destination, is_dry_run=is_dry_run) as place:
            copying = _Copying(opened, place, as_fork=as_fork, is_dry_run=is_dry_run)
            for number, session in enumerate(chosen, start=1):
                report.copies.append(copying.copy(session))
                on_progress(number, len(chosen))
    report.copies.sort(key=lambda copy: os.fsencode(copy.source_directory))
    return report


@contextmanager
def _written_to(destination: Store, *, is_dry_run: bool) -> Iterator[Placing]:
    """Hold the destination; what the system refuses there becomes `StoreNotWritable`."""
    if is_dry_run:
        yield Placing(destination)
        return
    try:
        with placing(destination) as place:
            yield place
    except OSError as error:
        message = f"can't be written: {error.strerror or error}"
        path = error.filename or destination.root
        hint = "check space and permissions, then copy again: what was copied stays"
        raise StoreNotWritable(message, path=path, hint=hint) from error


class _Copying:
    """Copies sessions one after the other."""

    def __init__(self, source: Source, place: Placing, *, as_fork: bool, is_dry_run: bool) -> None:
        self._source = source
        self._place = place
        self._as_fork = as_fork
        self._is_dry_run = is_dry_run

    def copy(self, session: SourceSession) -> SessionCopy:
        """Do what has to be done for one session."""
        outcome = SessionCopy(session.name, "refused", session.session_id)
        try:
            with closing(self._source.tree(session.name)) as tree, closing(tree.log()) as log:
                for _ in range(_ATTEMPTS_MAX):
                    done = self._attempt(session, tree, log)
                    if done is not None:
                        return done
        except (SourceRefused, LogUnsafe) as error:
            return replace(outcome, reason=str(error))
        return replace(outcome, reason="its copy changes faster than it can be compared")

    def _attempt(
        self, session: SourceSession, tree: SourceTree, log: PlainFile
    ) -> SessionCopy | None:
        """Compare, then act; None where the destination changed in between."""
        first = log.first_line()
        if first is None or session_id_of_log(first) != session.session_id:
            raise SourceRefused("was replaced by another session just now", path=log.path)
        end = log.whole_lines()
        outcome = SessionCopy(session.name, "equal", session.session_id, line_count=end.line_number)
        relation = self._relation(session, log, end)
        if relation is None:
            return self._copy_new(outcome, tree, log, end)
        outcome = replace(outcome, directory=relation.directory.name)
        if relation.kind == "forked":
            fork = Fork(relation.directory.name, relation.line_number, end, relation.end)
            outcome = replace(outcome, fork=fork)
            if self._as_fork:
                return self._copy_new(replace(outcome, state="fork kept"), tree, log, end)
            return replace(outcome, state="refused", reason=str(fork))
        if relation.kind == "behind":
            return self._forward(outcome, tree, log, end, relation)
        return replace(outcome, state=relation.kind)

    def _relation(
        self, session: SourceSession, log: PlainFile, end: ReadPosition
    ) -> _Relation | None:
        """Return how the best of the destination's logs of this session relates to the source.

        Of several, one that is equal or ahead leaves nothing to do; else the longest that is
        behind goes on; else all have forked, and the first is told.
        """
        order = ("equal", "ahead", "behind", "forked")
        found = [
            _compared(log, end, directory) for directory in self._place.holders(session.session_id)
        ]
        return min(found, key=lambda one: (order.index(one.kind), -one.size_bytes), default=None)

    def _copy_new(
        self, outcome: SessionCopy, tree: SourceTree, log: PlainFile, end: ReadPosition
    ) -> SessionCopy:
        state: State = "copied" if outcome.fork is None else "fork kept"
        outcome = replace(outcome, state=state, bytes_added=end.offset)
        if self._is_dry_run:
            name = self._place.next_name(outcome.source_directory)
        else:
            with self._place.staging() as stage:
                count, notes = stage_session(tree, log, end, stage)
                outcome = replace(outcome, blob_count=count, notes=tuple(notes))
                record = self._record(outcome, end)
                name = self._place.place(stage, outcome.source_directory, record)
        where = tree.path if self._is_dry_run else self._place.store.sessions_dir / name
        self._place.claim(str(outcome.session_id), SessionDirectory(name, where))
        return replace(outcome, directory=name)

    def _forward(
        self,
        outcome: SessionCopy,
        tree: SourceTree,
        log: PlainFile,
        end: ReadPosition,
        relation: _Relation,
    ) -> SessionCopy | None:
        """Append what the destination's log lacks; None where it changed since it was compared."""
        added = end.offset - relation.size_bytes
        outcome = replace(outcome, state="forwarded", bytes_added=added)
        directory = relation.directory
        if self._is_dry_run:
            planned = SessionDirectory(directory.name, tree.path)
            self._place.claim(str(outcome.session_id), planned)
            return outcome
        count, notes = bring_along(self._place, tree, directory)
        record = {**self._record(outcome, end), "directory": directory.name}
        self._place.note_beforehand(record)
        try:
            is_appended = append_missing(log, end, directory)
        except (SourceRefused, LogUnsafe):
            self._place.forget()
            raise
        if not is_appended:
            self._place.forget()
            return None
        self._place.note(record)
        return replace(outcome, blob_count=count, notes=tuple(notes))

    def _record(self, outcome: SessionCopy, end: ReadPosition) -> dict[str, Any]:
        return {
            "session_id": outcome.session_id,
            "directory": outcome.directory,
            "source_root": str(self._source.root.resolve()),
            "source_directory": outcome.source_directory,
            "lines": end.line_number,
            "head": end.prev,
            "copied_at": format_timestamp(datetime.now(UTC)),
        }


def _compared(log: PlainFile, source_end: ReadPosition, directory: SessionDirectory) -> _Relation:
    """Compare the whole lines of the source with a log of the destination, byte by byte.

    A torn tail over there that the source's next line begins with is a beginning as well.
    """
    fd = open_for_reading(directory.log)
    try:
        end = end_of_lines(fd)
        size_bytes = os.fstat(fd).st_size
        parted = first_difference(log, fd, min(source_end.offset, size_bytes))
    finally:
        os.close(fd)
    if parted is not None:
        return _Relation("forked", directory, end, size_bytes, parted)
    if end.offset == source_end.offset:
        return _Relation("equal", directory, end, size_bytes)
    kind: Kind = "behind" if size_bytes < source_end.offset else "ahead"
    return _Relation(kind, directory, end, size_bytes)


def _passed_over(other: PassedOver) -> SessionCopy:
    state: State = "refused" if other.is_refused else "ignored"
    return SessionCopy(other.name, state, reason=other.reason)
