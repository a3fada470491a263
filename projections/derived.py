"""The files beside the logs that are made from the tables: manifests, summaries, indices.

Rendering and writing are apart. `expected_files` says what every file should hold, as a pure
function of the committed tables; `write_files` makes it so, and `refresh` does both. A file that
a person wrote or edited is theirs: it is left alone and reported (see `marker`).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from projections.archived import Away
from projections.facts import read_facts
from projections.indices import render_indices
from projections.manifest import decoded_object, render_manifest
from projections.summary import render_summary
from provenance_log import files
from provenance_log.marker import ownership_reason
from provenance_log.store import MANIFEST_NAME, SUMMARY_NAME, index_entry_name, is_safe_name
from provenance_log.unnamed_files import make_anew

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from projections.database import Connection
    from projections.facts import Row
    from provenance_log.store import Store

_FILE_BYTES_MAX = 16 * 1024 * 1024
"""Far more than a generated file can hold; a larger one belongs to a person and is not read."""


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """What a derived file should hold.

    `log` is the directory of the session that a manifest or summary belongs to. Without it, the
    file is the entry of a session in `indices/by-id`, or without a session an index of all.
    """

    name: str
    content: bytes
    log: str | None = None
    session_id: str | None = None

    @property
    def session_directory(self) -> str:
        """The name of the directory of the session that the file is about."""
        return self.content.decode().strip() if self.log is None else self.log

    def path(self, store: Store) -> Path:
        """Return where the file belongs."""
        return self.directory(store) / self.name

    def directory(self, store: Store) -> Path:
        """Return the directory that the file belongs in."""
        if self.log is not None:
            return store.sessions_dir / self.log
        return store.indices_dir if self.session_id is None else store.by_id_dir


@dataclass(frozen=True, slots=True)
class NotWritten:
    """A file that does not hold what it should, and why."""

    path: Path
    reason: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class DerivedReport:
    """What became of the derived files.

    `left_alone` belong to a person and stay so. `failed` could not be written now, for lack of
    space or permission for instance, and are worth another try. So are those whose directory is
    `gone`: it was renamed, archived or removed, which the projector is about to see.
    """

    written: tuple[Path, ...] = ()
    unchanged: tuple[Path, ...] = ()
    left_alone: tuple[NotWritten, ...] = ()
    failed: tuple[NotWritten, ...] = ()
    gone: tuple[NotWritten, ...] = ()

    @property
    def failed_sessions(self) -> frozenset[str]:
        """The sessions that have a file which could not be written, for whatever reason."""
        missed = (*self.failed, *self.gone)
        return frozenset(item.session_id for item in missed if item.session_id is not None)


def refresh(
    store: Store,
    connection: Connection,
    session_ids: Collection[str] | None,
    *,
    with_indices: bool = True,
    are_counted: bool = False,
) -> DerivedReport:
    """Bring the files of these sessions (None: of all sessions) and the indices up to date.

    Called after the commit of the rows. A file that holds the right bytes is not touched; others
    are replaced atomically. Never raises for a file: what could not be written is in the report.
    Raises `ProvlogError` when the tables can't be read. A session that is no longer in the tables
    keeps the files it has; only the directory it was projected from gets any.

    Manifests cost the same whatever the history; the indices do not (see `render_indices`, also
    for `are_counted`), so a caller that refreshes after every small batch sets `with_indices` now
    and then only. An empty collection refreshes the indices alone.
    """
    expected = expected_files(
        connection, session_ids, with_indices=with_indices, are_counted=are_counted
    )
    return write_files(store, expected)


def expected_files(
    connection: Connection,
    session_ids: Collection[str] | None = None,
    *,
    with_indices: bool = True,
    are_counted: bool = False,
) -> Iterator[ExpectedFile]:
    """Yield every derived file of these sessions (None: of all), then the indices.

    Needs no more than a read-only connection, and no store: nothing here depends on the disk.
    A session whose log was made from its manifest has neither manifest nor summary here: what it
    came with knows more, and its `log.head` may be all that is left of the log it was made from.
    """
    if session_ids is None:
        session_ids = [session_id for (session_id,) in connection.query("session_ids")]
    for facts in read_facts(connection, session_ids):
        log, session_id = facts.session["log"], facts.session["session_id"]
        if not is_reconstructed(facts.session):
            yield ExpectedFile(MANIFEST_NAME, render_manifest(facts), log, session_id)
            yield ExpectedFile(SUMMARY_NAME, render_summary(facts), log, session_id)
        entry = index_entry_name(session_id)
        yield ExpectedFile(entry, f"{log}\n".encode(), session_id=session_id)
    if with_indices:
        for name, content in render_indices(connection, are_counted=are_counted).items():
            yield ExpectedFile(name, content)


def is_reconstructed(session: Row) -> bool:
    """Say whether `provlog adopt` made the session's log from its manifest."""
    return decoded_object(session["source"]).get("reconstructed") is True


