"""The command `verify`: which logs a person means, and what they are held against.

The database is brought in by `--db` alone, so that logs can be verified without DuckDB.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from projections.verify_pages import json_document, log_page, overview
from provenance_log.anchors import (
    MANIFEST_BYTES_MAX,
    Anchor,
    anchor_beside,
    anchor_of_hash,
    anchor_of_manifest,
)
from provenance_log.archive_index import read_index
from provenance_log.commands import json_option
from provenance_log.errors import ProvlogError, SessionNotFound
from provenance_log.restoring import chosen_entries
from provenance_log.session_names import find_session_log
from provenance_log.store import LOG_NAME, MANIFEST_NAME, Store, open_store
from provenance_log.terminal import escape, progress
from provenance_log.verifying import (
    EXIT_DAMAGED,
    EXIT_OK,
    EXIT_TAMPERED,
    EXIT_UNREADABLE,
    Report,
    verify_log,
    verify_logs,
)
from provenance_log.verifying_archived import verify_archived

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provenance_log.verifying_levels import Level

EXIT_USAGE = 4
_WORST_FIRST = (EXIT_TAMPERED, EXIT_UNREADABLE, EXIT_DAMAGED, EXIT_OK)
DATABASE_WAIT_S = 10.0


class _UsageRefused(click.UsageError):
    """The command line is wrong; click's own code for that, 2, means damage here."""

    exit_code = EXIT_USAGE


class _VerifyCommand(click.Command):
    """A command whose exit codes say what became of the logs, also where it could not look."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; a usage error carries our code."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _UsageRefused(error.format_message(), error.ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what keeps it from looking at all must not look like tampering."""
        try:
            return super().invoke(ctx)
        except ProvlogError as error:
            error.exit_code = EXIT_UNREADABLE
            raise
        except BrokenPipeError:
            raise
        except OSError as error:
            refused = ProvlogError(error.strerror or str(error), path=error.filename)
            refused.exit_code = EXIT_UNREADABLE
            raise refused from error


@click.command(cls=_VerifyCommand)
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option("--all", "every", is_flag=True, help="Verify every session of the store.")
@click.option(
    "--archived", is_flag=True, help="Those in the archive, against the heads in its index."
)
@click.option(
    "--against",
    metavar="MANIFEST|HEAD",
    help="What the log must still hold: a manifest.yaml (`-` for stdin), or the hash of a line. "
    "Default: the manifest.yaml beside the log. For one SESSION only.",
)
@click.option(
    "--db",
    "with_database",
    is_flag=True,
    help="Also compare the database (PROVENANCE_DB, config.yaml, or the store's own), and the "
    "derived files with it.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The store. Default: PROVENANCE_ROOT, else .claude/provenance here or above.",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    sessions: tuple[str, ...],
    every: bool,
    archived: bool,
    against: str | None,
    with_database: bool,
    root: Path | None,
    as_json: bool,
) -> None:
    """Check that logs are whole and were not changed, and say what can't be proved.

    SESSION is a session id, the beginning of one, the name of its directory, a path to it (also
    outside of a store), or `latest`. Nothing is written, no lock is taken, and without --db no
    database is opened. With --archived alone, every archived session is verified.

    \b
    Levels, each reported apart:
      framing   whole lines, blank lines, a torn tail (normal after a crash)
      schema    every line is an action; the others are in quarantine
      chain     every line names the hash of the line before it
      anchor    the log still holds the line that was its last one when the anchor was kept
      blobs     every payload beside the log is there and unchanged
      derived   manifest and summary are as generated; with --db, as the tables say
      database  with --db: every table holds what the log says, as far as it is projected

    \b
    Exit codes; of several logs the worst counts, in the order 1, 3, 2, 0:
      0  nothing wrong was found: OK, OK-unsealed-tail, or UNKNOWN for a log without any chain
      1  changed after it was written: TAMPERED, TRUNCATED-vs-anchor, TRUNCATED-vs-database
      2  damaged, without a sign of tampering: QUARANTINED(n), BLOBS-MISSING(n),
         DATABASE-DIFFERS(n), DERIVED-DIFFERS(n)
      3  a log, blob, anchor or the database can't be read, or there is no such session: UNKNOWN
      4  the command line itself is wrong

    \b
    Example:
      provlog verify latest
      provlog verify --all --db
      provlog verify --archived
      git show HEAD:./manifest.yaml | provlog verify . --against -
    """
    if archived:
        if every or against is not None or with_database:
            raise _UsageRefused("--archived excludes --all, --against and --db.", ctx)
        reports = list(_archived_reports(open_store(root), sessions))
        _tell(ctx, reports, None, is_one=bool(sessions), as_json=as_json, not_checked=("database",))
    if every == bool(sessions):
        raise _UsageRefused("Name one or more sessions, or give --all.", ctx)
    logs = _all_logs(open_store(root)) if every else _named_logs(root, sessions)
    if against is not None and (every or len(logs) != 1):
        raise _UsageRefused("--against holds for one log: name one SESSION.", ctx)
    store = _store_of(logs, root, ctx) if with_database else None
    reports, indices = list(_reports(logs, against)), None
    if store is not None:
        reports, indices = _with_parity(store, reports, every=every)
    not_checked = () if with_database else ("database",)
    _tell(ctx, reports, indices, is_one=not every, as_json=as_json, not_checked=not_checked)


