"""What the tests of the archive share: sessions to archive, and what a directory holds."""

import os
import stat
from pathlib import Path

from copying_cases import lines_of, put

from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_index import ArchivedSession, read_index
from provenance_log.archive_report import ArchiveOptions, ArchiveReport
from provenance_log.archiving import archive_sessions
from provenance_log.restoring import restore_sessions
from provenance_log.store import Store

NAME = "2026-01-02-03-04"
MONTH = "2026-01.tar.xz"

Snapshot = dict[str, tuple[str, int, bytes]]


def log_of(session_id: str, *kinds: str) -> bytes:
    """The bytes of a log that ends with these lines."""
    return b"".join(lines_of(session_id, *kinds))


def furnished(store: Store, name: str = NAME, session_id: str = "s1", *kinds: str) -> Path:
    """A directory with a finished session, a blob, notes, odd names, modes and times."""
    directory = put(store, name, log_of(session_id, *(kinds or ("tool call", "end")))).parent
    (directory / "blobs").mkdir(mode=0o750)
    (directory / "blobs" / ("a" * 64)).write_bytes(os.urandom(3000))
    (directory / "notes").mkdir()
    (directory / "notes" / "empty").mkdir()
    (directory / "notes" / "mine é.md").write_text("# Mine\n")
    (directory / "notes" / os.fsdecode(b"bytes-\xff\n")).write_bytes(b"")
    (directory / ("long-" * 50)).write_bytes(b"x" * 512)
    (directory / "script.sh").write_text("#!/bin/sh\n")
    (directory / "script.sh").chmod(0o755)
    (directory / "actions.jsonl").chmod(0o640)
    os.utime(directory / "script.sh", ns=(1, 1_700_000_000_123_456_789))
    os.utime(directory / "notes" / "empty", ns=(1, -1_500_000_000))
    os.utime(directory, ns=(1, 1_600_000_000_000_000_001))
    return directory


def snapshot(directory: Path) -> Snapshot:
    """Everything in a directory, and itself: kind and mode, time of change, content."""
    found: Snapshot = {}
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        mode = stat.filemode(status.st_mode)
        found[str(path.relative_to(directory))] = (mode, status.st_mtime_ns, content)
    return found


def archive(store: Store, *given: str, options: ArchiveOptions | None = None) -> ArchiveReport:
    return archive_sessions(store, ArchiveChoice(given), options)


def states(report: ArchiveReport) -> dict[str, str]:
    return {session.directory: session.state for session in report.sessions}


def reason(report: ArchiveReport) -> str:
    (session,) = report.in_state("refused")
    return str(session.reason)


def restored(store: Store, *given: str) -> dict[str, tuple[str, str | None]]:
    """State and directory of each session, by its id."""
    outcomes = restore_sessions(store, given)
    return {one.entry.session_id: (one.state, one.directory) for one in outcomes}


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def entry_of(store: Store, session_id: str = "s1") -> ArchivedSession:
    return read_index(store)[session_id]
