"""The commands of `provlog ask`: parse, ask, print.

Each prints a page for people, or as JSON exactly what the method of `queries` returns.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from projections import ask_pages, looking, questions
from projections.commands import opened, wait_option
from projections.printing import csv_text, json_text
from projections.rows import Rows
from projections.selection import find_session
from provenance_log.commands import json_option, store_options
from provenance_log.store import open_store
from provenance_log.terminal import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from projections.database import Connection
    from provenance_log.store import Store

DAYS = 7

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def _csv_option(command: _Command) -> _Command:
    return click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")(
        command
    )


def _agent_option(command: _Command) -> _Command:
    return click.option("--agent", metavar="TYPE", help="Only sessions of this agent type.")(
        command
    )


def _days_options(command: _Command) -> _Command:
    days = click.option(
        "--days",
        type=click.FloatRange(min=0),
        default=DAYS,
        show_default=True,
        metavar="N",
        help="Only what happened in the last N days.",
    )
    all_time = click.option(
        "--all-time", is_flag=True, help="Whatever happened, whatever --days says."
    )
    return days(all_time(command))


@dataclass(frozen=True, slots=True)
class _Asking:
    """An open database, for one question."""

    store: Store
    connection: Connection

    def find(self, given: str) -> str:
        return find_session(self.store, self.connection, given)

    def short_ids(self, rows: Rows) -> dict[str, str]:
        session_ids = tuple({row["session_id"]: None for row in rows})
        return looking.short_ids(self.connection, session_ids)


@contextmanager
def _asking(root: Path | None, database: Path | None, wait_s: float) -> Iterator[_Asking]:
    store = open_store(root, database)
    with opened(store, wait_s) as connection:
        yield _Asking(store, connection)


def _print_rows(
    rows: Rows, page: Callable[[Rows], str], nothing: str, *, as_json: bool, as_csv: bool
) -> None:
    """Print the rows in the form that is asked for; say in words where there are none."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if as_json:
        click.echo(json_text(rows.rows))
    elif as_csv:
        click.echo(csv_text(rows.columns, rows.cells), nl=False)
    elif rows:
        click.echo(page(rows))
    else:
        click.echo(nothing, err=True)


def _nothing_in(days: float | None, what: str) -> str:
    if days is None:
        return f"there are no {what}"
    return f"there are no {what} in the last {days:g} days; use --days or --all-time"


@click.command()
@store_options
@wait_option()
@json_option
@_csv_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="The most sessions.",
)
@_agent_option
def recent(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    as_csv: bool,
    limit: int,
    agent: str | None,
) -> None:
    """List the newest sessions; `provlog sessions` tells more of each.

    \b
    Example:
      provlog ask recent --agent worker --limit 3
      provlog ask recent --csv > sessions.csv
    """
    with _asking(root, database, wait_s) as asking:
        rows = questions.recent_sessions(asking.connection, agent_type=agent, limit=limit)
        short_ids = asking.short_ids(rows)
    nothing = "there are no such sessions"
    page = _page_with(ask_pages.recent_page, short_ids)
    _print_rows(rows, page, nothing, as_json=as_json, as_csv=as_csv)


def _page_with(
    page: Callable[[Rows, Mapping[str, str]], str], short_ids: Mapping[str, str]
) -> Callable[[Rows], str]:
    return lambda rows: page(rows, short_ids)


@click.command()
@store_options
@wait_option()
@json_option
@click.argument("session")
def trace(
    root: Path | None, database: Path | None, wait_s: float, as_json: bool, session: str
) -> None:
    """Show all that is recorded of SESSION: events, calls, decisions, transformations, links.

    SESSION is a session id or the beginning of one, the name or path of its directory, or
    `latest`. Inputs and outputs are whole in --json; `provlog show` is the shorter page.

    \b
    Example:
      provlog ask trace latest
      provlog ask trace latest --json | jq '.tool_calls[].output_data'
    """
    with _asking(root, database, wait_s) as asking:
        found = questions.session_trace(asking.connection, asking.find(session))
    if as_json:
        click.echo(json_text({key: _jsonable(value) for key, value in found.items()}))
    else:
        click.echo(ask_pages.trace_page(found))


def _jsonable(value: object) -> object:
    return value.rows if isinstance(value, Rows) else value


