"""Take sessions that are known by their manifest only into the log, so that SQL finds them.

That is the state of a clone of a repository in which logs are ignored, of sessions that were
kept by hand, and of those of the predecessor, whose trace beside the sessions is read as well. The
manifest and everything else in the directory stay as they are, to the byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

import orjson

from projections.reconstruction import actions_of, read_manifest_values
from projections.tracker_trace import read_trace
from provenance_log import files, lock_files
from provenance_log.appender import Appender
from provenance_log.errors import LogUnsafe, ManifestInvalid, ProvlogError, StoreNotWritable
from provenance_log.reader import open_for_reading
from provenance_log.settings import load_settings
from provenance_log.store import MANIFEST_NAME, read_session_id
from provenance_log.yaml_reading import read_yaml_mapping

if TYPE_CHECKING:
    from pathlib import Path

    from projections.reconstruction import Action, ManifestFile
    from provenance_log.store import SessionDirectory, Store

MANIFEST_BYTES_MAX = 1024 * 1024
HEADER_BYTES_MAX = 512 * 1024
"""A larger first line might have its session moved to a blob, and with it the session's id."""
STAGED_NAME = ".actions.jsonl.adopting"
LOCK_NAME = "adopt.lock"
MADE = ("adopted", "read")
"""The outcomes after which there is a log."""

Outcome: TypeAlias = Literal["adopted", "read", "skipped", "failed"]
"""`adopted` from a manifest alone, or `read` from the trace that a tracker left."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What became of one directory, and why if nothing."""

    log: str
    outcome: Outcome
    session_id: str | None = None
    line_count: int = 0
    reason: str | None = None


def adoptable(store: Store) -> list[SessionDirectory]:
    """Return the session directories that have a manifest and no log, in order of their names."""
    return [
        directory
        for directory in store.session_directories()
        if not os.path.lexists(directory.log) and os.path.lexists(directory.path / MANIFEST_NAME)
    ]


def adopt(store: Store, directories: Iterable[SessionDirectory]) -> Iterator[Adoption]:
    """Give each directory that has a manifest and no log a log, and yield what became of it.

    A log is written to another name, synced and renamed, so that there is a whole one or none;
    what a kill left behind is removed by the next call. Nothing else in the directory changes but
    `blobs/`, for a manifest larger than a line. One directory that fails keeps no other from being
    adopted. Raises `LockHeld` while another process adopts.
    """
    with lock_files.exclusive_lock(store.root / LOCK_NAME):
        known = _sessions_with_a_log(store)
        for directory in directories:
            try:
                adoption = _adopt(store, directory, known)
            except ProvlogError as error:
                adoption = Adoption(directory.name, "failed", reason=str(error))
            except OSError as error:
                reason = f"{directory.path}: {error.strerror or error}"
                adoption = Adoption(directory.name, "failed", reason=reason)
            if adoption.outcome in MADE and adoption.session_id is not None:
                known[adoption.session_id] = directory.name
            yield adoption


def _sessions_with_a_log(store: Store) -> dict[str, str]:
    found = ((read_session_id(directory), directory) for directory in store.session_directories())
    return {session_id: directory.name for session_id, directory in found if session_id}


def _adopt(store: Store, directory: SessionDirectory, known: dict[str, str]) -> Adoption:
    if os.path.lexists(directory.log):
        reason = "it has a log already"
        return Adoption(directory.name, "skipped", read_session_id(directory), reason=reason)
    manifest = read_manifest(directory)
    session_id = manifest.session_id
    if session_id in known:
        reason = f"its session has a log already, in {known[session_id]}"
        return Adoption(directory.name, "skipped", session_id, reason=reason)
    trace = read_trace(store.root, session_id)
    actions = actions_of(manifest, load_settings(store.root).taxonomy, trace)
    if len(orjson.dumps(actions[0])) > HEADER_BYTES_MAX:
        message = "its session, goals and kwargs are together too large for a line"
        raise ManifestInvalid(message, path=directory.path / MANIFEST_NAME)
    _write_log(directory, actions)
    with suppress(StoreNotWritable):  # the index of ids heals itself
        store.register_session(session_id, directory.name)
    outcome: Outcome = "adopted" if trace is None else "read"
    return Adoption(directory.name, outcome, session_id, len(actions))


def _write_log(directory: SessionDirectory, actions: list[Action]) -> None:
    """Make the log, whole or not at all; called with the lock that keeps other adopters out."""
    staged = directory.path / STAGED_NAME
    staged.unlink(missing_ok=True)
    try:
        appender = Appender(staged, durability="disk")
        try:
            appender.append_many(actions)
        finally:
            appender.close()
        files.replace_file(staged, directory.log)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def read_manifest(directory: SessionDirectory) -> ManifestFile:
    """Return the manifest of a session directory.

    Raises `ManifestInvalid` for a manifest that is missing, no plain file, larger than
    `MANIFEST_BYTES_MAX`, not UTF-8, or nothing that `read_yaml_mapping` takes.
    """
    path = directory.path / MANIFEST_NAME
    data, modified_at = _content(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestInvalid("it is not UTF-8", path=path, line=line) from error
    values = read_yaml_mapping(text, path)
    return read_manifest_values(data, values, directory.name, modified_at)


def _content(path: Path) -> tuple[bytes, datetime]:
    try:
        fd = open_for_reading(path)
    except LogUnsafe as error:
        raise ManifestInvalid("it is no plain file", path=path) from error
    except FileNotFoundError as error:
        hint = "a directory is adopted by its manifest.yaml"
        raise ManifestInvalid("there is no manifest", path=path, hint=hint) from error
    except OSError as error:
        raise ManifestInvalid(error.strerror or str(error), path=path) from error
    with os.fdopen(fd, "rb") as file:
        data = file.read(MANIFEST_BYTES_MAX + 1)
        modified_at = datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
    if len(data) > MANIFEST_BYTES_MAX:
        message = f"it is larger than {MANIFEST_BYTES_MAX:,} bytes"
        raise ManifestInvalid(message, path=path)
    return data, modified_at
