"""`provlog follow claude-code`."""

import json
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click

from provenance_log.claude_code.following import Step, TranscriptFollower
from provenance_log.claude_code.locate import expected_directory
from provenance_log.claude_code.session_import import SessionReport
from provenance_log.commands import json_option, store_options
from provenance_log.errors import ProvlogError
from provenance_log.stop_signals import stop_arrivals
from provenance_log.store import open_store
from provenance_log.terminal import count, escape

_STOPPING = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@store_options
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.05),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look for changes.",
)
@json_option
def claude_code(
    paths: tuple[Path, ...],
    root: Path | None,
    database: Path | None,
    every_s: float,
    as_json: bool,
) -> None:
    """Import transcripts of Claude Code, and again whenever they grow, until stopped.

    For those who want no hooks. Without PATH: the transcripts of the project in this directory,
    also if there are none yet. Prints a line for each session that grew, and ends on SIGTERM or
    Ctrl-C with exit code 0. Calls without a result and the last message wait until a session has
    been quiet for 30 s, or this ends. `claude_code: {follow: true}` in config.yaml lets
    `provlog daemon` do the same.

    \b
    Example:
      provlog follow claude-code
      provlog follow claude-code ~/.claude/projects --every 10
    """
    store = open_store(root, database)
    follower = TranscriptFollower(store, paths or (expected_directory(Path.cwd()),))
    stopping = stop_arrivals(_STOPPING)
    trouble = ""
    while True:
        try:
            _tell(follower.step(), as_json=as_json)
            trouble = ""
        except ProvlogError as error:  # a full disk, say: told once, and tried again
            if str(error) != trouble:
                click.echo("error: " + escape(str(error), keep="\n"), err=True)
            trouble = str(error)
        if select.select([stopping], [], [], every_s)[0]:
            break
    _tell(follower.finish(), as_json=as_json)


def _tell(step: Step, *, as_json: bool) -> None:
    for session in step.grown:
        click.echo(json.dumps(_jsonable(session)) if as_json else " ".join(_words(session)))
    for refusal in step.refused:
        click.echo(escape(f"refused: {refusal}", keep="\n"), err=True)


def _words(session: SessionReport) -> Iterator[str]:
    yield time.strftime("%H:%M:%S")
    yield escape(session.session_id[:8])
    yield session.state
    yield f"{count(session.added_count)} actions, {count(session.call_count)} tool calls"


def _jsonable(session: SessionReport) -> dict[str, object]:
    return {
        "session_id": session.session_id,
        "directory": session.directory,
        "agent_id": session.agent_id or None,
        "state": session.state,
        "actions_added": session.added_count,
        "tool_calls_added": session.call_count,
    }
