"""The commands of the read side: each parses, calls and prints.

The database is open only while an answer is read, never while it is printed: a pager that waits
for a key must not keep the projector waiting.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from projections import looking, pages
from projections.console import Console
from projections.database import WAIT_S
from projections.lag import checkpoints, lags
from projections.printing import csv_text, json_text, json_value
from projections.selection import find_session
from provenance_log.commands import json_option, store_options
from provenance_log.errors import ProvlogError
from provenance_log.moments import moment_of
from provenance_log.store import open_store
from provenance_log.terminal import escape, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from projections.console import Answer
    from projections.database import Connection
    from provenance_log.store import Store

ROW_LIMIT = 1000
TIMEOUT_S = 60.0
STATES = ("success", "failure", "open", "imported")

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def wait_option(default_s: float = WAIT_S) -> Callable[[_Command], _Command]:
    """Give a command `--wait SECONDS`, passed as `wait_s: float`."""
    return click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(min=0),
        default=default_s,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for a database that another process holds.",
    )


@contextmanager
def opened(store: Store, wait_s: float) -> Iterator[Connection]:
    """Open the database for one answer, and say on stderr when the logs have more than it."""
    with looking.open_database(store.database, wait_s=wait_s) as connection:
        yield connection
        hint = _lag_hint(store, connection)
    if hint:
        click.echo(hint, err=True)


def _lag_hint(store: Store, connection: Connection) -> str | None:
    """Return the hint, or None; what goes wrong here is no reason to withhold an answer."""
    try:
        number = sum(lag.has_lines for lag in lags(store, checkpoints(connection)))
    except (ProvlogError, OSError):
        return None
    if number == 0:
        return None
    sessions = "1 session has" if number == 1 else f"{number} sessions have"
    return f"note: {sessions} lines that are not projected yet: run `provlog project`"


@click.command()
@store_options
@wait_option()
@json_option
@click.pass_context
def project(
    context: click.Context,
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Project the new lines of every log into the database, once.

    First append what recorders of hooks had to leave in the spool; at the end bring manifests,
    summaries and indices up to date. Exit code 1 when a log could not be
    read or a file not written; the rest is projected all the same.

    \b
    Example:
      provlog project
      provlog project --json | jq .lines
    """
    from projections import report_pages  # noqa: PLC0415 - only for the two commands that write
    from projections.projector import catch_up  # noqa: PLC0415 - as above
    from provenance_log.claude_code.recorder import drain_store  # noqa: PLC0415 - as above

    store = open_store(root, database)
    drained_count = drain_store(store)
    if drained_count and not as_json:
        click.echo(f"appended {drained_count} events that recorders had left in the spool")
    started = time.monotonic()
    with progress("projecting") as advance:
        report = catch_up(store, wait_s=wait_s, on_progress=advance)
    seconds = time.monotonic() - started
    if as_json:
        click.echo(json_text(report_pages.catch_up_facts(report, seconds)))
    else:
        click.echo(report_pages.catch_up_page(report, seconds))
    _complain(context, report_pages.catch_up_problems(report))


@click.command()
@store_options
@wait_option()
@json_option
@click.option("--verify", is_flag=True, help="Compare the old tables with the new ones first.")
@click.pass_context
def rebuild(
    context: click.Context,
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    verify: bool,
) -> None:
    """Replay every log into a new database and put it in the place of the old one.

    With --verify every table is compared first. Where one differs from what the logs say, the
    old database stays, the tables are named, and the exit code is 1. Tables of others in the
    database stay as they are, and logs are never changed.

    \b
    Example:
      provlog rebuild
      provlog rebuild --verify
    """
    from projections import report_pages  # noqa: PLC0415 - only for the two commands that write
    from projections.rebuild import rebuild as replay  # noqa: PLC0415 - as above

    store = open_store(root, database)
    started = time.monotonic()
    with progress("rebuilding") as advance:
        report = replay(store, verify=verify, wait_s=wait_s, on_progress=advance)
    seconds = time.monotonic() - started
    if as_json:
        click.echo(json_text(report_pages.rebuild_facts(report, seconds)))
    else:
        click.echo(report_pages.rebuild_page(report, seconds))
    _complain(context, report_pages.rebuild_problems(report))


def _complain(context: click.Context, problems: Sequence[str]) -> None:
    """Say what went wrong although the command did its work, and end with exit code 1."""
    for problem in problems:
        click.echo(f"error: {escape(problem)}", err=True)
    if problems:
        context.exit(1)


