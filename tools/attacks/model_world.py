"""A store on disk and, beside it in memory, what each log must hold: every change is made twice.

A `Place` is a session's directory. What is done to its log from outside is done here to the file
and to the bytes in memory; what our own programs do to it, the bytes in memory predict.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unittest.mock import patch

from attacks.model_bytes import Head, lines_of, session_of
from provenance_log.store import DATABASE_NAME, LOG_NAME, SessionDirectory, Store, initialise_store

Form = Literal["plain", "hard link", "symlink"]

_FIRST_TICK_S = 1_000_000
_LINES_MAX = 40


@dataclass(slots=True)
class Place:
    """A session's directory; `data` is None where it has no log."""

    data: bytes | None
    form: Form = "plain"
    heads: list[Head] = field(default_factory=list)
    """Ends of this log that somebody noted, the last one last."""


@dataclass(frozen=True, slots=True)
class Archived:
    """What the archive holds of a session."""

    directory: str
    data: bytes
    keep_rows: bool


class World:
    """One store and its model."""

    def __init__(self, directory: Path, name: str = "store") -> None:
        """Make an empty store."""
        root = directory / name
        initialise_store(root)
        self.store = Store(root, root / DATABASE_NAME)
        self.elsewhere = directory / f"beside-{name}"
        self.elsewhere.mkdir()
        self.places: dict[str, Place] = {}
        self.archived: dict[str, Archived] = {}
        self._names = 0
        self._ticks = 0

    def directory(self, name: str) -> SessionDirectory:
        """Return the directory of a place."""
        return SessionDirectory(name, self.store.sessions_dir / name)

    def log(self, name: str) -> Path:
        """Return the path of the log of a place."""
        return self.store.sessions_dir / name / LOG_NAME

    def inode(self, name: str) -> int | None:
        """Return the inode that the path of a log names, None where it names nothing."""
        try:
            return os.lstat(self.log(name)).st_ino
        except OSError:
            return None

    def free_name(self) -> str:
        """Return a name that no directory has or had."""
        self._names += 1
        return f"d{self._names}"

    def number(self) -> int:
        """Return another number each time; also what tells two lines apart."""
        self._ticks += 1
        return self._ticks

    def readable(self, name: str) -> bytes | None:
        """Return what a reader finds in a log; None for no log, and for what is no plain file."""
        place = self.places.get(name)
        return None if place is None or place.form == "symlink" else place.data

    def logs(self, *, plain: bool = False) -> list[str]:
        """Return the places whose log can be read, or has no other name besides."""
        return [
            name
            for name in sorted(self.places)
            if self.readable(name) is not None and (not plain or self.places[name].form == "plain")
        ]

    def sessions(self) -> dict[str, list[str]]:
        """Return the places of each session, in order."""
        found: dict[str, list[str]] = {}
        for name in self.logs():
            session_id = session_of(self.readable(name) or b"")
            if session_id is not None:
                found.setdefault(session_id, []).append(name)
        return found

    def data(self, name: str) -> bytes:
        """Return what a log must hold."""
        return self.places[name].data or b""

    def is_full(self, name: str) -> bool:
        """Say whether a log has as many lines as the model can afford."""
        return len(lines_of(self.data(name))) >= _LINES_MAX

    def make(self, name: str, data: bytes | None) -> None:
        """Make a directory, with a log unless that is None."""
        self.directory(name).path.mkdir()
        self.places[name] = Place(data)
        if data is not None:
            self.log(name).write_bytes(data)
            self.touch(name)

    def overwrite(self, name: str, data: bytes) -> None:
        """Let the same file hold other bytes."""
        with self.log(name).open("r+b") as file:
            file.truncate(len(data))
            file.write(data)
        self.places[name].data = data
        self.touch(name)

    def add(self, name: str, data: bytes) -> None:
        """Add bytes to the end, without a lock and without looking at what is there."""
        with self.log(name).open("ab") as file:
            file.write(data)
        self.places[name].data = self.data(name) + data
        self.touch(name)

    def replace(self, name: str, data: bytes) -> None:
        """Put another file in the place of the log, as most editors save."""
        other = self.log(name).with_name("saved")
        other.write_bytes(data)
        other.replace(self.log(name))
        place = self.places[name]
        place.data, place.form = data, "plain"
        self.touch(name)

    def touch(self, name: str) -> None:
        """Let time pass: two changes within one tick of the file system's clock look like one."""
        at = (_FIRST_TICK_S + self.number()) * 10**9
        os.utime(self.log(name), ns=(at, at), follow_symlinks=False)

    def remove(self, name: str) -> Place:
        """Delete a directory and return what it held."""
        shutil.rmtree(self.directory(name).path)
        return self.places.pop(name)

    def rename(self, name: str, other: str) -> None:
        """Give a directory another name."""
        self.directory(name).path.rename(self.directory(other).path)
        self.places[other] = self.places.pop(name)

    def copy(self, name: str, other: str) -> None:
        """Copy a directory as `cp -r` does."""
        shutil.copytree(self.directory(name).path, self.directory(other).path, symlinks=True)
        place = self.places[name]
        form: Form = "symlink" if place.form == "symlink" else "plain"
        self.places[other] = Place(place.data, form, list(place.heads))
        if place.data is not None:
            self.touch(other)

    def differences(self) -> list[str]:
        """Return the logs that are not what they must be, and directories nobody asked for."""
        found = []
        for name, place in self.places.items():
            log = self.log(name)
            if place.data is None:
                found += [f"{name} has a log"] if os.path.lexists(log) else []
            elif not log.exists() or log.read_bytes() != place.data:
                found.append(f"{name} does not hold what it must")
        names = Counter(path.name for path in self.store.sessions_dir.iterdir())
        if names.keys() != self.places.keys():
            found.append(f"there are the directories {sorted(names)}, not {sorted(self.places)}")
        return found


@contextmanager
def without_syncs() -> Iterator[None]:
    """Let nothing wait for the disk: what a power cut does is another attack's business."""
    with patch.object(os, "fsync", _pass), patch.object(os, "fdatasync", _pass):
        yield


def _pass(_fd: int) -> None:
    pass
