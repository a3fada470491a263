"""`provlog archive` and `provlog restore`."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_index import ArchivedSession, read_index
from provenance_log.archive_report import ArchiveOptions, ArchiveReport, SessionArchived
from provenance_log.archiving import archive_sessions
from provenance_log.commands import json_option
from provenance_log.moments import moment_us
from provenance_log.restoring import SessionRestored, restore_sessions
from provenance_log.store import Store, open_store
from provenance_log.terminal import count, escape, progress, size, table

ROWS_SHOWN_MAX = 50
_ID_SHOWN = 8

root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The store. Default: PROVENANCE_ROOT, else .claude/provenance here or above.",
)


@click.command()
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option(
    "--older-than",
    metavar="AGE",
    help="Whose last action is longer ago: 90m, 12h, 90d, 4w, a date.",
)
@click.option("--all", "is_all", is_flag=True, help="Every finished session, however young.")
@click.option("--unfinished", is_flag=True, help="Also sessions without a session_end.")
@click.option("--damaged", is_flag=True, help="Also sessions that do not verify.")
@click.option("--keep-rows", is_flag=True, help="Leave their rows in the tables.")
@click.option(
    "--replace",
    is_flag=True,
    help="Where the archive has the session already, with other notes or blobs: take these.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be archived, and change nothing.")
@root_option
@json_option
@click.pass_context
def archive(
    context: click.Context,
    sessions: tuple[str, ...],
    older_than: str | None,
    is_all: bool,
    unfinished: bool,
    damaged: bool,
    keep_rows: bool,
    replace: bool,
    dry_run: bool,
    root: Path | None,
    as_json: bool,
) -> None:
    """Pack finished sessions into one compressed file per month, and remove their directories.

    SESSION is a session id or the beginning of one, the name or path of its directory, or
    `latest`. The archive is read back and compared before a directory is removed; its index,
    archive/index.jsonl, keeps the head of each log: commit it. The rows of archived sessions
    leave the tables with the next `provlog project`. Finished is a session whose last event is a
    session_end, or that was imported. Exit code 1 when anything was refused.

    \b
    Example:
      provlog archive --older-than 90d --dry-run
      provlog archive --older-than 90d
      provlog archive 2026-01-10-14-30 --keep-rows
    """
    if is_all and (sessions or older_than):
        raise click.UsageError("Give either --all, or SESSION and --older-than.", context)
    if not (sessions or older_than or is_all):
        raise click.UsageError("Give SESSION, --older-than or --all.", context)
    store = open_store(root)
    before_us = None if older_than is None else moment_us(older_than, datetime.now(UTC))
    options = ArchiveOptions(keep_rows, damaged, replace, dry_run)
    with progress("archiving") as on_progress:
        report = archive_sessions(
            store,
            ArchiveChoice(sessions, before_us, unfinished),
            options,
            on_progress=on_progress,
        )
    if as_json:
        click.echo(json.dumps(_jsonable(report, store, options), indent=2))
    else:
        _print(report, store, options)
    if report.is_refused:
        context.exit(1)


@click.command()
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option("--all", "is_all", is_flag=True, help="Every archived session.")
@click.option("--list", "is_listing", is_flag=True, help="List what is archived.")
@root_option
@json_option
@click.pass_context
def restore(
    context: click.Context,
    sessions: tuple[str, ...],
    is_all: bool,
    is_listing: bool,
    root: Path | None,
    as_json: bool,
) -> None:
    """Bring archived sessions back, byte for byte; the archive keeps its copy.

    SESSION is the id of an archived session, the beginning of one, or the name that its directory
    had. Where another session has that name now, the next free one is taken. A session that is
    live is left alone. Exit code 1 when anything was refused.

    \b
    Example:
      provlog restore --list
      provlog restore 5f0c0f0e
      provlog restore --all
    """
    if sum((bool(sessions), is_all, is_listing)) != 1:
        raise click.UsageError("Give SESSION, --all or --list.", context)
    store = open_store(root)
    if is_listing:
        entries = sorted(read_index(store).values(), key=lambda entry: entry.directory)
        click.echo(_listed_json(entries) if as_json else _listed(entries))
        return
    with progress("restoring") as on_progress:
        outcomes = restore_sessions(store, sessions, on_progress=on_progress)
    if as_json:
        click.echo(json.dumps({"sessions": list(map(_jsonable_restored, outcomes))}, indent=2))
    else:
        _print_restored(outcomes)
    if any(outcome.state == "refused" for outcome in outcomes):
        context.exit(1)


def _print(report: ArchiveReport, store: Store, options: ArchiveOptions) -> None:
    archived = report.in_state("archived")
    for line in _told(archived, is_dry_run=options.is_dry_run):
        click.echo(line)
    for state in ("younger", "unfinished"):
        passed_over = len(report.in_state(state))
        if passed_over:
            also = ", --unfinished takes them too" if state == "unfinished" else ""
            click.echo(f"passed over: {count(passed_over)} {state}{also}")
    if options.is_dry_run:
        click.echo("dry run: nothing was changed")
    elif archived:
        click.echo(f"next: provlog project --root {escape(str(store.root))}")
    for session in report.sessions:
        if session.reason is not None:
            what = "refused" if session.state == "refused" else "note"
            reason = escape(session.reason, keep="\n")
            click.echo(f"{what}: {escape(session.directory)}: {reason}", err=True)
    if archived and not options.is_dry_run and not _is_ignored(store):
        pattern = "archive/*.tar.xz"
        where = escape(str(store.root / ".gitignore"))
        click.echo(
            f"note: git sees the month files; to leave them out: {where}: {pattern}", err=True
        )


def _told(archived: Sequence[SessionArchived], *, is_dry_run: bool) -> Iterator[str]:
    if not archived:
        yield "nothing to archive"
        return
    rows = [
        [
            session.directory,
            session.session_id[:_ID_SHOWN],
            session.month,
            count(session.line_count),
            size(session.size_bytes),
            None if is_dry_run else size(session.packed_bytes),
            session.verdict,
        ]
        for session in archived[:ROWS_SHOWN_MAX]
    ]
    yield table(["directory", "session", "month", "lines", "size", "packed", "verdict"], rows)
    if len(archived) > ROWS_SHOWN_MAX:
        yield f"… and {len(archived) - ROWS_SHOWN_MAX} more; --json has them"
    sizes = size(sum(session.size_bytes for session in archived))
    sessions = "1 session" if len(archived) == 1 else f"{count(len(archived))} sessions"
    if is_dry_run:
        yield f"would archive {sessions}, {sizes}"
    else:
        packed = size(sum(session.packed_bytes for session in archived))
        yield f"archived {sessions}, {sizes} in {packed}"


def _is_ignored(store: Store) -> bool:
    """Say whether the store's own .gitignore knows of the archive; a store may be older."""
    try:
        return "archive/" in (store.root / ".gitignore").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return True  # nothing of ours is to be said about git here