@click.command()
@store_options
@wait_option()
@json_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="The most sessions.",
)
@click.option("--all", "show_all", is_flag=True, help="List every session, whatever --limit says.")
@click.option("--agent", metavar="TYPE", help="Only sessions of this agent type.")
@click.option("--state", type=click.Choice(STATES), help="Only sessions in this state.")
@click.option("--since", metavar="TIME", help="Started since 2026-01-31, or 90m, 12h, 7d, 4w ago.")
def sessions(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    limit: int,
    show_all: bool,
    agent: str | None,
    state: str | None,
    since: str | None,
) -> None:
    """List the sessions, newest first; times are UTC.

    An open session shows how long it has taken so far. Tokens are those read, written and taken
    from a cache. A narrow terminal shows fewer columns; --json has all of them.

    \b
    Example:
      provlog sessions
      provlog sessions --state failure --since 7d
      provlog sessions --all --json | jq -r '.[].session_id'
    """
    store = open_store(root, database)
    moment = moment_of(since, datetime.now(UTC)).replace(tzinfo=None) if since else None
    row_limit = None if show_all else limit
    with opened(store, wait_s) as connection:
        found = looking.sessions(
            connection, agent=agent, state=state, since=moment, limit=row_limit
        )
        ids = tuple(row.session_id for row in found.rows)
        short_ids = looking.short_ids(connection, ids)
    if as_json:
        click.echo(json_text(found.rows))
        return
    click.echo(pages.sessions_page(found.rows, short_ids))
    if len(found.rows) < found.count:
        shown = f"the newest {len(found.rows)} of {found.count} sessions"
        click.echo(f"{shown}; use --all or --limit", err=True)


@click.command()
@store_options
@wait_option()
@json_option
@click.option(
    *("--actions", "action_limit"),
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="Show the last N actions.",
)
@click.option("--first", "from_start", is_flag=True, help="Show the first actions instead.")
@click.argument("session")
def show(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    action_limit: int,
    from_start: bool,
    session: str,
) -> None:
    """Show one session: what it was, what it used, what failed, what it decided and touched.

    SESSION is a session id or the beginning of one, the name or path of its directory, or
    `latest`.

    \b
    Example:
      provlog show latest
      provlog show 3f2a91c0 --actions 100
      provlog show .claude/provenance/sessions/2026-01-31-10-00
    """
    store = open_store(root, database)
    with opened(store, wait_s) as connection:
        session_id = find_session(store, connection, session)
        view = looking.session_view(
            connection, session_id, action_limit=action_limit, from_start=from_start
        )
    click.echo(json_text(view) if as_json else pages.session_page(view))


@click.command()
@store_options
@wait_option()
@json_option
def stats(root: Path | None, database: Path | None, wait_s: float, as_json: bool) -> None:
    """Show figures of the whole store: by tool, agent, action type, model and file.

    Durations are the median (p50), the 95th percentile and the sum of the calls that have one.

    \b
    Example:
      provlog stats
      provlog stats --json | jq '.tools[] | {tool, call_count}'
    """
    store = open_store(root, database)
    with opened(store, wait_s) as connection:
        figures = looking.store_figures(connection)
    click.echo(json_text(figures) if as_json else pages.figures_page(figures))


@click.command()
@store_options
@wait_option()
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=ROW_LIMIT,
    show_default=True,
    metavar="N",
    help="The most rows; 0 for all of them.",
)
@click.option(
    *("--timeout", "timeout_s"),
    type=click.FloatRange(min=0.001),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="Stop a query that takes longer.",
)
@click.argument("sql")
def query(
    root: Path | None,
    database: Path | None,
    wait_s: float,
    as_json: bool,
    as_csv: bool,
    limit: int,
    timeout_s: float,
    sql: str,
) -> None:
    """Run one SQL statement over the database, which is opened read-only.

    No file or network access, no settings, at most 1 GB of memory. In CSV, a cell that a
    spreadsheet would take for a formula begins with an apostrophe.

    \b
    Example:
      provlog query "SHOW TABLES"
      provlog query "SELECT tool, count(*) FROM provenance_events GROUP BY ALL ORDER BY 2 DESC"
      provlog query --csv --limit 0 "FROM provenance_tool_calls" > calls.csv
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    store = open_store(root, database)
    with opened(store, wait_s) as connection:
        answer = Console(connection).ask(sql, row_limit=limit or None, timeout_s=timeout_s)
    if as_json:
        click.echo(json_text(_objects(answer)))
    elif as_csv:
        click.echo(csv_text(answer.columns, answer.rows), nl=False)
    else:
        click.echo(pages.answer_page(answer))
    if answer.is_cut:
        click.echo(f"… first {limit} rows; use --limit", err=True)


def _objects(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            name: json_value(value, type_name)
            for name, type_name, value in zip(answer.columns, answer.types, row, strict=True)
        }
        for row in answer.rows
    ]
