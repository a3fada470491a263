"""The commands of the write side, and the options that every command shares."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from provenance_log.cli import Entry, LazyGroup
from provenance_log.store import (
    CONFIG_NAME,
    ENV_ROOT,
    ROOT_BELOW_PROJECT,
    InitReport,
    initialise_store,
)
from provenance_log.terminal import escape

_TAKEN_OVER = """\
the database {} is there already; the next `provlog project`
  makes the provenance_* tables in it, from the logs alone;
  keeps rows that tables of these names have as provenance_before_*;
  leaves all other tables as they are."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def store_options(command: _Command) -> _Command:
    """Give a command `--root DIR` and `--db PATH`.

    It is called with `root: Path | None` and `database: Path | None`, to hand on to
    `open_store`, which looks at PROVENANCE_ROOT, PROVENANCE_DB and config.yaml where one is None.
    """
    root = click.option(
        "--root",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The store. Default: PROVENANCE_ROOT, else .claude/provenance here or above.",
    )
    database = click.option(
        "--db",
        "database",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The database. Default: PROVENANCE_DB, else config.yaml, else inside the store.",
    )
    return root(database(command))


def json_option(command: _Command) -> _Command:
    """Give a command `--json`, passed as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        command
    )


@click.command()
@store_options
@json_option
def init(root: Path | None, database: Path | None, as_json: bool) -> None:
    """Make a store, or complete one that lacks a file; nothing that is there is changed.

    Without --root and PROVENANCE_ROOT the store is .claude/provenance in this directory. --db may
    name a database that is there already, also one of schema 1.0.0: `provlog project` then adds
    our tables to it, and keeps what rows of older ones it finds as provenance_before_*.

    \b
    Example:
      provlog init
      provlog init --db data/experiment.duckdb
    """
    place = root or Path(os.environ.get(ENV_ROOT) or ROOT_BELOW_PROJECT).expanduser()
    report = initialise_store(place, database)
    if as_json:
        click.echo(json.dumps(_jsonable(report)))
        return
    where = escape(str(report.root))
    if report.created:
        click.echo("\n  ".join([f"made in {where}:", *map(escape, report.created)]))
    else:
        click.echo(f"nothing to do: the store at {where} is complete")
    if database is not None and CONFIG_NAME in report.created and report.database.exists():
        click.echo(_TAKEN_OVER.format(escape(str(report.database))))
    if database is not None and CONFIG_NAME in report.kept:
        click.echo(f"note: {CONFIG_NAME} was there before, so --db was not written to it", err=True)


def _jsonable(report: InitReport) -> dict[str, object]:
    return {
        "root": str(report.root),
        "database": str(report.database),
        "created": report.created,
        "kept": report.kept,
    }


@click.group(
    cls=LazyGroup,
    entries={
        "claude-code": Entry(
            "provenance_log.claude_code.commands:claude_code",
            "Import the transcripts that Claude Code keeps.",
        ),
    },
)
def import_group() -> None:
    """Bring in what other programs recorded, as sessions of this store.

    \b
    Example:
      provlog import claude-code
      provlog import claude-code ~/.claude/projects/-home-me-lab/
    """


@click.group(
    cls=LazyGroup,
    entries={
        "recent": Entry("projections.ask_command:recent", "The newest sessions."),
        "trace": Entry("projections.ask_command:trace", "All that is recorded of a session."),
        "agents": Entry("projections.ask_command:agents", "Sessions and durations by agent."),
        "tools": Entry("projections.ask_command:tools", "Calls and cache hits by tool."),
        "decisions": Entry("projections.ask_command:decisions", "How often what was decided."),
        "entity": Entry("projections.ask_command:entity", "The sessions that touched an entity."),
        "hierarchy": Entry("projections.ask_command:hierarchy", "A session and all below it."),
        "compare": Entry("projections.ask_command:compare", "What differs between two sessions."),
    },
)
def ask_group() -> None:
    """Ask the database what is asked most; `provlog query` takes any other question.

    The same questions are methods of `projections.queries.ProvenanceQueries`, which returns what
    --json prints.

    \b
    Example:
      provlog ask recent
      provlog ask agents --days 30
    """


@click.group(
    cls=LazyGroup,
    entries={
        "claude-code": Entry(
            "provenance_log.claude_code.install_command:claude_code",
            "Record Claude Code live, through its hooks.",
        ),
    },
)
def install_group() -> None:
    """Let another program record what it does in this store.

    \b
    Example:
      provlog install claude-code
      provlog install claude-code --uninstall
    """


@click.group(
    cls=LazyGroup,
    entries={
        "claude-code": Entry(
            "provenance_log.claude_code.follow_command:claude_code",
            "Import the transcripts of Claude Code as they grow.",
        ),
    },
)
def follow_group() -> None:
    """Bring in what other programs record while they record it.

    \b
    Example:
      provlog follow claude-code
    """
