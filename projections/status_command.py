"""`provlog status`: look, acknowledge if asked to, print, and say by the exit code how it is."""

from __future__ import annotations

from pathlib import Path

import click

from projections.acknowledging import acknowledge as note_as_seen
from projections.commands import wait_option
from projections.printing import json_text
from projections.status import read_status
from projections.status_page import status_page
from provenance_log.commands import json_option, store_options
from provenance_log.store import open_store


@click.command()
@store_options
@wait_option(2.0)
@json_option
@click.option(
    "--acknowledge",
    is_flag=True,
    help="Note that you have seen these past incidents and lines in quarantine.",
)
@click.pass_context
def status(
    context: click.Context,
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    acknowledge: bool,
) -> None:
    """Say what is behind, damaged, in use or odd, and how the daemon is.

    Exit code 1 when something needs a person: lines in quarantine, incidents, stale tables, a
    database that is held for longer than --wait or that can't be read, a daemon that fails or
    lets lines wait for more than a minute. Being behind is none, nor polling, nor no daemon.

    Lines in quarantine and past incidents stay for ever. What --acknowledge shows needs nobody
    any more; what comes later does. Duplicates and forks can't be acknowledged: they go when
    the directories are put right.

    \b
    Example:
      provlog status
      provlog status --json | jq .pending_lines
      provlog status --acknowledge
    """
    store = open_store(root, database)
    report = read_status(store, wait_s=wait_s)
    if acknowledge and report.is_projected:
        note_as_seen(store, report.incidents, report.quarantine)
        report = read_status(store, wait_s=wait_s)
    elif acknowledge:
        click.echo("note: nothing was acknowledged, as no database could be read", err=True)
    click.echo(json_text(report) if as_json else status_page(report))
    if report.attention:
        context.exit(1)
