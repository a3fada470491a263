"""Whether the tables are what a rebuild would make of the same logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from projections import layout
from projections.database import Connection, connect
from projections.dump import differing_rows_of_other
from projections.work import Projector
from provenance_log.errors import DatabaseHeld
from provenance_log.store import Store

_WAIT_S = 30.0
_RETRY_S = 0.02
_BATCH_BYTES = 64 * 1024 * 1024


def differing_tables(store: Store, directory: Path) -> dict[str, int]:
    """Return the tables that are not what their logs give, with the number of rows.

    The database is open for reading meanwhile, so that a daemon may work and the logs may grow;
    only what the checkpoints say is projected is compared.
    """
    side = directory / "side.duckdb"
    side.unlink(missing_ok=True)
    with connect(side, read_only=False) as connection:
        layout.create_tables(connection)
        with _attached(connection, store.database):
            sql = "SELECT log, line_offset FROM other.provenance_checkpoints"
            limits = dict(connection.execute(sql))
            projector = Projector(store, batch_bytes=_BATCH_BYTES)
            projector.plan(limits)
            projector.apply_all(connection)
            differing = differing_rows_of_other(connection)
    side.unlink()
    return differing


@contextmanager
def _attached(connection: Connection, database: Path) -> Iterator[None]:
    """Attach a database as `other`, as soon as nobody writes to it."""
    deadline = time.monotonic() + _WAIT_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(connection.attached(database, "other"))
                break
            except DatabaseHeld:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)
        yield
