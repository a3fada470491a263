"""Archive sessions: pack them, read the archive back, and only then remove their directories.

    look      which sessions; each one is verified, and nothing but plain files is in its directory
    pack      into a new month file beside the old one: the old parts as they are, then new ones
    compare   the new file with the directories, byte for byte, while the logs are locked
    place     rename the new month file, then write the index
    remove    rename each directory out of sight, look whether it is still what was packed, delete

Killed anywhere, each session is live, or in the archive and its index, or both; the next run
finishes or cleans up (`finish_interrupted`). No database is needed.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from provenance_log import files
from provenance_log.anchors import anchor_beside
from provenance_log.archive_choice import ArchiveChoice, LogFacts, chosen_logs, facts_of
from provenance_log.archive_comparing import check_replacement, is_equal
from provenance_log.archive_files import Packing, PartReader, read_part
from provenance_log.archive_index import (
    UNDATED,
    ArchivedSession,
    read_index,
    write_index,
)
from provenance_log.archive_month import NewMonth
from provenance_log.archive_removing import archive_lock, delete_doomed, doom_directory
from provenance_log.archive_report import ArchiveOptions, ArchiveReport, SessionArchived, State
from provenance_log.archive_trees import Tree, look_at
from provenance_log.copy_source import end_of_lines
from provenance_log.errors import ArchiveRefused, LogUnsafe, ProvlogError, StoreNotWritable
from provenance_log.format import format_timestamp
from provenance_log.store import (
    LOG_NAME,
    MANIFEST_NAME,
    SessionDirectory,
    next_free_name,
    read_session_id,
)
from provenance_log.verifying import EXIT_TAMPERED, EXIT_UNREADABLE, verify_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from provenance_log.session_names import SessionLog
    from provenance_log.store import Store
    from provenance_log.verifying import Report

_SESSIONS_AT_ONCE_MAX = 100
_BYTES_AT_ONCE_MAX = 128 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Candidate:
    directory: SessionDirectory
    facts: LogFacts
    tree: Tree
    verdict: str
    month: str
    standing: ArchivedSession | None
    """What the archive holds of the session already."""
    is_packed: bool
    """Whether that is the same, so that nothing has to be packed."""

    def outcome(self, state: State, reason: str | None = None) -> SessionArchived:
        return SessionArchived(
            self.directory.name,
            self.facts.session_id,
            state,
            self.facts.end.line_number,
            self.tree.size_bytes,
            month=self.month,
            verdict=self.verdict,
            reason=reason,
        )


def archive_sessions(
    store: Store,
    choice: ArchiveChoice,
    options: ArchiveOptions | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ArchiveReport:
    """Archive the chosen sessions, each whole or not at all.

    What is refused is in the report, and the others are archived all the same. `on_progress` gets
    steps done and in all. Raises `SessionNotFound` before anything is done, `ArchiveDamaged`
    where index or month file are not what they should be, `LockHeld` and `StoreNotWritable`: what
    was archived before stays, and the next run goes on.
    """
    options = options or ArchiveOptions()
    if options.is_dry_run:
        return _Archiving(store, choice, options).run(on_progress)
    try:
        with archive_lock(store):
            return _Archiving(store, choice, options).run(on_progress)
    except OSError as error:
        message = f"can't be written: {error.strerror or error}"
        hint = "check space and permissions, then archive again: what was archived stays"
        raise StoreNotWritable(message, path=error.filename or store.root, hint=hint) from error


class _Archiving:
    """One run, which holds the lock of the archive unless it is a dry one."""

    def __init__(self, store: Store, choice: ArchiveChoice, options: ArchiveOptions) -> None:
        self._store = store
        self._choice = choice
        self._options = options
        self._entries = read_index(store)
        self._outcomes: list[SessionArchived] = []

    def run(self, on_progress: Callable[[int, int], None]) -> ArchiveReport:
        logs = chosen_logs(self._store, self._choice)
        steps = count(1)
        # Each log is looked at, and most are packed: two steps, whatever becomes of it.
        total = 2 * len(logs)

        def step() -> None:
            on_progress(min(next(steps), total), total)

        for batch in _batches(self._candidates(logs, step)):
            if self._options.is_dry_run:
                self._outcomes += [candidate.outcome("archived") for candidate in batch]
            else:
                self._archive(batch, step)
        on_progress(total, total)
        self._outcomes.sort(key=lambda outcome: os.fsencode(outcome.directory))
        return ArchiveReport(self._outcomes)

    def _candidates(self, logs: Sequence[SessionLog], step: Callable[[], None]) -> list[_Candidate]:
        directories: dict[str, list[str]] = {}
        for directory in self._store.session_directories():
            session_id = read_session_id(directory)
            if session_id is not None:
                directories.setdefault(session_id, []).append(directory.name)
        found = []
        for log in logs:
            name, session_id = log.directory.name, log.session_id
            try:
                candidate = self._candidate(log, directories.get(session_id, []))
            except (ArchiveRefused, LogUnsafe) as error:
                refused = SessionArchived(name, session_id, "refused", reason=str(error))
                self._outcomes.append(refused)
            else:
                found += [] if candidate is None else [candidate]
            step()
        return found

    def _candidate(self, log: SessionLog, directories: Sequence[str]) -> _Candidate | None:
        """Return what is to be archived, or None for what is passed over."""
        directory = log.directory
        try:
            facts = facts_of(directory.log)
        except OSError as error:
            message = error.strerror or str(error)
            raise ArchiveRefused(message, path=directory.log) from error
        passed_over = self._passed_over(facts, directory)
        if passed_over is not None:
            lines = facts.end.line_number
            outcome = SessionArchived(directory.name, facts.session_id, passed_over, lines)
            self._outcomes.append(outcome)
            return None
        if len(directories) > 1:
            message = f"the session is in several directories: {', '.join(directories)}"
            hint = "keep one of them, then archive again"
            raise ArchiveRefused(message, path=directory.path, hint=hint)
        tree = look_at(directory.path)
        report = _verified(directory.log)
        if report.exit_code in {EXIT_TAMPERED, EXIT_UNREADABLE} and not self._options.with_damaged:
            message = f"the log does not verify: {report.verdict}"
            hint = f"see `provlog verify {directory.name}`; --damaged archives it as it is"
            raise ArchiveRefused(message, path=directory.log, hint=hint)
        standing = self._entries.get(facts.session_id)
        is_packed = False
        if standing is not None:
            is_packed = is_equal(read_part(self._store, standing), tree)
            if not is_packed:
                part = read_part(self._store, standing)
                check_replacement(part, tree, is_replacing=self._options.is_replacing)
        month = standing.month if standing is not None else _month(facts)
        return _Candidate(directory, facts, tree, report.verdict, month, standing, is_packed)

    def _passed_over(self, facts: LogFacts, directory: SessionDirectory) -> State | None:
        before_us = self._choice.before_us
        if before_us is not None:
            last_us = facts.last_us
            if last_us is None:
                last_us = directory.log.stat().st_mtime_ns // 1000
            if last_us >= before_us:
                return "younger"
        is_meant = facts.is_finished or self._choice.with_unfinished
        return None if is_meant else "unfinished"

    def _archive(self, batch: Sequence[_Candidate], step: Callable[[], None]) -> None:
        """Archive sessions of one month; those that change meanwhile are left out and refused."""
        while batch:
            refused = self._attempt(batch, step)
            if not refused:
                return
            self._outcomes += [
                candidate.outcome("refused", refused[candidate.directory.name])
                for candidate in batch
                if candidate.directory.name in refused
            ]
            batch = [one for one in batch if one.directory.name not in refused]

    def _attempt(self, batch: Sequence[_Candidate], step: Callable[[], None]) -> dict[str, str]:
        """Archive all of them and return nothing, or the reasons of those that can't be."""
        packings = self._packings(batch)
        parts = list(packings.values())
        month = NewMonth(self._store, batch[0].month, self._entries.values(), parts, step)
        with ExitStack() as stack:
            path = month.path
            if packings:
                try:
                    path = stack.enter_context(month.written())
                except ArchiveRefused as error:
                    assert month.packing is not None  # noqa: S101 - nothing else is refused
                    return {month.packing.tree.path.name: str(error)}
            offsets = dict(zip(packings, month.offsets, strict=True))
            entries = [self._entry(one, packings, offsets) for one in batch]
            refused = {}
            for candidate, entry in zip(batch, entries, strict=True):
                try:
                    stack.enter_context(_locked(candidate))
                    _compare(candidate, PartReader(path, entry))
                except (ArchiveRefused, LogUnsafe, StoreNotWritable) as error:
                    refused[candidate.directory.name] = str(error)
            if refused:
                return refused
            if packings:
                files.replace_file(path, month.path)
            self._entries.update({entry.session_id: entry for entry in entries})
            write_index(self._store, self._entries.values())
            self._remove(batch, entries)
        return {}

    def _remove(self, batch: Sequence[_Candidate], entries: Sequence[ArchivedSession]) -> None:
        doomed: list[tuple[_Candidate, ArchivedSession, Path]] = []
        for candidate, entry in zip(batch, entries, strict=True):
            try:
                doomed.append((candidate, entry, doom_directory(self._store, candidate.tree)))
            except ArchiveRefused as error:
                self._outcomes.append(candidate.outcome("refused", str(error)))
        files.sync_directory(self._store.sessions_dir)
        for candidate, entry, path in doomed:
            left = delete_doomed(self._store, path, entry)
            reason = None if left is None else f"archived, but not deleted: {left}"
            outcome = candidate.outcome("archived", reason)
            self._outcomes.append(replace(outcome, packed_bytes=entry.packed_bytes))

    def _packings(self, batch: Sequence[_Candidate]) -> dict[str, Packing]:
        """Return what has to be packed, by directory, each with a name that no other has."""
        month = batch[0].month
        ours = {candidate.facts.session_id for candidate in batch}
        others = (entry for entry in self._entries.values() if entry.session_id not in ours)
        names = {entry.member for entry in others if entry.month == month}
        packings = {}
        for candidate in batch:
            if not candidate.is_packed:
                name = next_free_name(candidate.directory.name, names.__contains__)
                packings[candidate.directory.name] = Packing(candidate.tree, name)
            elif candidate.standing is not None:
                name = candidate.standing.member
            names.add(name)
        return packings

    def _entry(
        self, candidate: _Candidate, packings: Mapping[str, Packing], offsets: Mapping[str, int]
    ) -> ArchivedSession:
        """Return the line of the index that a session will have."""
        now = format_timestamp(datetime.now(UTC))
        name, facts = candidate.directory.name, candidate.facts
        if candidate.standing is not None and candidate.is_packed:
            keep_rows = self._options.keep_rows
            return replace(candidate.standing, directory=name, keep_rows=keep_rows, archived_at=now)
        packing = packings[name]
        return ArchivedSession(
            session_id=facts.session_id,
            directory=name,
            month=candidate.month,
            member=packing.member,
            offset=offsets[name],
            packed_bytes=packing.packed_bytes,
            unpacked_bytes=packing.unpacked_bytes,
            files=len(candidate.tree.files),
            size_bytes=candidate.tree.size_bytes,
            lines=facts.end.line_number,
            bytes=facts.end.offset,
            head=facts.end.prev,
            tree=packing.digest,
            first_at=_told(facts.first_us),
            last_at=_told(facts.last_us),
            state=facts.state,
            verdict=candidate.verdict,
            keep_rows=self._options.keep_rows,
            archived_at=now,
        )


