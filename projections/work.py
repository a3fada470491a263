"""The projector's work, in three steps of which only the last needs the database.

    plan        look at the directories
    next_work   read and decode the next batch
    apply       write it: rows, quarantine, sessions, checkpoints, in one transaction

A batch takes complete new lines of one or more sessions, in turn, up to a number of bytes: a
session with a backlog of gigabytes delays another by no more than one batch (invariant B9).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from projections.archived import Archive, sentence_of
from projections.checkpoints import Checkpoint
from projections.decoding import ahead, spread_batches
from projections.duplicates import Comparisons
from projections.following import Follow, Following
from projections.loading import Batch, write_all
from projections.planning import SessionPlan, make_plan
from provenance_log.errors import ArchiveDamaged, ArchiveRefused, LogUnsafe
from provenance_log.restoring import unpacked_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from projections.database import Connection
    from projections.planning import Plan
    from provenance_log.store import Store

    _Read = Callable[[Sequence[SessionPlan]], Iterator[Batch]]

BATCH_BYTES = 8 * 1024 * 1024
"""About how many bytes of log one batch takes; the memory needed is a multiple of it."""

TRANSACTION_BYTES = 512 * 1024 * 1024
"""About how many bytes of log one transaction takes where tables are filled."""

_UNREADABLE = (OSError, LogUnsafe, ArchiveDamaged, ArchiveRefused)

OnProgress = Callable[[int, int], None]
"""Called after a batch with the bytes of log that are done and that there are to do.

What it raises ends the work there, between two batches.
"""


@dataclass(slots=True)
class Tally:
    """What was projected."""

    lines: int = 0
    quarantined: int = 0
    incidents: int = 0
    size_bytes: int = 0
    session_ids: set[str] = field(default_factory=set)

    def count(self, batch: Batch) -> None:
        """Add a batch that is committed."""
        self.lines += batch.line_count
        self.quarantined += len(batch.refused)
        self.incidents += sum(len(s.incidents) + len(s.observed) for s in batch.settlements)
        self.size_bytes += batch.size_bytes
        self.session_ids |= batch.session_ids

    def add(self, other: Tally) -> None:
        """Add what another piece of work did."""
        self.lines += other.lines
        self.quarantined += other.quarantined
        self.incidents += other.incidents
        self.size_bytes += other.size_bytes
        self.session_ids |= other.session_ids


@dataclass(frozen=True, slots=True)
class Work:
    """One transaction's worth: a batch, or a whole session whose rows are all made anew."""

    batch: Batch
    replay: SessionPlan | None = None


@dataclass(slots=True)
class _Progress:
    """Tells how far the work is, also when a transaction begins again."""

    on_progress: OnProgress | None
    total_bytes: int
    before_bytes: int = 0
    """What was committed."""

    def through(self, read: _Read, plans: Sequence[SessionPlan]) -> Iterator[Batch]:
        done_bytes = self.before_bytes
        for batch in read(plans):
            yield batch
            done_bytes += batch.size_bytes
            if self.on_progress is not None:
                self.on_progress(done_bytes, self.total_bytes)


