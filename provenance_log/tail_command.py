"""The command `tail`: what agents did last and are doing now, straight from the logs."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import click

from provenance_log.action_lines import action_line, json_line, notice_line, texts_of
from provenance_log.commands import store_options
from provenance_log.errors import LineInvalid, SessionNotFound
from provenance_log.moments import moment_us
from provenance_log.recent import line_number_at, recent_lines
from provenance_log.session_names import LATEST, find_session_logs, latest_of, session_logs
from provenance_log.store import LOG_NAME, SessionDirectory, Store, open_store, read_session_id
from provenance_log.tailing import StoreTail, TailedLine, TailNotice

COUNT = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which actions to show; None, or an empty text, admits every one."""

    since_us: int | None = None
    types: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    text: str = ""
    """To be found in any text of the action, whatever the case; never a pattern."""

    def __call__(self, action: dict[str, Any], time_us: int) -> bool:
        """Say whether an action is to be shown."""
        if self.since_us is not None and time_us < self.since_us:
            return False
        for names, key in ((self.types, "type"), (self.tools, "tool"), (self.statuses, "status")):
            if names and action[key] not in names:
                return False
        text = self.text.casefold()
        return not text or any(text in found.casefold() for found in texts_of(action))


@click.command()
@click.argument("session", default=LATEST)
@store_options
@click.option("--all", "show_all", is_flag=True, help="Every session of the store.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is appended, until Ctrl-C.")
@click.option(
    *("-n", "--lines", "limit"),
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Begin with the last N actions. Default: {COUNT}; with --since, all of them.",
)
@click.option("--since", metavar="TIME", help="Only since 2026-01-31T10:00Z, or 10m, 2h, 3d ago.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this type of action.")
@click.option("--tool", "tools", multiple=True, metavar="NAME", help="Only this tool.")
@click.option("--status", "statuses", multiple=True, metavar="STATUS", help="Only this status.")
@click.option("--grep", "text", metavar="TEXT", help="Only with this text in it, in any case.")
@click.option("--json", "as_json", is_flag=True, help="Print each action as JSON, for programs.")
@click.option("--raw", is_flag=True, help="Print the bytes of each line; not to a terminal.")
@click.pass_context
def tail(
    context: click.Context,
    session: str,
    root: Path | None,
    database: Path | None,
    show_all: bool,
    follow: bool,
    limit: int | None,
    since: str | None,
    types: tuple[str, ...],
    tools: tuple[str, ...],
    statuses: tuple[str, ...],
    text: str | None,
    as_json: bool,
    raw: bool,
) -> None:
    """Show the last actions of a session, and with -f what comes, straight from the logs.

    SESSION is a session id or the beginning of one, the name or path of its directory, or
    `latest`, the one that started last. With -f, `latest` goes on to sessions that start later.
    Times are UTC. Options that choose may be repeated. Lines that are no actions are shown as a
    notice, with --json and --raw on stderr. Payloads that moved to blobs are not searched.

    \b
    Example:
      provlog tail
      provlog tail -f --all
      provlog tail latest --status failure --since 2h
      provlog tail --all --json --grep kegg | jq .tool
    """
    if as_json and raw:
        raise click.UsageError("--json and --raw exclude each other")
    if raw and sys.stdout.isatty():
        raise click.UsageError("--raw prints what could act on a terminal; send it elsewhere")
    if show_all and context.get_parameter_source("session") != click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--all and SESSION exclude each other")
    store = open_store(root, database)
    since_us = None if since is None else moment_us(since, datetime.now(UTC))
    wanted = Wanted(since_us, types, tools, statuses, text or "")
    if limit is None and since is None:
        limit = COUNT
    printer = _Printer(store, wanted, "json" if as_json else "raw" if raw else "text")
    given = None if show_all else session
    if follow:
        with _stopped_by_signal() as is_stopped:
            selection = _select(store, given, may_be_empty=True)
            _follow(store, selection, printer, limit, is_stopped)
    elif not _show(_select(store, given), printer, limit):
        context.exit(1)


@dataclass(frozen=True, slots=True)
class _Selection:
    directories: Sequence[SessionDirectory]
    is_followed: Callable[[str], bool]
    """Says of a directory's name whether its log is followed, also when it appears later."""


