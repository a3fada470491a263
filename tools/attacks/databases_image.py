"""A database file with the logs that it was made of, and what may be read of it afterwards.

The logs go on a little further than the file, so that whoever looks has something to write. A
file is put in place while nobody has it open: DuckDB's locks would be lost otherwise.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sample_action import ACTION

from projections import layout
from projections.database import Connection, connect
from projections.definitions import CONTENT_TABLES, DERIVED_INCIDENTS, INCIDENTS, Table
from projections.projector import catch_up
from projections.work import Projector
from provenance_log.appender import Appender
from provenance_log.store import Store, initialise_store, open_store

Content = Mapping[str, tuple[Any, ...]]
"""For every table of ours how many rows it has, and the sum of their hashes.

What a rebuild need not give again (inodes, incidents of the past) is left out, as in a dump; to
dump the rows themselves takes three times as long.
"""

SESSIONS = 3
LINES = 40
PENDING = 3
"""Lines of each log that the file knows nothing of."""

_THEIRS = """
CREATE TABLE media (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
INSERT INTO media SELECT i, 'medium ' || i FROM range(3000) t(i);
CREATE INDEX media_name ON media(name);
"""
_THEIR_ROWS = "SELECT count(*), sum(hash(id, name)::HUGEINT) FROM media"
_KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"status": "failure", "error": {"code": "e", "message": "m"}},
    {"event_type": "decision", "type": "decision", "details": {"decision_point": "p"}},
    {"event_type": "transformation", "details": {"input_size": 3}},
    {"entity_links": [{"entity_table": "media", "entity_id": "m1", "link_type": "read"}]},
)


@dataclass(frozen=True, slots=True)
class Harmed:
    """What is put where a database and its write-ahead log are; None for no file."""

    name: str
    database: bytes | None
    wal: bytes | None


@dataclass(frozen=True, slots=True)
class Image:
    """A database as it was closed or left, and the store that it belongs to."""

    store: Store
    database: bytes
    wal: bytes | None
    readable: tuple[Content, ...]
    """What a reader may find in it: more than one content where a log of it may be lost."""
    caught_up: Content
    """What is in it when everything in the logs is projected."""
    logs: Mapping[Path, bytes]
    newer: bytes
    """The database after everything is projected, so of a later checkpoint than its log."""
    theirs: object = None
    """What somebody else's tables in it hold; None where there are none."""

    @property
    def is_own(self) -> bool:
        """Whether the database is the store's own, in which nobody else has tables."""
        return self.theirs is None

    def put(self, harmed: Harmed | None = None) -> None:
        """Put these files where the database is, or the whole ones, and nothing else."""
        path = self.store.database
        for old in path.parent.glob(f"{path.name}*"):
            old.unlink()
        found = harmed or Harmed("whole", self.database, self.wal)
        for place, data in ((path, found.database), (wal_of(path), found.wal)):
            if data is not None:
                place.write_bytes(data)

    def changed_logs(self) -> list[str]:
        """Return the logs that are not what they were, a sentence each."""
        return [
            f"the log {path.parent.name} was changed"
            for path, before in self.logs.items()
            if path.read_bytes() != before
        ]


def wal_of(database: Path) -> Path:
    """Return where DuckDB keeps the write-ahead log of a database."""
    return database.with_name(f"{database.name}.wal")


def make_image(
    directory: Path, *, is_shared: bool = False, pending: int = PENDING, text: str = ""
) -> Image:
    """Record some sessions, project them, and append lines more to each, with a text in them."""
    store = _store(directory, is_shared=is_shared)
    for number in range(SESSIONS):
        begin_log(store, number, LINES)
    catch_up(store)
    theirs = _put_theirs(store) if is_shared else None
    known = content_of(store)
    append_to_all(store, pending, text)
    return _image(store, (known,), theirs)


def make_image_with_wal(
    directory: Path,
    *,
    steps: int = 6,
    lines: int = PENDING,
    text: str = "",
    is_shared: bool = False,
) -> Image:
    """Make an image whose writer was killed, after so many transactions of so many lines each.

    A reader may find it as it is after any of them: a write-ahead log may be lost from any point.
    """
    plain = make_image(directory, is_shared=is_shared)
    store = plain.store
    note = directory / "sizes"
    child = start_child(lambda: _project_and_die(store, note, steps, lines, text))
    assert end_child(child) == -signal.SIGKILL
    readable = [*plain.readable]
    for noted in note.read_text("ascii").splitlines():
        sizes = (int(item) for item in noted.split())
        names = (item.path.name for item in store.session_directories())
        readable.append(replayed(store, dict(zip(names, sizes, strict=True))))
    append_to_all(store, PENDING)
    return _image(store, tuple(readable), plain.theirs)


def _image(store: Store, readable: tuple[Content, ...], theirs: object) -> Image:
    """Take the files as they are now, and those after catching up."""
    wal = wal_of(store.database)
    database, log = store.database.read_bytes(), wal.read_bytes() if wal.exists() else None
    catch_up(store)
    caught_up = replayed(store)
    return Image(
        store,
        database,
        log,
        (*readable, caught_up),
        caught_up,
        logs_of(store),
        store.database.read_bytes(),
        theirs,
    )


def _project_and_die(store: Store, note: Path, steps: int, lines: int, text: str) -> None:
    """Project step by step, note how long the logs were, and leave the database as it is."""
    projector = Projector(store)
    with connect(store.database, read_only=False) as connection, note.open("w") as file:
        for _ in range(steps):
            projector.run(connection)
            sizes = (item.log.stat().st_size for item in store.session_directories())
            file.write(" ".join(map(str, sizes)) + "\n")
            append_to_all(store, lines, text)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def begin_log(store: Store, number: int, lines: int) -> None:
    """Make a session with a line of each kind in turn, and one that is no action."""
    directory = store.sessions_dir / f"2026-01-0{number + 1}-10-00"
    directory.mkdir(mode=0o700)
    session = {"session_id": f"session-{number}", "agent_type": "example", "query": "why?"}
    with closing(Appender(directory / "actions.jsonl")) as appender:
        begin = {"event_type": "lifecycle", "event_name": "session_start"}
        appender.append(ACTION | begin | {"details": {"session": session}})
        for count in range(lines):
            appender.append(ACTION | _KINDS[count % len(_KINDS)])
    with (directory / "actions.jsonl").open("ab") as file:
        file.write(b"not an action\n")


def append_to_all(store: Store, lines: int, text: str = "") -> None:
    """Append so many lines to every log, each with a text in it."""
    action = ACTION | {"context": {"text": text}}
    for directory in store.session_directories():
        with closing(Appender(directory.log)) as appender:
            for _ in range(lines):
                appender.append(action)


def content_of(store: Store) -> Content:
    """Return what a reader finds in the database; raises what `connect` raises."""
    with connect(store.database, read_only=True) as connection:
        return content(connection)


def content(connection: Connection) -> Content:
    """Read every value of an open database's tables, but for what follows from no log."""
    return {table.name: _content_of_table(connection, table) for table in CONTENT_TABLES}


def _content_of_table(connection: Connection, table: Table) -> tuple[Any, ...]:
    names, _, _ = connection.table(f"FROM {table.name} LIMIT 0")
    columns = ", ".join(name for name in names if name not in table.volatile)
    kinds = ", ".join(f"'{kind}'" for kind in DERIVED_INCIDENTS)
    condition = f" WHERE kind IN ({kinds})" if table is INCIDENTS else ""
    (found,) = connection.execute(
        f"SELECT count(*), sum(hash({columns})::HUGEINT) FROM {table.name}{condition}"
    )
    return (names, *found)


def their_content(image: Image) -> object:
    """Return what is in somebody else's tables; None where the image has none."""
    if image.theirs is None:
        return None
    with connect(image.store.database, read_only=True) as connection:
        return connection.execute(_THEIR_ROWS)


def replayed(store: Store, limits: Mapping[str, int] | None = None) -> Content:
    """Return what the logs give, each up to its limit, in a database of its own."""
    side = store.root.parent / "side.duckdb"
    projector = Projector(store)
    with connect(side, read_only=False) as connection:
        layout.create_tables(connection)
        projector.plan(limits)
        projector.apply_all(connection)
        found = content(connection)
    side.unlink()
    return found


def logs_of(store: Store) -> dict[Path, bytes]:
    """Return the bytes of every log."""
    return {item.log: item.log.read_bytes() for item in store.session_directories()}


def start_child(work: Callable[[], None]) -> int:
    """Do some work in a copy of this process, and return its pid; it ends without cleaning up.

    Ten times as cheap as a new interpreter that imports DuckDB. No database may be open here.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)  # nothing of the parent's may be done twice
    return pid


def end_child(pid: int) -> int:
    """Wait for a child; returns its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _store(directory: Path, *, is_shared: bool) -> Store:
    root = directory / "store"
    initialise_store(root)
    return open_store(root, directory / "shared.duckdb" if is_shared else None)


def _put_theirs(store: Store) -> object:
    with connect(store.database, read_only=False) as connection:
        for statement in _THEIRS.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        return connection.execute(_THEIR_ROWS)