@contextmanager
def _locked(candidate: _Candidate) -> Iterator[None]:
    """Hold the lock of a log, which must still be the file that was looked at."""
    log = candidate.directory.log
    if not os.path.lexists(log):
        raise ArchiveRefused("is not there any more", path=log)
    fd, _ = files.open_log(candidate.directory.path, LOG_NAME)
    try:
        files.lock(fd, log)
        if end_of_lines(fd) != candidate.facts.end:
            raise ArchiveRefused("was changed while it was archived", path=log)
        yield
    finally:
        os.close(fd)


def _compare(candidate: _Candidate, part: PartReader) -> None:
    """Read a part back; raises `ArchiveRefused` unless it is what the directory holds."""
    if not is_equal(part, candidate.tree):
        message = "what was archived of it was read back otherwise"
        raise ArchiveRefused(message, path=candidate.directory.path, hint="check the disk")


def _batches(candidates: Sequence[_Candidate]) -> Iterator[list[_Candidate]]:
    """Yield sessions of one month, so many that a killed run has not done much in vain."""
    for _, found in groupby(sorted(candidates, key=_by_month), key=attrgetter("month")):
        batch: list[_Candidate] = []
        size_bytes = 0
        for candidate in found:
            size_bytes += candidate.tree.size_bytes
            if batch and (len(batch) >= _SESSIONS_AT_ONCE_MAX or size_bytes > _BYTES_AT_ONCE_MAX):
                yield batch
                batch, size_bytes = [], candidate.tree.size_bytes
            batch.append(candidate)
        yield batch


def _by_month(candidate: _Candidate) -> tuple[str, bytes]:
    return candidate.month, os.fsencode(candidate.directory.name)


def _verified(log: Path) -> Report:
    """Verify a log against the manifest beside it, as `provlog verify` does."""
    try:
        anchor = anchor_beside(log)
    except (ProvlogError, LogUnsafe) as error:
        return verify_log(log, anchor_error=f"{MANIFEST_NAME} {error.message}")
    return verify_log(log, anchor)


def _month(facts: LogFacts) -> str:
    return UNDATED if facts.first_us is None else str(_told(facts.first_us))[:7]


def _told(time_us: int | None) -> str | None:
    if time_us is None:
        return None
    return format_timestamp(_EPOCH + timedelta(microseconds=time_us))
