"""`provlog copy`."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from provenance_log.commands import json_option, store_options
from provenance_log.copy_choice import Choice
from provenance_log.copying import CopyReport, SessionCopy, copy_sessions
from provenance_log.moments import moment_us
from provenance_log.store import Store, open_store
from provenance_log.terminal import count, escape, progress, size, table

ROWS_SHOWN_MAX = 50
_SAID = {
    "copied": "copied",
    "forwarded": "missing lines appended",
    "equal": "there already",
    "ahead": "there, with more lines",
    "fork kept": "copied as a fork",
    "refused": "refused",
    "ignored": "passed over",
}


@click.command()
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="PROJECT",
    help="Copy there from the store of this project.",
)
@click.option(
    *("--from", "from_"),
    type=click.Path(path_type=Path),
    metavar="PROJECT",
    help="Copy from there into the store of this project.",
)
@store_options
@click.option("--all", "is_all", is_flag=True, help="Every session of the source.")
@click.option("--since", metavar="TIME", help="Started since 2026-01-31, or 90m, 12h, 7d, 4w ago.")
@click.option("--agent", metavar="TYPE", help="Only sessions of this agent type.")
@click.option("--as-fork", is_flag=True, help="Keep both where two copies went on differently.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@json_option
@click.pass_context
def copy(
    context: click.Context,
    sessions: tuple[str, ...],
    to: Path | None,
    from_: Path | None,
    root: Path | None,
    database: Path | None,
    is_all: bool,
    since: str | None,
    agent: str | None,
    as_fork: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Copy sessions to or from another project, byte for byte, with their blobs.

    PROJECT is the directory of a project or of a store, on any mounted path. SESSION is a session
    id or the beginning of one, the name or path of its directory, or `latest`; --since and
    --agent choose among those, or among all. A session that goes on is copied up to its last
    whole line; copying again appends what was added since. Exit code 1 when anything was refused.

    \b
    Example:
      provlog copy latest --to ../other-project
      provlog copy --from /mnt/lab/project --since 7d
      provlog copy --all --from ~/old/.claude/provenance --dry-run
    """
    if (to is None) == (from_ is None):
        raise click.UsageError("Give either --to PROJECT or --from PROJECT.", context)
    if is_all and sessions:
        raise click.UsageError("Give either SESSION or --all.", context)
    if not (sessions or is_all or since or agent):
        raise click.UsageError("Give SESSION, --all, --since or --agent.", context)
    ours, theirs = open_store(root, database), open_store(to or from_)
    source, destination = (ours, theirs) if from_ is None else (theirs, ours)
    since_us = moment_us(since, datetime.now(UTC)) if since else None
    with progress("copying") as on_progress:
        report = copy_sessions(
            source,
            destination,
            Choice(sessions, since_us, agent),
            as_fork=as_fork,
            is_dry_run=dry_run,
            on_progress=on_progress,
        )
    if as_json:
        click.echo(json.dumps(_jsonable(report, source, destination, dry_run), indent=2))
    else:
        _print(report, destination, is_dry_run=dry_run)
    if report.is_refused:
        context.exit(1)


def _print(report: CopyReport, destination: Store, *, is_dry_run: bool) -> None:
    click.echo("\n".join(_told(report)))
    if is_dry_run:
        click.echo("dry run: nothing was written")
    elif any(copy.state in {"copied", "forwarded", "fork kept"} for copy in report.copies):
        click.echo(f"next: provlog project --root {escape(str(destination.root))}")
    for line in _complaints(report):
        click.echo(line, err=True)


def _told(report: CopyReport) -> Iterator[str]:
    """Yield the table of what was done, then how often each was."""
    shown = [copy for copy in report.copies if copy.state != "ignored"]
    if not shown:
        yield "no session is meant: nothing to do"
        return
    rows = [
        [
            copy.source_directory,
            copy.directory,
            _SAID[copy.state],
            count(copy.line_count) if copy.session_id else None,
            size(copy.bytes_added) if copy.bytes_added else None,
            count(copy.blob_count) if copy.blob_count else None,
        ]
        for copy in shown[:ROWS_SHOWN_MAX]
    ]
    yield table(["from", "to", "what", "lines", "added", "blobs"], rows)
    if len(shown) > ROWS_SHOWN_MAX:
        yield f"… and {len(shown) - ROWS_SHOWN_MAX} more; --json has them"
    totals = Counter[str](copy.state for copy in shown)
    if len(shown) > 1:
        yield ", ".join(f"{count(totals[s])} {said}" for s, said in _SAID.items() if totals[s])


def _complaints(report: CopyReport) -> Iterator[str]:
    """Yield what was refused, passed over and left behind, each with its reason."""
    for copy in report.copies:
        where = escape(copy.source_directory)
        if copy.reason:
            what = "refused" if copy.state == "refused" else "passed over"
            yield f"{what}: {where}: {escape(copy.reason, keep=chr(10))}"
            if copy.fork:
                yield "hint: --as-fork keeps both"
        for note in copy.notes:
            yield f"left behind: {where}/{escape(note)}"


def _jsonable(
    report: CopyReport, source: Store, destination: Store, is_dry_run: bool
) -> dict[str, Any]:
    return {
        "source": str(source.root),
        "destination": str(destination.root),
        "dry_run": is_dry_run,
        "refused": report.is_refused,
        "sessions": [_jsonable_copy(copy) for copy in report.copies],
    }


def _jsonable_copy(copy: SessionCopy) -> dict[str, Any]:
    fork = copy.fork
    return {
        "session_id": copy.session_id,
        "source_directory": copy.source_directory,
        "directory": copy.directory,
        "state": copy.state,
        "lines": copy.line_count,
        "bytes_added": copy.bytes_added,
        "blobs": copy.blob_count,
        "reason": copy.reason,
        "fork": fork
        and {
            "line": fork.line_number,
            "directory": fork.directory,
            "source_lines": fork.source_end.line_number,
            "source_head": fork.source_end.prev,
            "lines": fork.end.line_number,
            "head": fork.end.prev,
        },
        "left_behind": list(copy.notes),
    }