class _Printer:
    """Prints what a tail hands out, in one of the forms `text`, `json` and `raw`."""

    def __init__(self, store: Store, wanted: Wanted, form: str) -> None:
        self.wanted = wanted
        self._store = store
        self._form = form
        self._session_names: dict[str, str] = {}

    def show(self, item: TailedLine | TailNotice) -> None:
        """Print one item at once, or nothing where it is an action that nobody asked for."""
        if isinstance(item, TailNotice):
            self._session_names.pop(item.log, None)  # another session may be in its place
            self._notify(item.log, item.message)
            return
        try:
            action, time_us = item.decode()
        except LineInvalid as error:
            self._show_invalid(item, error)
            return
        if not self.wanted(action, time_us):
            return
        if self._form == "raw":
            self._write(item.content)
        elif self._form == "json":
            click.echo(json_line(action))
        else:
            click.echo(self._line(item.log, action, time_us))

    def _line(self, log: str, action: dict[str, Any], time_us: int) -> str:
        if log not in self._session_names:
            directory = SessionDirectory(log, self._store.sessions_dir / log)
            self._session_names[log] = read_session_id(directory) or log
        name = self._session_names[log]
        return action_line(action, time_us, name, width=_width(), is_coloured=_is_coloured())

    def _show_invalid(self, item: TailedLine, error: LineInvalid) -> None:
        if self._form == "raw" and self.wanted == Wanted():
            self._write(item.content)
        log = self._store.sessions_dir / item.log / LOG_NAME
        number = item.line_number or line_number_at(log, item.offset)
        place = f"byte {item.offset}" if number is None else f"line {number}"
        self._notify(item.log, f"{place} is no action: {error.reason}")

    def _notify(self, log: str, text: str) -> None:
        if self._form == "text":
            click.echo(notice_line(log, text, width=_width(), is_coloured=_is_coloured()))
        else:
            click.echo(notice_line(log, text), err=True)

    def _write(self, content: bytes | None) -> None:
        if content is not None:
            sys.stdout.buffer.write(content + b"\n")
            sys.stdout.buffer.flush()


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _is_coloured() -> bool:
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_wanted and sys.stdout.isatty()


def _show(selection: _Selection, printer: _Printer, limit: int | None) -> bool:
    """Print what there is, and say whether every log could be read."""
    wanted = printer.wanted
    recent = recent_lines(selection.directories, limit, wanted, since_us=wanted.since_us)
    for item in chain(recent.notices, recent.lines()):
        printer.show(item)
    return not recent.notices


def _follow(
    store: Store,
    selection: _Selection,
    printer: _Printer,
    limit: int | None,
    is_stopped: Callable[[], bool],
) -> None:
    """Print what there is and what comes, until a signal or the end of whoever reads it."""

    def is_wanted(action: dict[str, Any], time_us: int) -> bool:
        if is_stopped():  # a long log may be searched before there is anything to print
            raise click.exceptions.Exit(0)
        return printer.wanted(action, time_us)

    since_us = printer.wanted.since_us
    recent = recent_lines(selection.directories, limit, is_wanted, since_us=since_us)
    logs = StoreTail(store, is_followed=selection.is_followed, positions=recent.positions)
    to_come = logs.follow(lambda: is_stopped() or _is_pipe_closed())
    for item in chain(recent.lines(), to_come):
        printer.show(item)
        if is_stopped():
            return


@contextmanager
def _stopped_by_signal() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C or SIGTERM end the work after the current line; a second one ends it at once."""
    numbers: list[int] = []

    def stop(number: int, _frame: object) -> None:
        numbers.append(number)
        for same in before:  # as this one waits for whoever reads our output, if he does not
            signal.signal(same, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(numbers)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_pipe_closed() -> bool:
    """Raise BrokenPipeError where nobody reads our output any more, though nothing was printed."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return False  # no file at all, as in a test
    poll = select.poll()
    poll.register(descriptor, 0)
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
        raise BrokenPipeError
    return False


def _select(store: Store, given: str | None, *, may_be_empty: bool = False) -> _Selection:
    """Return what a person means by SESSION, or every session; raises `SessionNotFound`."""
    if given is None:
        return _Selection(store.session_directories(), lambda _name: True)
    if given == LATEST:
        logs = session_logs(store)
        if not logs and not may_be_empty:
            raise SessionNotFound("there is no session yet", hint="`provlog tail -f` waits for one")
        chosen = [latest_of(logs).directory] if logs else []
        others = {log.name for log in logs} - {directory.name for directory in chosen}
        return _Selection(chosen, lambda name: name not in others)
    directory = find_session_logs(store, given)[0].directory
    return _Selection([directory], lambda name: name == directory.name)