@click.command()
@store_options
@wait_option()
@json_option
@_csv_option
@_days_options
@_agent_option
def agents(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    as_csv: bool,
    days: float,
    all_time: bool,
    agent: str | None,
) -> None:
    """Count the sessions of each agent type, how long they took and how they ended.

    A session that is open counts as neither successful nor failed.

    \b
    Example:
      provlog ask agents
      provlog ask agents --all-time --json | jq '.[] | {agent_type, executions}'
    """
    since = None if all_time else days
    with _asking(root, database, wait_s) as asking:
        rows = questions.agent_statistics(asking.connection, agent_type=agent, days=since)
    nothing = _nothing_in(since, "such sessions")
    _print_rows(rows, ask_pages.agents_page, nothing, as_json=as_json, as_csv=as_csv)


@click.command()
@store_options
@wait_option()
@json_option
@_csv_option
@_days_options
def tools(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    as_csv: bool,
    days: float,
    all_time: bool,
) -> None:
    """Count the calls of each tool, how they ended, and how often a cache served them.

    A call that was skipped, or done in part, counts as neither successful nor failed.

    \b
    Example:
      provlog ask tools
      provlog ask tools --days 30 --csv > tools.csv
    """
    since = None if all_time else days
    with _asking(root, database, wait_s) as asking:
        rows = questions.tool_call_statistics(asking.connection, days=since)
    nothing = _nothing_in(since, "tool calls")
    _print_rows(rows, ask_pages.tools_page, nothing, as_json=as_json, as_csv=as_csv)


@click.command()
@store_options
@wait_option()
@json_option
@_csv_option
@_days_options
@_agent_option
def decisions(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    as_csv: bool,
    days: float,
    all_time: bool,
    agent: str | None,
) -> None:
    """Count how often which agent type took which branch of which type of decision.

    \b
    Example:
      provlog ask decisions
      provlog ask decisions --agent worker --all-time
    """
    since = None if all_time else days
    with _asking(root, database, wait_s) as asking:
        rows = questions.decision_patterns(asking.connection, agent_type=agent, days=since)
    nothing = _nothing_in(since, "such decisions")
    _print_rows(rows, ask_pages.decisions_page, nothing, as_json=as_json, as_csv=as_csv)


@click.command()
@store_options
@wait_option()
@json_option
@_csv_option
@click.argument("table")
@click.argument("entity_id", metavar="ID")
def entity(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    as_csv: bool,
    table: str,
    entity_id: str,
) -> None:
    """List the sessions that touched the row ID of the domain table TABLE, newest first.

    Both are as the agent has recorded them in its entity links.

    \b
    Example:
      provlog ask entity media_ingredients glucose
      provlog ask entity media_ingredients glucose --json | jq -r '.[].session_id'
    """
    with _asking(root, database, wait_s) as asking:
        rows = questions.entity_provenance(asking.connection, table, entity_id)
        short_ids = asking.short_ids(rows)
    page = _page_with(ask_pages.entity_page, short_ids)
    nothing = f"no session is linked to {escape(entity_id)} of {escape(table)}"
    _print_rows(rows, page, nothing, as_json=as_json, as_csv=as_csv)


@click.command()
@store_options
@wait_option()
@json_option
@_csv_option
@click.argument("session")
def hierarchy(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    as_csv: bool,
    session: str,
) -> None:
    """Show SESSION and all the sessions it started, they started, and so on, as a tree.

    To any depth; each session comes once, whatever parents the sessions name.

    \b
    Example:
      provlog ask hierarchy latest
      provlog ask hierarchy latest --json | jq 'map(.level) | max'
    """
    with _asking(root, database, wait_s) as asking:
        rows = questions.session_hierarchy(asking.connection, asking.find(session))
        short_ids = asking.short_ids(rows)
    page = _page_with(ask_pages.hierarchy_page, short_ids)
    _print_rows(rows, page, "there is no such session", as_json=as_json, as_csv=as_csv)


@click.command()
@store_options
@wait_option()
@json_option
@click.argument("first", metavar="SESSION")
@click.argument("second", metavar="SESSION")
def compare(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    first: str,
    second: str,
) -> None:
    """Show two sessions side by side; a difference is the first minus the second.

    \b
    Example:
      provlog ask compare latest 2026-01-10-14-18
    """
    with _asking(root, database, wait_s) as asking:
        ids = (asking.find(first), asking.find(second))
        found = questions.compare_sessions(asking.connection, *ids)
        short_ids = looking.short_ids(asking.connection, ids)
    click.echo(json_text(found) if as_json else ask_pages.comparison_page(found, short_ids))
