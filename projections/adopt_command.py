"""`provlog adopt`: parse, call, print."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from projections.adopting import MADE, Adoption, adoptable
from projections.adopting import adopt as adopt_directories
from projections.printing import json_text
from provenance_log.commands import json_option, store_options
from provenance_log.session_names import directory_named
from provenance_log.store import open_store
from provenance_log.terminal import count, escape, progress

if TYPE_CHECKING:
    from provenance_log.store import SessionDirectory, Store


@click.command()
@store_options
@json_option
@click.option("--all", "take_all", is_flag=True, help="Every directory without a log.")
@click.argument("directories", metavar="DIR...", nargs=-1)
@click.pass_context
def adopt(
    context: click.Context,
    root: Path | None,
    database: Path | None,
    as_json: bool,
    take_all: bool,
    directories: tuple[str, ...],
) -> None:
    """Give session directories that have a manifest and no log a log, so that SQL finds them.

    DIR is the name or path of a session directory of the store. The log holds what the manifest
    says and is marked as reconstructed; manifest and summary stay as they are, to the byte. Where
    the predecessor's tracker left SESSION_ID.json in the store, its events are read too. Exit code
    1 when a manifest could not be read; the others are adopted all the same.

    \b
    Example:
      provlog adopt 2026-01-10-21-16
      provlog adopt --all
    """
    if take_all == bool(directories):
        raise click.UsageError("name session directories, or give --all")
    store = open_store(root, database)
    chosen = adoptable(store) if take_all else _named(store, directories)
    with progress("adopting") as advance:
        found = []
        for adoption in adopt_directories(store, chosen):
            found.append(adoption)
            advance(len(found), len(chosen))
    if as_json:
        click.echo(json_text([asdict(adoption) for adoption in found]))
    else:
        click.echo("\n".join(_page(found)))
    _complain(context, found)


def _named(store: Store, given: tuple[str, ...]) -> list[SessionDirectory]:
    return list(dict.fromkeys(directory_named(store, name) for name in given))


def _page(found: list[Adoption]) -> list[str]:
    lines = [
        f"{one.outcome} {escape(one.log)}: {count(one.line_count)} lines, session {one.session_id}"
        + (f", from {one.session_id}.json" if one.outcome == "read" else "")
        for one in found
        if one.outcome in MADE
    ]
    is_new = bool(lines)
    lines += [
        f"skipped {escape(one.log)}: {escape(one.reason or '')}"
        for one in found
        if one.outcome == "skipped"
    ]
    if is_new:
        lines.append("run `provlog project` to find them in SQL")
    elif all(one.outcome == "skipped" for one in found):
        lines.append("nothing to do")
    return lines


def _complain(context: click.Context, found: list[Adoption]) -> None:
    problems = [one.reason or "" for one in found if one.outcome == "failed"]
    for problem in problems:
        click.echo(f"error: {escape(problem, keep=chr(10))}", err=True)
    if problems:
        context.exit(1)