class Projector:
    """Knows the checkpoints, plans from them, and applies what it planned.

    Only one may exist per store: hold `store.projector_lock` as long as it is used.
    """

    def __init__(self, store: Store, *, batch_bytes: int = BATCH_BYTES) -> None:
        self.store = store
        self.problems: list[str] = []
        """Logs that could not be read, one sentence each; their rows stay as they are."""
        self._batch_bytes = batch_bytes
        self._checkpoints: dict[tuple[str, str], Checkpoint] = {}
        self._comparisons = Comparisons()
        self._archive = Archive(store)
        self._replays: deque[SessionPlan] = deque()
        self._followed: tuple[SessionPlan, ...] = ()
        self._following = Following((), self.problems)

    def run(self, connection: Connection, on_progress: OnProgress | None = None) -> Tally:
        """Do everything there is to do, batch by batch, on an open database."""
        self.remember(connection)
        total_bytes = self.plan().size_bytes
        total = Tally()
        for work in ahead(iter(self.next_work, None)):
            total.add(self.apply(connection, work))
            if on_progress is not None:
                on_progress(total.size_bytes, total_bytes)
        return total

    def remember(self, connection: Connection) -> None:
        """Take the checkpoints from the database; needed once, and after anything failed."""
        found = map(Checkpoint._make, connection.query("checkpoints"))
        self._checkpoints = {(item.session_id, item.log): item for item in found}

    def plan(self, limits: Mapping[str, int] | None = None) -> Plan:
        """Look at every log and queue what has to be done; see `planning.make_plan`."""
        checkpoints = self._checkpoints.values()
        plan = make_plan(self.store, checkpoints, self._comparisons, limits, self._archive)
        sessions = tuple(item for item in plan.sessions if not self._is_hopeless(item))
        plan = replace(plan, sessions=sessions)
        self.problems = [*plan.problems, *self._archive.problems()]
        self._replays = deque(item for item in sessions if _is_replayed(item))
        self._followed = tuple(item for item in sessions if not _is_replayed(item))
        self._following = Following(self._followed, self.problems)
        return plan

    def next_work(self) -> Work | None:
        """Read and decode what comes next; None when everything planned is done."""
        if self._replays:
            return Work(Batch(), self._replays.popleft())
        batch = self._following.next_batch(self._batch_bytes)
        return None if batch is None else Work(batch)

    def apply(self, connection: Connection, work: Work) -> Tally:
        """Write one piece of work in one transaction, and return what it was.

        When it raises, nothing of it is in the database and the queue is empty: `remember` and
        `plan` again.
        """
        replay = work.replay
        with self._queue_lost_on_error():
            if replay is None:
                return self._apply(connection, lambda: [work.batch])
            try:
                return self._apply(connection, lambda: self._replay(replay))
            except _UNREADABLE as error:
                # The log can't be read at the moment; its rows stay what they were.
                self._complain(replay, error)
                return Tally()

    def apply_all(self, connection: Connection, on_progress: OnProgress | None = None) -> Tally:
        """Write everything that was planned; for filling empty tables.

        Sessions are written together until they have `TRANSACTION_BYTES`, as what a transaction
        keeps in memory until its end would grow with the history. Raises OSError for a log that
        can't be read; what was written before it stays.
        """
        plans, archived = self._followed, list(self._replays)
        self._followed, self._replays = (), deque()
        self._following = Following((), self.problems)
        total_bytes = sum(plan.size_bytes for plan in (*plans, *archived))
        progress = _Progress(on_progress, total_bytes)
        total = Tally()
        with self._queue_lost_on_error():
            for read, some in (
                *((self._spread, some) for some in _portions(plans)),
                *((self._unpacked, some) for some in _portions(archived)),
            ):
                total.add(self._apply(connection, partial(progress.through, read, some)))
                progress.before_bytes = total.size_bytes
        return total

    def _spread(self, plans: Sequence[SessionPlan]) -> Iterator[Batch]:
        return spread_batches(plans, self._batch_bytes, self.problems)

    @contextmanager
    def _queue_lost_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._replays.clear()
            self._following = Following((), self.problems)
            raise

    def _apply(self, connection: Connection, batches: Callable[[], Iterable[Batch]]) -> Tally:
        tally = Tally()
        kept: list[Batch] = []

        def counted() -> Iterator[Batch]:
            nonlocal tally
            tally = Tally()
            kept.clear()
            for batch in batches():
                tally.count(batch)
                kept.append(batch.without_lines())
                yield batch

        quarantined = write_all(connection, counted)
        tally.quarantined += quarantined
        for batch in kept:
            self._keep(batch)
        return tally

    def _unpacked(self, plans: Iterable[SessionPlan]) -> Iterator[Batch]:
        """Yield the batches of archived sessions; one that can't be unpacked has none."""
        for plan in plans:
            try:
                yield from self._replay(plan)
            except _UNREADABLE as error:
                self._complain(plan, error)

    def _is_hopeless(self, plan: SessionPlan) -> bool:
        return plan.archived is not None and self._archive.is_unreadable(plan.archived)

    def _complain(self, plan: SessionPlan, error: Exception) -> None:
        self.problems.append(sentence_of(error))
        if plan.archived is not None:
            self._archive.note_unreadable(plan.archived, error)

    def _replay(self, plan: SessionPlan) -> Iterator[Batch]:
        if plan.archived is None or plan.source is None:
            yield from self._replay_log(plan)
            return
        with unpacked_session(self.store, plan.archived, with_blobs=False) as unpacked:
            source = replace(plan.source, path=unpacked.log)
            yield from self._replay_log(replace(plan, source=source))

    def _replay_log(self, plan: SessionPlan) -> Iterator[Batch]:
        follow = Follow(plan)
        while not follow.is_done:
            batch = Batch()
            follow.read_into(batch, self._batch_bytes)
            yield batch

    def _keep(self, batch: Batch) -> None:
        settled = {settlement.session_id for settlement in batch.settlements}
        if settled:
            self._checkpoints = {
                key: item for key, item in self._checkpoints.items() if key[0] not in settled
            }
        others = [other for settlement in batch.settlements for other in settlement.others]
        for item in (*others, *batch.checkpoints):
            self._checkpoints[item.session_id, item.log] = item


def _portions(plans: Iterable[SessionPlan]) -> Iterator[list[SessionPlan]]:
    """Yield the plans in their order, together until they have the bytes of a transaction."""
    some: list[SessionPlan] = []
    size_bytes = 0
    for plan in plans:
        some.append(plan)
        size_bytes += plan.size_bytes
        if size_bytes >= TRANSACTION_BYTES:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some


def _is_replayed(plan: SessionPlan) -> bool:
    """Say whether a session's rows are all made in one transaction of their own."""
    if plan.source is None:
        return False  # nothing is made, and any number of sessions is cleared at once
    return plan.must_clear or plan.archived is not None
