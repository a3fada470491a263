"""The command line: a table of names, each loaded only when it is called.

Each side of the project owns its commands; this module knows only where they live, so that
`provlog --help` imports none of them and a hook that runs `provlog` pays for one command only.
It is also the one place where an error becomes a message and an exit code:

    0    done
    1    refused or failed, as the message on stderr says (an error may carry another code)
    2    the command line itself is wrong
    130  interrupted from the keyboard
    141  the reader of our output went away, as for any program that writes into `head`
"""

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click

from provenance_log.errors import ProvlogError
from provenance_log.terminal import escape

EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, as `module:attribute`, and the one line that `--help` shows for it."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the module and return the command."""
        module, _, attribute = self.target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is a {type(command).__name__}, not a click command")
        return command


class LazyGroup(click.Group):
    """A click group that shows its help from a table and imports a command when it is called."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order of use."""
        del ctx
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now, or None if the table does not have it."""
        del ctx
        entry = self.entries.get(cmd_name)
        return entry.load() if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a name that is not in the table, name those that are like it."""
        if args[0] not in self.entries and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415 - only for a command that there is not

            close = difflib.get_close_matches(args[0], self.entries, n=2)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table; click would import every command to ask it for its summary."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click would turn a closed pipe into exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosed from error


class PipeClosed(Exception):
    """Whoever read our standard output has closed it; there is nobody left to tell."""


COMMANDS = {
    "init": Entry("provenance_log.commands:init", "Make a store in this directory."),
    "import": Entry("provenance_log.commands:import_group", "Bring in what others recorded."),
    "install": Entry("provenance_log.commands:install_group", "Let another program record."),
    "follow": Entry("provenance_log.commands:follow_group", "Import what others record, live."),
    "start": Entry("provenance_log.shell_command:start", "Start a session from a shell."),
    "record": Entry("provenance_log.shell_command:record", "Append actions to a session."),
    "end": Entry("provenance_log.shell_command:end", "End a session from a shell."),
    "run": Entry("provenance_log.run_command:run", "Run a command and record it."),
    "annotate": Entry(
        "provenance_log.annotate_command:annotate", "Add findings, warnings and notes to a log."
    ),
    "adopt": Entry("projections.adopt_command:adopt", "Make logs of manifests kept by hand."),
    "copy": Entry("provenance_log.copy_command:copy", "Copy sessions to or from another project."),
    "archive": Entry(
        "provenance_log.archive_command:archive", "Pack finished sessions, a file per month."
    ),
    "restore": Entry("provenance_log.archive_command:restore", "Bring archived sessions back."),
    "tail": Entry("provenance_log.tail_command:tail", "Show the last actions and those to come."),
    "project": Entry("projections.commands:project", "Project new log lines into the database."),
    "rebuild": Entry("projections.commands:rebuild", "Replay every log into a new database."),
    "daemon": Entry("projections.daemon_command:daemon", "Project new lines as they come."),
    "wait": Entry("projections.wait_command:wait", "Wait until what was appended is in SQL."),
    "sessions": Entry("projections.commands:sessions", "List the sessions, newest first."),
    "show": Entry("projections.commands:show", "Show one session and its actions."),
    "stats": Entry("projections.commands:stats", "Count actions by tool, type and status."),
    "ask": Entry("provenance_log.commands:ask_group", "Ask what is asked most, without SQL."),
    "query": Entry("projections.commands:query", "Run SQL over the database, read-only."),
    "status": Entry("projections.status_command:status", "Say what is behind, damaged or in use."),
    "verify": Entry("projections.verify_command:verify", "Check logs for damage and change."),
}


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="provenance-log", prog_name="provlog")
def provlog() -> None:
    """Record what AI agents do, and ask about it.

    \b
    Example:
      provlog init
      provlog import claude-code
      provlog project
      provlog show latest
    """


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; an expected error becomes a message.

    A command may end with a code of its own by `ctx.exit(code)`.
    What is not expected here is a bug, and keeps its traceback.
    """
    _print_anything_in_any_locale()
    try:
        code = provlog.main(list(arguments), prog_name="provlog", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except (PipeClosed, BrokenPipeError):
        return _give_up_stdout()
    except ProvlogError as error:
        return _report(str(error), error.exit_code)
    except OSError as error:
        return _report(_describe(error), 1)
    return code if isinstance(code, int) else 0


def _print_anything_in_any_locale() -> None:
    """Show what the terminal's encoding lacks as an escape instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _give_up_stdout() -> int:
    """Let the interpreter flush what is left into nowhere at exit, without a complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE_CLOSED


def _report(message: str, exit_code: int) -> int:
    click.echo("error: " + escape(message, keep="\n"), err=True)
    return exit_code


_HINTS = {
    errno.EACCES: "check who owns it and its permissions",
    errno.EDQUOT: "free some space or raise the quota, then run the command again",
    errno.ENOENT: "check the path",
    errno.ENOSPC: "free some space, then run the command again",
    errno.ENOTDIR: "a part of the path is a file; check the path",
    errno.EPERM: "check who owns it and its permissions",
    errno.EROFS: "the file system is mounted read-only; use --root or --db to work elsewhere",
}


def _describe(error: OSError) -> str:
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    reason = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0, "run `provlog status` to see the state of the store")
    return f"{path + ': ' if path else ''}{reason}\nhint: {hint}"


if __name__ == "__main__":
    main()