def _listed(entries: Sequence[ArchivedSession]) -> str:
    if not entries:
        return "nothing is archived"
    rows = [
        [
            entry.session_id[:_ID_SHOWN],
            entry.directory,
            entry.month,
            entry.state,
            count(entry.lines),
            size(entry.size_bytes),
            entry.archived_at[:16].replace("T", " "),
            "kept" if entry.keep_rows else None,
        ]
        for entry in entries
    ]
    headers = ["session", "directory", "month", "state", "lines", "size", "archived at", "rows"]
    return table(headers, rows)


def _listed_json(entries: Sequence[ArchivedSession]) -> str:
    return json.dumps({"archived": [asdict(entry) for entry in entries]}, indent=2)


def _print_restored(outcomes: Sequence[SessionRestored]) -> None:
    if not outcomes:
        click.echo("nothing is archived")
    for outcome in outcomes:
        entry, name = outcome.entry, escape(outcome.directory or "")
        if outcome.state == "restored":
            lines, what = count(entry.lines), size(entry.size_bytes)
            click.echo(f"restored {escape(entry.session_id)} as {name}: {lines} lines, {what}")
        elif outcome.state == "live":
            click.echo(f"there already: {escape(entry.session_id)} is in {name}")
        else:
            reason = escape(outcome.reason or "", keep="\n")
            click.echo(f"refused: {escape(entry.directory)}: {reason}", err=True)
    if any(outcome.state == "restored" for outcome in outcomes):
        click.echo("next: provlog project")


def _jsonable(report: ArchiveReport, store: Store, options: ArchiveOptions) -> dict[str, Any]:
    return {
        "archive": str(store.archive_dir),
        "dry_run": options.is_dry_run,
        "keep_rows": options.keep_rows,
        "refused": report.is_refused,
        "sessions": [
            {
                "session_id": session.session_id,
                "directory": session.directory,
                "state": session.state,
                "lines": session.line_count,
                "bytes": session.size_bytes,
                "packed_bytes": session.packed_bytes,
                "month": session.month or None,
                "verdict": session.verdict or None,
                "reason": session.reason,
            }
            for session in report.sessions
        ],
    }


def _jsonable_restored(outcome: SessionRestored) -> dict[str, Any]:
    return {
        "session_id": outcome.entry.session_id,
        "state": outcome.state,
        "directory": outcome.directory,
        "lines": outcome.entry.lines,
        "bytes": outcome.entry.size_bytes,
        "head": outcome.entry.head,
        "reason": outcome.reason,
    }
