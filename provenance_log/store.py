"""Where things are: the root, the sessions below it, and the index from session id to directory.

The root is found from the working directory upwards, as git finds its own. A session's directory
is named after its start minute for people; its identity is the session id in its log.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provenance_log import files
from provenance_log.errors import READ_HINT, ProvlogError, StoreNotFound, StoreNotWritable
from provenance_log.reader import read_first_line, session_id_of_log
from provenance_log.unnamed_files import make_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT_BELOW_PROJECT = Path(".claude") / "provenance"
LOG_NAME = "actions.jsonl"
MANIFEST_NAME = "manifest.yaml"
SUMMARY_NAME = "summary.md"
DATABASE_NAME = "provenance.duckdb"
CONFIG_NAME = "config.yaml"
ENV_ROOT = "PROVENANCE_ROOT"
ENV_DATABASE = "PROVENANCE_DB"

_NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_NAME_LENGTH_MAX = 128
_MINUTE_NAME = re.compile(r"(\d{4}(?:-\d\d){4})-\d+")
_STEM_LENGTH_MAX = 120
_RESERVED_STEMS = frozenset(
    {"con", "prn", "aux", "nul"}.union(f"{port}{n}" for port in ("com", "lpt") for n in range(10))
)
_DATABASE_SETTING = (  # compiled where it is needed: a recorder does not ask for the database
    r"""^database:\s*(?:"([^"]*)"|'((?:[^']|'')*)'|((?:[^#\n]|(?<=\S)#)*?))\s*(?:\s#.*)?$"""
)
_TEMPLATES = {
    "README.md": "README.md",
    "action-types.yaml": "action-types.yaml",
    "manifest-template.yaml": "manifest-template.yaml",
    ".gitignore": "gitignore",
}


@dataclass(frozen=True, slots=True)
class SessionDirectory:
    """A directory of a session; its log may be missing."""

    name: str
    path: Path

    @property
    def log(self) -> Path:
        """The path of the log."""
        return self.path / LOG_NAME


