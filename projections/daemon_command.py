"""`provlog daemon` and what is below it: parse, set up the signals, print."""

from __future__ import annotations

import json
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from projections import daemon_control
from projections.daemon_state import log_path, now_text, process_text, running_text
from projections.daemon_unit import launchd_plist, systemd_unit
from provenance_log.cli import Entry, LazyGroup
from provenance_log.commands import store_options
from provenance_log.stop_signals import stop_arrivals
from provenance_log.store import open_store
from provenance_log.terminal import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projections.daemon_notices import Notice
    from provenance_log.store import Store

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    entries={
        "stop": Entry("projections.daemon_command:stop", "Stop the daemon of this store."),
        "unit": Entry(
            "projections.daemon_command:unit", "Print a unit for systemd, or a plist for launchd."
        ),
    },
)
@store_options
@click.option(
    "--rescan",
    "rescan_s",
    type=click.FloatRange(min=0.05),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Look at every log this often, whatever the system tells of changes; five times as "
    "seldom after 30 looks without any.",
)
@click.option(
    "--debounce",
    "debounce_ms",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="MS",
    help="Leave this long after a look, and collect what changes meanwhile.",
)
@click.option("--poll", is_flag=True, help="Don't ask the system to tell of changes.")
@click.option("--log-json", is_flag=True, help="Write the log on stderr as JSON, for programs.")
@click.option("--detach", is_flag=True, help="Run in the background, and log to daemon.log.")
@click.pass_context
def daemon(
    context: click.Context,
    root: Path | None,
    database: Path | None,
    rescan_s: float,
    debounce_ms: int,
    poll: bool,
    log_json: bool,
    detach: bool,
) -> None:
    """Project new log lines as they come, until stopped; one daemon per store.

    Also appends what recorders of hooks had to leave in the spool, and, where config.yaml says
    `claude_code: {follow: true}`, imports transcripts of Claude Code as they grow.

    Runs in the foreground and ends on SIGTERM or Ctrl-C after the batch it is working on, with
    exit code 0. The database is open for a batch only, so queries get in between. Whatever is in
    the way (somebody has the database open, a full disk) is told once on stderr and tried again.

    With --detach it runs in the background, returns once it is at work, and outlives the
    terminal. Where a daemon is running already, that is said, and the exit code is 0. A
    `provlog project` or `rebuild` that is at work is waited for.

    \b
    Example:
      provlog daemon
      provlog daemon --detach
      provlog daemon --rescan 10 --log-json 2>> my.log
    """
    if context.invoked_subcommand is not None:
        _refuse_options_before(context, context.invoked_subcommand)
        return
    store = open_store(root, database)
    if detach:
        arguments = ["--rescan", str(rescan_s), "--debounce", str(debounce_ms)]
        arguments += ["--poll"] * poll + ["--log-json"] * log_json
        click.echo(escape(_start_in_background(store, arguments)))
        return
    from projections.daemon_running import run  # noqa: PLC0415 - brings in DuckDB and watchdog

    run(
        store,
        _print_json if log_json else _print_text,
        _stop_on_signals,
        rescan_s=rescan_s,
        debounce_s=debounce_ms / 1000,
        is_polling=poll,
    )


def _refuse_options_before(context: click.Context, subcommand: str) -> None:
    """Let nobody believe that `provlog daemon --root X stop` stops the daemon of X."""
    for name in context.params:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"options of {subcommand!r} come after it, as in the example")


def _start_in_background(store: Store, arguments: Sequence[str]) -> str:
    started = daemon_control.start_in_background(store, arguments)
    if started.pid is None:
        return f"already running: {running_text(started.found)}"
    text = f"started process {started.pid}"
    holder = started.found.holder
    if holder is not None and not started.is_running:
        text += f", which waits for {process_text(holder)}"
    return f"{text}; its log is {log_path(store)}"


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM, SIGINT and SIGHUP, from now on until the process ends.

    From a thread of its own: a function that interrupts the main thread anywhere could find a
    lock taken by what it interrupted.
    """
    arrivals = stop_arrivals(_STOPPING)

    def wait() -> None:
        while arrivals.recv(1):
            stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _print_text(notice: Notice) -> None:
    event = notice.event.replace("_", " ")
    _print(f"{now_text()} {notice.level} {event}: {escape(notice.message)}")


def _print_json(notice: Notice) -> None:
    entry = {
        "time": now_text(),
        "level": notice.level,
        "event": notice.event,
        "message": notice.message,
    }
    _print(json.dumps(entry))


def _print(line: str) -> None:
    # Nobody may be reading, or the disk of the log be full: no reason to stop projecting.
    with suppress(OSError):
        click.echo(line, err=True)


@click.command()
@store_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up waiting for its end after this long, with exit code 1.",
)
def stop(root: Path | None, database: Path | None, timeout_s: float) -> None:
    """Stop the daemon of this store, and return when it has ended.

    It ends after the batch it is working on. Where no daemon is running, that is said, and the
    exit code is 0. A `provlog project` or `rebuild` is named and left alone, with exit code 1.

    \b
    Example:
      provlog daemon stop
      provlog daemon stop --root ~/lab/.claude/provenance --timeout 5
    """
    done = daemon_control.stop(open_store(root, database), timeout_s=timeout_s)
    click.echo(escape(done))


@click.command()
@store_options
@click.option("--systemd", "kind", flag_value="systemd", help="A systemd user unit (Linux).")
@click.option("--launchd", "kind", flag_value="launchd", help="A launchd plist (macOS).")
def unit(root: Path | None, database: Path | None, kind: str | None) -> None:
    """Print what the system needs to start the daemon by itself and to keep it running.

    By default that of this system. Its first lines say where to save it and how to enable it.
    The store, the database and the Python that runs this command are named by absolute paths.

    \b
    Example:
      provlog daemon unit
      provlog daemon unit --systemd > ~/.config/systemd/user/provlog.service
    """
    store = open_store(root, database)
    is_launchd = kind == "launchd" or (kind is None and sys.platform == "darwin")
    # Not escaped, as it is to be saved; control characters were refused.
    click.echo(launchd_plist(store) if is_launchd else systemd_unit(store), nl=False)
