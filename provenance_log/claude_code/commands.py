"""`provlog import claude-code`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from provenance_log.claude_code.importing import ImportReport, import_transcripts
from provenance_log.claude_code.locate import transcripts_of
from provenance_log.commands import json_option, store_options
from provenance_log.store import open_store
from provenance_log.terminal import count, escape, progress, size, table

LINES_SHOWN_MAX = 20


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@store_options
@click.option("--dry-run", is_flag=True, help="Say what would be imported, and write nothing.")
@json_option
def claude_code(
    paths: tuple[Path, ...],
    root: Path | None,
    database: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import transcripts of Claude Code: files, or directories with all that is below them.

    Without PATH: what Claude Code keeps for the project in this directory. Each transcript
    becomes a session, and so does each subagent's. Importing again adds only what is new.
    Files that are no transcripts are named and passed over; the exit code is then 1.

    \b
    Example:
      provlog import claude-code
      provlog import claude-code ~/.claude/projects --dry-run
    """
    store = open_store(root, database)
    with progress("importing") as on_progress:
        report = import_transcripts(
            store,
            paths or (transcripts_of(Path.cwd()),),
            is_dry_run=dry_run,
            on_progress=on_progress,
        )
    if as_json:
        click.echo(json.dumps(_jsonable(report), indent=2))
    else:
        for line in _told(report, is_dry_run=dry_run):
            click.echo(line)
        for line in _complaints(report):
            click.echo(line, err=True)
    if report.refused or report.not_written:
        raise click.exceptions.Exit(1)


def _told(report: ImportReport, *, is_dry_run: bool) -> Iterator[str]:
    rows = [
        ["files", count(report.file_count), size(report.bytes_count)],
        *(
            [f"sessions {state}", count(report.in_state(state)), ""]
            for state in ("new", "grown", "unchanged")
        ),
        ["actions added", count(report.added_count), f"{count(report.call_count)} tool calls"],
    ]
    for name, number in (
        ("records seen before", report.repeated_count),
        ("results without a call", report.stray_result_count),
        ("lines not as expected", report.problem_count),
        ("sessions archived", report.in_state("archived")),
        ("files of no session", len(report.empty)),
        ("files refused", len(report.refused)),
    ):
        if number:
            rows.append([name, count(number), ""])
    for name, number in report.unknown.most_common():
        rows.append([f"unknown record type {escape(name)}", count(number), "passed over"])
    yield table(["what", "count", ""], rows)
    if is_dry_run:
        yield "dry run: nothing was written"
    elif report.added_count:
        yield "next: provlog project"


def _complaints(report: ImportReport) -> Iterator[str]:
    """Yield what was not as expected, each with its place."""
    archived = [one.session_id for one in report.sessions if one.state == "archived"]
    if archived:
        yield f"passed over: {count(len(archived))} sessions are archived"
        yield escape(
            f"hint: `provlog restore {archived[0]}` brings one back, to import what is new"
        )
    problems = [f"line: {problem}" for problem in report.problems]
    not_written = [f"not written: {text}" for text in report.not_written]
    for texts, number in ((problems, report.problem_count), (not_written, len(not_written))):
        for text in texts[:LINES_SHOWN_MAX]:
            yield escape(text)
        if number > LINES_SHOWN_MAX:
            yield f"… and {number - LINES_SHOWN_MAX} more; --json has them"
    for refusal in report.refused:
        yield escape(f"refused: {refusal}", keep="\n")


def _jsonable(report: ImportReport) -> dict[str, Any]:
    return {
        "files": report.file_count,
        "bytes": report.bytes_count,
        "actions_added": report.added_count,
        "tool_calls_added": report.call_count,
        "sessions": [
            {
                "session_id": session.session_id,
                "directory": session.directory,
                "agent_id": session.agent_id or None,
                "state": session.state,
                "actions_added": session.added_count,
                "tool_calls_added": session.call_count,
            }
            for session in report.sessions
        ],
        "set_aside": dict(report.set_aside.most_common()),
        "unknown": dict(report.unknown.most_common()),
        "repeated": report.repeated_count,
        "results_without_call": report.stray_result_count,
        "problem_count": report.problem_count,
        "problems": [
            {
                "path": str(problem.path),
                "line": problem.line,
                "byte": problem.offset,
                "reason": problem.reason,
                "recovered": problem.recovered_count,
            }
            for problem in report.problems
        ],
        "not_written": report.not_written,
        "empty": [str(path) for path in report.empty],
        "refused": [
            {
                "path": str(refusal.path),
                "line": refusal.line,
                "byte": refusal.offset,
                "reason": refusal.message,
            }
            for refusal in report.refused
        ],
    }