@dataclass(frozen=True, slots=True)
class InitReport:
    """What `initialise_store` made, and what it found in place, as paths below the root."""

    root: Path
    database: Path
    created: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """The paths of one store, and its sessions."""

    root: Path
    database: Path

    @property
    def sessions_dir(self) -> Path:
        """The directory of all sessions."""
        return self.root / "sessions"

    @property
    def indices_dir(self) -> Path:
        """The directory of derived indices."""
        return self.root / "indices"

    @property
    def by_id_dir(self) -> Path:
        """One small file per session id, which holds the name of its directory."""
        return self.indices_dir / "by-id"

    @property
    def archive_dir(self) -> Path:
        """The directory of archived sessions, and of their index."""
        return self.root / "archive"

    @property
    def projector_lock(self) -> Path:
        """The lock of the one projector."""
        return self.root / "projector.lock"

    def session_directories(self) -> list[SessionDirectory]:
        """Return the session directories in bytewise order of their names.

        Left out: names that are not safe (see `unsafe_names`), symlinks, and plain files.
        Raises `StoreNotFound` when `sessions/` itself is not there.
        """
        return [
            SessionDirectory(entry.name, Path(entry.path))
            for entry in self._entries()
            if is_safe_name(entry.name)
        ]

    def unsafe_names(self) -> list[str]:
        """Return the names of directories that are passed over because they are not safe."""
        return [entry.name for entry in self._entries() if not is_safe_name(entry.name)]

    def create_session_directory(self, started_at: datetime) -> SessionDirectory:
        """Make a directory named after the start minute (UTC), exclusively.

        A second session of the same minute gets `-2`, a third `-3`, and so on, however many
        processes ask at once. Raises `StoreNotWritable`.
        """
        minute = started_at.astimezone(UTC).isoformat(timespec="minutes")[:16]
        minute = minute.replace("T", "-").replace(":", "-")
        number = 1
        while True:
            name = minute if number == 1 else f"{minute}-{number}"
            path = self.sessions_dir / name
            try:
                files.make_directory(path)
            except FileExistsError:
                number += 1
            except OSError as error:
                raise _not_writable(path, error) from error
            else:
                return SessionDirectory(name, path)

    def find_session(self, session_id: str) -> SessionDirectory | None:
        """Return the directory of a session, through the index and without a scan if it is right.

        A missing or wrong entry is healed: all logs are looked at once and the index corrected,
        if the store can be written. Of several directories with the same session the bytewise
        first is returned.
        """
        directory = self.find_indexed_session(session_id)
        if directory is not None:
            return directory
        for directory in self.session_directories():
            if read_session_id(directory) == session_id:
                with suppress(StoreNotWritable):
                    self.register_session(session_id, directory.name)
                return directory
        with suppress(OSError):
            (self.by_id_dir / index_entry_name(session_id)).unlink(missing_ok=True)
        return None

    def find_indexed_session(self, session_id: str) -> SessionDirectory | None:
        """Return the directory of a session if the index has it right, without looking further."""
        try:
            name = (self.by_id_dir / index_entry_name(session_id)).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if not is_safe_name(name):
            return None
        directory = SessionDirectory(name, self.sessions_dir / name)
        return directory if read_session_id(directory) == session_id else None

    def register_session(self, session_id: str, name: str) -> None:
        """Note in the index which directory a session is in; raises `StoreNotWritable`."""
        try:
            self.by_id_dir.mkdir(mode=files.DIRECTORY_MODE, parents=True, exist_ok=True)
            entry = self.by_id_dir / index_entry_name(session_id)
            make_anew(entry, f"{name}\n".encode())
        except OSError as error:
            raise _not_writable(self.by_id_dir, error) from error

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.sessions_dir) as found:
                entries = [e for e in found if e.is_dir(follow_symlinks=False)]
        except FileNotFoundError as error:
            message = "the store has no sessions directory"
            hint = "run `provlog init` here, or mount the disk that holds it"
            raise StoreNotFound(message, path=self.sessions_dir, hint=hint) from error
        except OSError as error:
            message = error.strerror or str(error)
            raise ProvlogError(message, path=self.sessions_dir, hint=READ_HINT) from error
        return iter(sorted(entries, key=lambda entry: os.fsencode(entry.name)))


def index_entry_name(session_id: str) -> str:
    """Return the name of a session's file in `indices/by-id`, whatever the id holds."""
    if is_safe_name(session_id):
        return session_id
    digest = hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256-{digest}"


def is_safe_name(name: str) -> bool:
    """Say whether a name may be used for a file or directory of the store (invariant D4)."""
    return (
        0 < len(name) <= _NAME_LENGTH_MAX
        and not name.strip(_NAME_CHARACTERS)
        and name[0] not in "._-"
        and name[-1] != "."
        and name.partition(".")[0].lower() not in _RESERVED_STEMS
    )


def next_free_name(wanted: str, is_taken: Callable[[str], bool]) -> str:
    """Return `wanted`, or the first of `wanted-2`, `wanted-3` … that is not taken.

    The number of a session of the same minute is counted on, not added to.
    """
    minute = _MINUTE_NAME.fullmatch(wanted)
    stem = minute[1] if minute else wanted[:_STEM_LENGTH_MAX]
    name, number = wanted, 1
    while is_taken(name):
        number += 1
        name = f"{stem}-{number}"
    return name


def read_session_id(directory: SessionDirectory) -> str | None:
    """Return the identity of the session in a directory; None without a log or a first line."""
    raw = read_first_line(directory.log)
    return None if raw is None else session_id_of_log(raw)


def find_root(start: Path | None = None) -> Path:
    """Return the root of the nearest store at or above a directory; raises `StoreNotFound`."""
    given = os.environ.get(ENV_ROOT)
    if given:
        return _existing_root(Path(given).expanduser())
    try:
        start = (start or Path.cwd()).absolute()
    except FileNotFoundError as error:
        raise StoreNotFound("the working directory is gone", hint="give --root") from error
    for directory in (start, *start.parents):
        root = directory / ROOT_BELOW_PROJECT
        if _has_sessions(root):
            return root
        if directory.name == "provenance" and _has_sessions(directory):
            return directory
    message = "no store here or in any directory above"
    raise StoreNotFound(message, path=start, hint="run `provlog init` to make one here")


