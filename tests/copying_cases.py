"""What the tests of copying share: two stores, logs in them, and what a copy left behind."""

import hashlib
import json
from pathlib import Path
from typing import Any

from projecting import cleared_tables, content_of, project, rows_of

from provenance_log.copy_choice import Choice
from provenance_log.copying import CopyReport, SessionCopy
from provenance_log.store import Store, initialise_store, open_store

ID = "5f0c0f0e-8f0a-4b7e-9a52-3c1d2e4f5a6b"
NAME = "2026-01-02-03-04"
ALL = Choice()


def new_store(root: Path) -> Store:
    initialise_store(root)
    return open_store(root)


def lines_of(session_id: str, *kinds: str) -> list[bytes]:
    return content_of(session_id, list(kinds)).splitlines(keepends=True)


FOUR = lines_of(ID, "tool call", "decision", "end")
OTHER_END = lines_of(ID, "tool call", "annotation", "end")


def put(store: Store, name: str, data: bytes) -> Path:
    log = store.sessions_dir / name / "actions.jsonl"
    log.parent.mkdir()
    log.write_bytes(data)
    return log


def log_in(store: Store, name: str = NAME) -> bytes:
    return (store.sessions_dir / name / "actions.jsonl").read_bytes()


def states(report: CopyReport) -> dict[str, str]:
    return {copy.source_directory: copy.state for copy in report.copies}


def only(report: CopyReport) -> SessionCopy:
    (copy,) = report.copies
    return copy


def noted(store: Store) -> list[dict[str, Any]]:
    path = store.root / "copies.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def names_in(store: Store) -> list[str]:
    return sorted(path.name for path in store.sessions_dir.iterdir())


def names_of(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def tree_of(root: Path) -> dict[str, bytes]:
    """Every plain file below a directory with its content."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def event_count(store: Store) -> int:
    connection = cleared_tables("copied")
    project(store, connection)
    return len(rows_of(connection, "events"))


def blob_of(directory: Path, data: bytes, name: str | None = None) -> str:
    digest = name or hashlib.sha256(data).hexdigest()
    (directory / "blobs").mkdir(exist_ok=True)
    (directory / "blobs" / digest).write_bytes(data)
    return digest