def _tell(
    ctx: click.Context,
    reports: Sequence[Report],
    indices: Level | None,
    *,
    is_one: bool,
    as_json: bool,
    not_checked: Sequence[str],
) -> NoReturn:
    """Print what was found, and end with its exit code."""
    codes = [report.exit_code for report in reports]
    codes += [EXIT_DAMAGED] if indices is not None and indices.state == "damaged" else []
    code = min(codes, key=_WORST_FIRST.index, default=EXIT_OK)
    if as_json:
        click.echo(json_document(reports, code, indices, not_checked))
    elif len(reports) == 1 and is_one:
        click.echo(log_page(reports[0]))
    else:
        click.echo(overview(reports, indices))
    ctx.exit(code)


def _archived_reports(store: Store, given: Sequence[str]) -> Iterator[Report]:
    entries = chosen_entries(store, read_index(store), given)
    with progress("verifying") as advance:
        for done, entry in enumerate(entries, start=1):
            yield verify_archived(store, entry)
            advance(done, len(entries))


def _store_of(logs: Sequence[Path], root: Path | None, ctx: click.Context) -> Store:
    """Return the store whose database is to be compared; a log elsewhere is a usage error."""
    store = open_store(root)
    sessions_dir = store.sessions_dir.resolve()
    for log in logs:
        if log.parent.parent.resolve() != sessions_dir:
            raise _UsageRefused(f"--db holds for sessions of {store.root}, and {log} is none.", ctx)
    return store


def _with_parity(
    store: Store, reports: Sequence[Report], *, every: bool
) -> tuple[list[Report], Level | None]:
    """Add to each report what the database and the derived files came to."""
    from projections.parity import check_parity  # noqa: PLC0415 - brings in DuckDB, for --db alone

    names = [report.log.parent.name for report in reports]
    with progress("comparing") as advance:
        parities, indices = check_parity(
            store, names, with_indices=every, wait_s=DATABASE_WAIT_S, on_progress=advance
        )
    found = []
    for report in reports:
        levels = {level.name: level for level in report.levels}
        levels |= {level.name: level for level in parities[report.log.parent.name]}
        found.append(replace(report, levels=tuple(levels.values())))
    return found, indices


def _reports(logs: Sequence[Path], against: str | None) -> Iterator[Report]:
    given = None if against is None else _given_anchor(against)
    with progress("verifying") as advance:
        verify_one = partial(verify_log, anchor=given) if given else _verify_as_its_manifest_says
        for done, report in enumerate(verify_logs(logs, verify_one), start=1):
            yield report
            advance(done, len(logs))


def _verify_as_its_manifest_says(log: Path) -> Report:
    # The manifest is read before the log, which may grow meanwhile.
    try:
        anchor = anchor_beside(log)
    except ProvlogError as error:
        return verify_log(log, anchor_error=f"{MANIFEST_NAME} {error.message}")
    return verify_log(log, anchor)


def _given_anchor(against: str) -> Anchor:
    anchor = anchor_of_hash(against)
    if anchor is not None:
        return anchor
    try:
        anchor = anchor_of_manifest(_given_content(against))
    except OSError as error:
        hint = "give the path of a manifest.yaml, `-` for stdin, or a hash of 64 hex digits"
        raise ProvlogError(error.strerror or str(error), path=against, hint=hint) from error
    except ProvlogError as error:
        error.path = against
        raise
    if anchor is None:
        hint = "only a manifest that provenance-log wrote has one"
        raise ProvlogError("there is no `log:` block in it", path=against, hint=hint)
    return anchor


def _given_content(against: str) -> bytes:
    if against == "-":
        return sys.stdin.buffer.read(MANIFEST_BYTES_MAX + 1)
    with Path(against).open("rb") as file:
        return file.read(MANIFEST_BYTES_MAX + 1)


def _all_logs(store: Store) -> list[Path]:
    """Return every log, and the place of every log that only a manifest still tells of."""
    logs = []
    for directory in store.session_directories():
        if os.path.lexists(directory.log) or _is_anchored(directory.log):
            logs.append(directory.log)
        else:
            click.echo(f"note: there is no log in {directory.name}", err=True)
    for name in store.unsafe_names():
        click.echo(f"note: passed over, its name is not safe: {escape(name)}", err=True)
    return logs


def _is_anchored(log: Path) -> bool:
    try:
        return anchor_beside(log) is not None
    except ProvlogError:
        return True


def _named_logs(root: Path | None, given: Sequence[str]) -> list[Path]:
    """Return the logs that these names and paths mean, each once; raises `SessionNotFound`."""
    logs = [
        _log_at(Path(name).absolute())
        if "/" in name or name in {".", "..", LOG_NAME}
        else _log_named(open_store(root), name)
        for name in given
    ]
    return list(dict.fromkeys(logs))


def _log_named(store: Store, name: str) -> Path:
    # By its directory a log is found even if it is empty, or no plain file.
    for directory in store.session_directories():
        if directory.name == name and os.path.lexists(directory.log):
            return directory.log
    return find_session_log(store, name).directory.log


def _log_at(path: Path) -> Path:
    log = path / LOG_NAME if path.is_dir() else path
    if os.path.lexists(log):
        return log
    hint = f"give the directory of a session, which holds {LOG_NAME}"
    raise SessionNotFound("there is no log", path=log, hint=hint)
