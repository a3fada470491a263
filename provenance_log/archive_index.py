"""The index of the archive: one JSON object per archived session, small enough to commit.

It says where each session's part of a month file is, and what that part has to hold: a copy of
the index kept elsewhere, in git for instance, anchors every archived log by its head, and every
other file by the digest of the whole tree. It is read by whoever must know that a session is
archived, so it needs no more than this module.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log import files
from provenance_log.errors import ArchiveDamaged
from provenance_log.store import is_safe_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from provenance_log.store import Store

INDEX_NAME = "index.jsonl"
UNDATED = "undated"
"""The month of a session without any action, which has no time."""

_MONTH = re.compile(r"\d{4}-\d\d|undated")
_HASH = re.compile(r"[0-9a-f]{64}")
_NUMBER_MAX = 2**53 - 1
_HINT = "bring the file back, from git for instance, then run the command again"
_TEXTS = ("session_id", "state", "verdict", "archived_at")
_NAMES = ("directory", "member")
_HASHES = ("head", "tree")


@dataclass(frozen=True, slots=True)
class ArchivedSession:
    """One line of the index; sizes and offsets are in bytes."""

    session_id: str
    directory: str
    """The name of its directory when it was archived, and of its rows."""
    month: str
    """Of the session's start, in UTC: `2026-01`."""
    member: str
    """The directory's name inside the month file, where two sessions never share one."""
    offset: int
    """Where the session's part of the month file begins."""
    packed_bytes: int
    """How long that part is."""
    unpacked_bytes: int
    """How long it is unpacked, as a part of a tar file."""
    files: int
    size_bytes: int
    """Of all files together."""
    lines: int
    """Whole lines of the log, as in a manifest's anchor."""
    bytes: int
    """Where those lines end."""
    head: str
    """Hash of the last of them."""
    tree: str
    """SHA-256 over name, mode, time, size and content of every file; see `archive_trees`."""
    first_at: str | None
    last_at: str | None
    """Times of the first and the last action, RFC 3339 in UTC."""
    state: str
    """success, failure, imported or open, as in the tables."""
    verdict: str
    """What `verify_log` said when it was archived."""
    keep_rows: bool
    archived_at: str

    @property
    def name(self) -> str:
        """The name of the directory, by which a person may mean the session."""
        return self.directory

    @property
    def end(self) -> int:
        """Where the session's part of the month file ends."""
        return self.offset + self.packed_bytes


def month_path(store: Store, month: str) -> Path:
    """Return where the sessions of a month are."""
    return store.archive_dir / f"{month}.tar.xz"


def index_path(store: Store) -> Path:
    """Return where the index is."""
    return store.archive_dir / INDEX_NAME


def read_index(store: Store) -> dict[str, ArchivedSession]:
    """Return what is archived, by session id; empty where nothing is.

    Raises `ArchiveDamaged` for a line that is none of ours: whoever goes on without it could
    forget a session.
    """
    entries, problems = read_index_leniently(store)
    if problems:
        raise problems[0]
    return entries


def read_index_leniently(store: Store) -> tuple[dict[str, ArchivedSession], list[ArchiveDamaged]]:
    """Return what is archived as far as it can be read, and what is wrong with the rest."""
    mark = mark_of_index(store)
    if mark is None:
        return {}, _orphaned(store)
    entries, problems = _parsed(index_path(store), mark)
    return dict(entries), [_copied(problem) for problem in problems]


@lru_cache(maxsize=4)
def _parsed(
    path: Path, _mark: tuple[int, ...]
) -> tuple[dict[str, ArchivedSession], list[ArchiveDamaged]]:
    """Read the index; remembered for as long as its status is the same."""
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = ArchiveDamaged(f"can't be read: {error.strerror or error}", path=path, hint=_HINT)
        return {}, [problem]
    entries: dict[str, ArchivedSession] = {}
    problems = []
    for number, line in enumerate(content.splitlines(), start=1):
        reason = None
        try:
            entry = _entry(orjson.loads(line))
        except (ValueError, TypeError) as error:
            reason = f"not a line of the index: {error}"
        else:
            if entry.session_id in entries:
                reason = "the session has a line already"
            entries.setdefault(entry.session_id, entry)
        if reason is not None:
            problems.append(ArchiveDamaged(reason, path=path, line=number, hint=_HINT))
    return entries, problems


def _orphaned(store: Store) -> list[ArchiveDamaged]:
    """Return what is wrong where there is no index: nothing, unless there are month files."""
    try:
        names = os.listdir(store.archive_dir)  # noqa: PTH208 - no paths are needed
    except OSError:
        return []
    months = sorted(name for name in names if _MONTH.fullmatch(name.removesuffix(".tar.xz")))
    if not months:
        return []
    message = f"is missing, and {', '.join(months)} are there"
    return [ArchiveDamaged(message, path=index_path(store), hint=_HINT)]


def _copied(problem: ArchiveDamaged) -> ArchiveDamaged:
    """Return an error that can be raised again without the traceback of the last time."""
    return ArchiveDamaged(problem.message, path=problem.path, line=problem.line, hint=problem.hint)


def write_index(store: Store, entries: Iterable[ArchivedSession]) -> None:
    """Replace the index atomically; its lines are in bytewise order."""
    lines = sorted(orjson.dumps(asdict(entry)) + b"\n" for entry in entries)
    files.write_atomically(index_path(store), b"".join(lines))


def mark_of_index(store: Store) -> tuple[int, ...] | None:
    """Return what changes whenever the index does; None where there is none."""
    try:
        found = os.stat(index_path(store))  # noqa: PTH116 - a daemon asks this all the time
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _entry(value: Any) -> ArchivedSession:
    """Return the entry that a value is; raises TypeError or ValueError with the reason."""
    if not isinstance(value, dict):
        raise TypeError("it is no object")
    known: dict[str, Any] = {field.name: value.get(field.name) for field in fields(ArchivedSession)}
    for name, found in known.items():
        if not _is_right(name, found):
            raise ValueError(f"{name} is {str(found)[:80]!r}")
    return ArchivedSession(**known)


def _is_right(name: str, found: object) -> bool:
    if name == "month":
        return isinstance(found, str) and _MONTH.fullmatch(found) is not None
    if name in _NAMES:
        return isinstance(found, str) and is_safe_name(found)
    if name in _HASHES:
        return isinstance(found, str) and _HASH.fullmatch(found) is not None
    if name in _TEXTS:
        return isinstance(found, str) and bool(found)
    if name in {"first_at", "last_at"}:
        return found is None or isinstance(found, str)
    if name == "keep_rows":
        return isinstance(found, bool)
    return type(found) is int and 0 <= found <= _NUMBER_MAX
