"""What the text of a DuckDB error means: the one place that reads such texts.

DuckDB has few error classes for what can be wrong with a file, so the message decides. A message
this module does not know becomes a `ProvlogError` with the whole text, never a wrong diagnosis.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from projections.holders import command_of
from provenance_log.errors import (
    DatabaseCorrupt,
    DatabaseHeld,
    DatabaseNewer,
    NotADatabase,
    ProvlogError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELD = "Could not set lock on file"

_HOLDER = re.compile(r"held in (.*?) \(PID (\d+)\)")
_MAGIC = b"DUCK"
_MAGIC_OFFSET = 8

_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_NO_MEMORY = (
    "Out of Memory Error",
    # What it says behind another word, as in "Failed to commit: could not allocate block".
    "could not allocate block",
    "failed to pin block",
    "failed to allocate data",
    "failed to offload data block",
    "failed to reserve memory",
    "failed to resize block",
    "Failed to allocate block",
)
_DENIED = ("Permission denied", "Read-only file system", "Operation not permitted")
_CORRUPT = (
    "Corrupt database file",
    "Could not read enough bytes",
    "Failed to load metadata pointer",
    "Serialization Error",
    "database has been invalidated",
    "Failure while replaying WAL",
    "INTERNAL Error",
)


class StatementRefused(ProvlogError):
    """DuckDB could not run a statement, or could not convert a value; nothing was changed."""


class MemoryShort(ProvlogError):
    """DuckDB had too little memory for a statement or a commit; no line is to blame for it."""


def refusal(path: Path, error: Exception, *, is_open: bool) -> ProvlogError:
    """Return the error of ours for an error of DuckDB.

    `is_open` says that this process has the file open; then its bytes must not be looked at.
    """
    text = str(error)
    for words, make in _KNOWN:
        if any(word in text for word in words):
            return make(path, text)
    if is_open or not path.is_file():
        first_line = text.partition("\n\n")[0]
        return StatementRefused(first_line, path=path)
    if _has_magic(path):
        return _corrupt(path, text)
    return NotADatabase(
        "the file is not a DuckDB database; it was left alone",
        path=path,
        hint="give another path with --db, or move the file away",
    )


def _held(path: Path, text: str) -> ProvlogError:
    found = _HOLDER.search(text)
    holder = "another process"
    if found:
        pid = int(found[2])
        whose = "this very process" if pid == os.getpid() else f"process {pid}"
        holder = f"{whose} ({command_of(pid) or found[1]})"
    hint = "close it there, or wait: nothing is lost, the logs keep growing"
    return DatabaseHeld(f"the database is held by {holder}", path=path, hint=hint)


def _in_use_here(path: Path, _text: str) -> ProvlogError:
    return DatabaseHeld("this very process has the database open in another way", path=path)


def _newer(path: Path, text: str) -> ProvlogError:
    message = f"the database was made by a newer DuckDB ({text.partition(chr(10))[0]})"
    return DatabaseNewer(message, path=path, hint="run `pip install -U duckdb`")


def _full(path: Path, _text: str) -> ProvlogError:
    hint = "free some space and run `provlog project` again: nothing is lost"
    return ProvlogError("the disk is full", path=path, hint=hint)


def _no_memory(path: Path, text: str) -> ProvlogError:
    message = f"DuckDB has too little memory for this ({text.partition(chr(10))[0]})"
    hint = "free some memory and disk space and run `provlog project` again: nothing is lost"
    return MemoryShort(message, path=path, hint=hint)


def _denied(path: Path, text: str) -> ProvlogError:
    hint = "check the permissions of the file and of its directory"
    return ProvlogError(f"the database can't be opened: {text}", path=path, hint=hint)


def _missing(path: Path, _text: str) -> ProvlogError:
    return ProvlogError("there is no database", path=path, hint="run `provlog project`")


def _no_directory(path: Path, _text: str) -> ProvlogError:
    message = "the directory for the database does not exist"
    return ProvlogError(message, path=path, hint=f"make {path.parent}, or give another --db")


def _corrupt(path: Path, text: str) -> ProvlogError:
    hint = "run `provlog rebuild`: everything in the database comes from the logs"
    first_line = text.partition("\n")[0]
    return DatabaseCorrupt(f"the database can't be read ({first_line})", path=path, hint=hint)


_KNOWN: tuple[tuple[tuple[str, ...], Callable[[Path, str], ProvlogError]], ...] = (
    ((HELD,), _held),
    (("different configuration",), _in_use_here),
    (("Trying to read a database file with version",), _newer),
    (("database does not exist",), _missing),
    (_FULL, _full),
    (_NO_MEMORY, _no_memory),
    (_DENIED, _denied),
    (_CORRUPT, _corrupt),
    (("No such file or directory",), _no_directory),
)


def _has_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC_OFFSET + len(_MAGIC))[_MAGIC_OFFSET:] == _MAGIC
    except OSError:
        return False
