"""Databases of other versions: a newer one is refused and left alone, an older one made anew (C4).

There has been one layout so far, so an older database is one in which a table has another
fingerprint, other columns or no place at all, and one of schema 1.0.0, which had no fingerprints.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from attacks.databases_image import Image, make_image
from attacks.databases_looks import project, watch
from attacks.effort import Effort
from attacks.scoring import Attacked
from projections.daemon import Daemon
from projections.database import connect
from projections.definitions import LAYOUT_VERSION, TABLE_NAMES, fingerprints
from projections.projector import catch_up
from projections.rebuild import rebuild
from provenance_log import lock_files
from provenance_log.errors import DatabaseNewer
from provenance_log.store import Store

_WATCHED_EVERY = 4
_STALE = "UPDATE provenance_definitions SET fingerprint = 'of another version' WHERE name = ?"


def layouts(effort: Effort) -> list[Attacked]:
    """Meet every kind of older and newer database, our own and a shared one; ignores the seed."""
    row = Attacked("databases: other versions", "databases")
    for is_shared in (False, True):
        directory = effort.directory / f"layouts-{'shared' if is_shared else 'own'}"
        directory.mkdir()
        image = make_image(directory, is_shared=is_shared)
        for (name, statements), number in zip(_older(), effort.numbers(), strict=False):
            _changed(image, statements)
            by_daemon = image.is_own and number % _WATCHED_EVERY == 0
            found = watch(image, lambda: None, is_up=False) if by_daemon else project(image)
            row.violated(found, name)
            row.injected += 1
            row.runs += 1
        _changed(
            image, [f"UPDATE provenance_definitions SET layout_version = {LAYOUT_VERSION + 1}"]
        )
        row.violated(_refused(image), "a newer layout")
        row.injected += 1
        row.runs += 1
        if not row.violations:
            shutil.rmtree(directory)
    return [row]


def _older() -> Iterator[tuple[str, Sequence[str]]]:
    for name in fingerprints():
        yield f"{name} of another version", [_STALE.replace("?", f"'{name}'")]
    for name in TABLE_NAMES:
        if name != "provenance_definitions":
            yield f"{name} is not there", [f"DROP TABLE {name}"]
    for name in ("events", "tool_calls", "sessions"):
        table = f"provenance_{name}"
        yield (
            f"{table} with other columns",
            [
                f"CREATE OR REPLACE TABLE {table} AS SELECT session_id, 1 AS older FROM {table}",
                _STALE.replace("?", f"'{table}'"),
            ],
        )
    yield (
        "a table that there is no more",
        [
            "CREATE TABLE forgotten (a INTEGER)",
            f"INSERT INTO provenance_definitions VALUES ('forgotten', 'x', {LAYOUT_VERSION})",
        ],
    )


def _changed(image: Image, statements: Sequence[str]) -> None:
    image.put()
    with connect(image.store.database, read_only=False) as connection:
        for statement in statements:
            connection.execute(statement)


def _refused(image: Image) -> Iterator[str]:
    """Yield what is wrong with how a newer database is met: its bytes stay what they are."""
    before = image.store.database.read_bytes()
    for what, meet in (("project", catch_up), ("rebuild", rebuild)):
        try:
            meet(image.store)
            yield f"`{what}` wrote to a newer database"
        except DatabaseNewer as error:
            if not error.hint:
                yield f"`{what}` does not say what to do"
    _meet_as_daemon(image.store)
    if image.store.database.read_bytes() != before:
        yield "a newer database was changed"
    yield from image.changed_logs()


def _meet_as_daemon(store: Store) -> None:
    daemon = Daemon(store, lambda _: None, is_polling=True)
    with lock_files.exclusive_lock(store.projector_lock):
        daemon.run_locked(daemon.stop)
