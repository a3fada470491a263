"""`provlog daemon` and `provlog wait`: parse, set up the signals, print."""

from __future__ import annotations

import json
import signal
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provenance_log.commands import store_options
from provenance_log.session_names import find_session_log
from provenance_log.store import open_store
from provenance_log.terminal import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from projections.daemon_notices import Notice

_STOPPING = (signal.SIGTERM, signal.SIGINT)


@click.command()
@store_options
@click.option(
    "--rescan",
    "rescan_s",
    type=click.FloatRange(min=0.05),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Look at every log this often, whatever the system tells of changes.",
)
@click.option(
    "--debounce",
    "debounce_ms",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="MS",
    help="Collect changes this long before they are projected together.",
)
@click.option("--poll", is_flag=True, help="Don't ask the system to tell of changes.")
@click.option("--log-json", is_flag=True, help="Write the log on stderr as JSON, for programs.")
def daemon(
    root: Path | None,
    database: Path | None,
    rescan_s: float,
    debounce_ms: int,
    poll: bool,
    log_json: bool,
) -> None:
    """Project new log lines as they come, until stopped; one daemon per store.

    Runs in the foreground and ends on SIGTERM or Ctrl-C after the batch it is working on, with
    exit code 0. The database is open for a batch only, so queries get in between. Whatever is in
    the way (somebody has the database open, a full disk) is told once on stderr and tried again.

    \b
    Example:
      provlog daemon
      provlog daemon --rescan 10 --log-json 2>> daemon.log
    """
    from projections.daemon import Daemon  # noqa: PLC0415 - so that `wait` needs no watchdog

    running = Daemon(
        open_store(root, database),
        _print_json if log_json else _print_text,
        rescan_s=rescan_s,
        debounce_s=debounce_ms / 1000,
        is_polling=poll,
    )
    _stop_on_signals(running.stop)
    running.run()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT, from now on until the process ends.

    From a thread of its own: a function that interrupts the main thread anywhere could find a
    lock taken by what it interrupted.
    """
    arrivals, departures = socket.socketpair()
    departures.setblocking(False)
    signal.set_wakeup_fd(departures.detach())
    for number in _STOPPING:
        signal.signal(number, lambda _number, _frame: None)
        signal.siginterrupt(number, False)  # what is being written is written on

    def wait() -> None:
        while arrivals.recv(1):
            stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _print_text(notice: Notice) -> None:
    _print(f"{_now()} {notice.level} {notice.event}: {escape(notice.message)}")


def _print_json(notice: Notice) -> None:
    entry = {
        "time": _now(),
        "level": notice.level,
        "event": notice.event,
        "message": notice.message,
    }
    _print(json.dumps(entry))


def _print(line: str) -> None:
    # Nobody may be reading, or the disk of the log be full: no reason to stop projecting.
    with suppress(OSError):
        click.echo(line, err=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@click.command()
@click.argument("session", required=False)
@store_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after this long, with exit code 1.",
)
def wait(session: str | None, root: Path | None, database: Path | None, timeout_s: float) -> None:
    """Return when everything appended so far is visible in SQL.

    Needs somebody who projects: `provlog daemon`, or a `provlog project` that runs meanwhile.
    With SESSION (its id, the beginning of one, its directory, or latest) only that session
    counts. Lines that can't be read count as visible once they are in the quarantine.

    \b
    Example:
      provlog wait && provlog query "SELECT count(*) FROM provenance_events"
      provlog wait 2026-01-10-14-30 --timeout 5
    """
    from projections.waiting import wait_until_visible  # noqa: PLC0415 - brings in DuckDB

    store = open_store(root, database)
    if session is None:
        directories = store.session_directories()
    else:
        directories = [find_session_log(store, session).directory]
    wait_until_visible(store, directories, timeout_s=timeout_s)