def open_store(root: Path | None = None, database: Path | None = None) -> Store:
    """Return the store at `root`, or the nearest one; raises `StoreNotFound`.

    The database is `database`, else the environment's PROVENANCE_DB, else what `config.yaml`
    says (relative to the project that holds `.claude`), else `provenance.duckdb` in the root.
    """
    root = find_root() if root is None else _existing_root(root)
    if database is None and os.environ.get(ENV_DATABASE):
        database = Path(os.environ[ENV_DATABASE]).expanduser()
    if database is None:
        database = _configured_database(root) or root / DATABASE_NAME
    return Store(root, database.absolute())


def initialise_store(root: Path, database: Path | None = None) -> InitReport:
    """Make whatever a store lacks, and change nothing that is there.

    A database path given here is written to `config.yaml` unless that file exists already.
    Raises `StoreNotWritable`.
    """
    root = root.absolute()
    created: list[str] = []
    kept: list[str] = []
    try:
        files.make_directories(root)
        for name in ("sessions", "indices", "indices/by-id"):
            is_new = not (root / name).is_dir()
            (root / name).mkdir(mode=files.DIRECTORY_MODE, exist_ok=True)
            (created if is_new else kept).append(f"{name}/")
        for name, content in _initial_files(database).items():
            path = root / name
            is_new = not path.exists() and files.create_atomically(path, content)
            (created if is_new else kept).append(name)
    except OSError as error:
        raise _not_writable(root, error) from error
    return InitReport(root, open_store(root, database).database, tuple(created), tuple(kept))


def _initial_files(database: Path | None) -> dict[str, bytes]:
    # Both are needed once in the life of a store, and a recorder lives for one line.
    from importlib import resources  # noqa: PLC0415

    from provenance_log import schema  # noqa: PLC0415

    templates = resources.files("provenance_log") / "templates"
    content = {name: (templates / source).read_bytes() for name, source in _TEMPLATES.items()}
    content["metadata-schema.json"] = schema.json_schema_text().encode()
    if database is not None:
        quoted = str(database.absolute()).replace("'", "''")
        content[CONFIG_NAME] = f"# The database of this store.\ndatabase: '{quoted}'\n".encode()
    return content


def _configured_database(root: Path) -> Path | None:
    """Read the one setting that the write side needs to know, without a YAML parser."""
    try:
        lines = (root / CONFIG_NAME).read_text("utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        message, path = f"can't be read: {error}", root / CONFIG_NAME
        raise ProvlogError(message, path=path, hint=READ_HINT) from error
    for line in lines:
        match = re.match(_DATABASE_SETTING, line)
        if match:
            double, single, plain = match.groups()
            value = double or (single or "").replace("''", "'") or plain
            if value and value not in ("null", "~"):
                return project_of(root) / Path(value).expanduser()
    return None


def project_of(root: Path) -> Path:
    """Return the directory of the project that a store is in; the root itself of any other."""
    is_below_project = root.parts[-2:] == ROOT_BELOW_PROJECT.parts
    return root.parent.parent if is_below_project else root


def _existing_root(root: Path) -> Path:
    root = root.absolute()
    if _has_sessions(root):
        return root
    if _has_sessions(root / ROOT_BELOW_PROJECT):
        return root / ROOT_BELOW_PROJECT
    hint = f"run `provlog init --root {root}` to make one there"
    raise StoreNotFound("no store in this directory", path=root, hint=hint)


def _has_sessions(root: Path) -> bool:
    try:
        return (root / "sessions").is_dir()
    except PermissionError:
        return False  # a directory on the way up that is not ours to look into


def _not_writable(path: Path, error: OSError) -> StoreNotWritable:
    reason = error.strerror or str(error)
    hint = "check the permissions of this directory"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space and run the command again"
    return StoreNotWritable(f"can't be written: {reason}", path=error.filename or path, hint=hint)
