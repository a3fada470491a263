"""`provlog run`: record a command while it runs as it always did."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from provenance_log.commands import store_options
from provenance_log.environment import surroundings
from provenance_log.errors import ProvlogError
from provenance_log.git_changes import changed_files, work_tree
from provenance_log.recording import Recording, SessionHeader, start_session
from provenance_log.running import Run, run_command
from provenance_log.settings import load_settings
from provenance_log.shell_command import ENV_SESSION, open_recording
from provenance_log.store import open_store
from provenance_log.terminal import escape

AGENT_TYPE = "command"
QUERY_LENGTH_MAX = 2_000


@click.command(context_settings={"ignore_unknown_options": True})
@store_options
@click.option(
    "--session",
    envvar=ENV_SESSION,
    metavar="SESSION",
    help=f"Record it in this session. Default: {ENV_SESSION}, else a session of its own.",
)
@click.option("--agent", default=AGENT_TYPE, show_default=True, metavar="TYPE", help="Agent type.")
@click.option(
    "--no-output", is_flag=True, help="Give it our terminal, and record nothing of its output."
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
@click.pass_context
def run(
    context: click.Context,
    root: Path | None,
    database: Path | None,
    session: str | None,
    agent: str,
    no_output: bool,
    command: tuple[str, ...],
) -> None:
    """Run a command and record it: arguments, directory, exit code, duration, output, files.

    Its output is passed on as it comes, through pipes, so it sees no terminal; sizes are recorded,
    and up to 8 kB of it. Files are those that changed in the git work tree. The exit code is that
    of the command, also where it could not be recorded, which is told on stderr. What the command
    itself records with `provlog record` goes into the same session.

    \b
    Example:
      provlog run -- make test
      provlog run --session latest -- python train.py --epochs 3
    """
    recorder = _Recorder(command)
    recorder.attempt(lambda: recorder.open(root, database, session, agent))
    before = work_tree(Path())
    done = run_command(command, is_counted=not no_output, more_env=recorder.env)
    files = changed_files(before, work_tree(Path()))
    if done.problem is not None:
        click.echo(f"provlog run: {escape(done.problem)}", err=True)
    recorder.attempt(lambda: recorder.note(done, files))
    context.exit(done.exit_code)


class _Recorder:
    """Records the one call; what goes wrong is told, and keeps nothing from running."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._line = shlex.join(command)
        self._recording: Recording | None = None
        self._is_own = False

    @property
    def env(self) -> dict[str, str]:
        """Let the command record into the same session."""
        return {} if self._recording is None else {ENV_SESSION: self._recording.session_id}

    def attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (ProvlogError, OSError) as error:
            click.echo(f"provlog run: not recorded: {escape(str(error), keep=chr(10))}", err=True)

    def open(
        self, root: Path | None, database: Path | None, session: str | None, agent: str
    ) -> None:
        store = open_store(root, database)
        durability = load_settings(store.root).durability
        if session:
            self._recording = open_recording(store, session)
            return
        self._is_own = True
        header = SessionHeader(
            agent_type=agent,
            query=self._line[:QUERY_LENGTH_MAX],
            kwargs={"command": list(self._command)},
            user_context=surroundings(),
        )
        self._recording = start_session(store, header, durability=durability)

    def note(self, done: Run, files: list[str]) -> None:
        if self._recording is None:
            return
        self._recording.append(_action(self._command, self._line, done, files))
        if self._is_own:
            self._recording.end(
                success=done.exit_code == 0,
                result_summary={"exit_code": done.exit_code},
                error_message=None if done.exit_code == 0 else _message(done),
            )


def _action(command: tuple[str, ...], line: str, done: Run, files: list[str]) -> dict[str, Any]:
    details: dict[str, Any] = {
        "tool_type": "shell",
        "tool_name": Path(command[0]).name,
        "input_params": {"command": line, "args": list(command)},
        "exit_code": done.exit_code,
    }
    if done.is_counted and done.problem is None:
        details |= {
            "output_data": {"stdout": done.stdout.text, "stderr": done.stderr.text},
            "output_size_bytes": done.stdout.size_bytes + done.stderr.size_bytes,
            "stdout_bytes": done.stdout.size_bytes,
            "stderr_bytes": done.stderr.size_bytes,
        }
    status = "success" if done.exit_code == 0 else "failure"
    if done.signal_name is not None:
        status = "partial"
    context = {
        key: value
        for key, value in surroundings().items()
        if key in {"working_directory", "git_branch", "git_commit"}
    }
    action = {
        "type": "execute",
        "tool": "Shell",
        "status": status,
        "duration_ms": done.duration_ms,
        "context": context,
        "details": details,
        "files_affected": files,
        "read_only": False,
        "event_type": "tool_call",
        "event_name": "run",
    }
    if done.exit_code != 0:
        action["error"] = {"message": _message(done), "code": f"exit_{done.exit_code}"}
    return action


def _message(done: Run) -> str:
    if done.problem is not None:
        return done.problem
    if done.signal_name is not None:
        return f"ended by {done.signal_name}"
    return done.stderr.text.strip()[-500:] or f"exit code {done.exit_code}"