def write_files(store: Store, expected: Iterable[ExpectedFile]) -> DerivedReport:
    """Make every file hold what it should, and report what became of each.

    An archived session has no directory to write into, even if its rows are kept: its files are
    in the archive, and the name of its directory may be another session's by now.
    """
    outcome = _Outcome()
    away = Away(store)
    for file in expected:
        if file.session_id is not None and away.holds(file.session_id, file.session_directory):
            continue
        path = file.path(store)
        try:
            _write(store, file, path, outcome)
        except OSError as error:
            reason = error.strerror or str(error)
            where = outcome.gone if _is_gone(store, file) else outcome.failed
            where.append(NotWritten(path, reason, file.session_id))
    return DerivedReport(
        tuple(outcome.written),
        tuple(outcome.unchanged),
        tuple(outcome.left_alone),
        tuple(outcome.failed),
        tuple(outcome.gone),
    )


def _is_gone(store: Store, file: ExpectedFile) -> bool:
    """Say whether the session's directory was renamed, archived or removed in between."""
    if file.log is None or not store.sessions_dir.is_dir():
        return False
    return not file.directory(store).is_dir()


Standing = Literal["equal", "missing", "different", "a person's"]


def standing_of(store: Store, file: ExpectedFile) -> tuple[Standing, str]:
    """Return how a file stands to what it should hold, and why it is a person's if it is.

    Changes nothing; raises OSError for what can't be read.
    """
    content, reason = _content(file.path(store))
    if reason is None and content is not None and file.log is not None:
        reason = ownership_reason(content)
    if reason is not None:
        return "a person's", reason
    if content is None:
        return "missing", ""
    return "equal" if content == file.content else "different", ""


@dataclass(slots=True)
class _Outcome:
    written: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    left_alone: list[NotWritten] = field(default_factory=list)
    failed: list[NotWritten] = field(default_factory=list)
    gone: list[NotWritten] = field(default_factory=list)


def _write(store: Store, file: ExpectedFile, path: Path, outcome: _Outcome) -> None:
    standing: Standing = "missing"
    reason = _prepare_directory(store, file) or ""
    if not reason:
        standing, reason = standing_of(store, file)
    if reason:
        outcome.left_alone.append(NotWritten(path, reason, file.session_id))
    elif standing == "equal":
        outcome.unchanged.append(path)
    else:
        if file.log is None and file.session_id is not None:
            make_anew(path, file.content)  # recorders write `indices/by-id` too
        else:
            files.remove_unfinished(path)  # only a projector writes it, and there is one
            if standing == "different" or not files.create_atomically(path, file.content):
                files.write_atomically(path, file.content)
        outcome.written.append(path)


def _prepare_directory(store: Store, file: ExpectedFile) -> str | None:
    """Make the directory of an index; return why nothing may be written there, None if it may.

    The name of a directory comes from the database, which anybody might have changed.
    """
    if file.log is None:
        for directory in (store.indices_dir, file.directory(store)):
            if directory.is_symlink():
                return "its directory is a symbolic link"
            if not directory.exists():
                files.make_directory(directory)
        return None
    if not is_safe_name(file.log):
        return "the name of its directory is not safe"
    if (store.sessions_dir / file.log).is_symlink():
        return "its directory is a symbolic link"
    return None


def _content(path: Path) -> tuple[bytes | None, str | None]:
    """Return what a file holds (None if it is missing), or why it is none of ours."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None, None
    if stat.S_ISLNK(status.st_mode):
        return None, "it is a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return None, "it is not a plain file"
    if status.st_size > _FILE_BYTES_MAX:
        return None, "it is larger than any file that provenance-log writes"
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as found:
        return found.read(), None
