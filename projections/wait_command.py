"""`provlog wait`: parse and wait."""

from __future__ import annotations

from pathlib import Path

import click

from provenance_log.commands import store_options
from provenance_log.session_names import find_session_log
from provenance_log.store import open_store


@click.command()
@click.argument("session", required=False)
@store_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after this long, with exit code 1.",
)
def wait(session: str | None, root: Path | None, database: Path | None, timeout_s: float) -> None:
    """Return when everything appended so far is visible in SQL.

    Needs somebody who projects: `provlog daemon`, or a `provlog project` that runs meanwhile.
    With SESSION (its id, the beginning of one, its directory, or latest) only that session
    counts. Lines that can't be read count as visible once they are in the quarantine.

    \b
    Example:
      provlog wait && provlog query "SELECT count(*) FROM provenance_events"
      provlog wait 2026-01-10-14-30 --timeout 5
    """
    from projections.waiting import wait_until_visible  # noqa: PLC0415 - brings in DuckDB

    store = open_store(root, database)
    if session is None:
        directories = store.session_directories()
    else:
        directories = [find_session_log(store, session).directory]
    wait_until_visible(store, directories, timeout_s=timeout_s)
