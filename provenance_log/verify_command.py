"""The command `verify`: which logs a person means, the anchor to hold them against, the report."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provenance_log.anchors import (
    MANIFEST_BYTES_MAX,
    Anchor,
    anchor_of_hash,
    anchor_of_manifest,
)
from provenance_log.commands import json_option
from provenance_log.errors import LineInvalid, ProvlogError, SessionNotFound
from provenance_log.format import decode
from provenance_log.reader import open_for_reading, read_first_line
from provenance_log.session_names import find_session_log
from provenance_log.store import LOG_NAME, Store, open_store
from provenance_log.terminal import count, escape, progress, table
from provenance_log.verifying import (
    EXIT_DAMAGED,
    EXIT_OK,
    EXIT_TAMPERED,
    EXIT_UNREADABLE,
    Report,
    verify_log,
)
from provenance_log.verifying_levels import Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_USAGE = 4
_WORST_FIRST = (EXIT_TAMPERED, EXIT_UNREADABLE, EXIT_DAMAGED, EXIT_OK)
MANIFEST_NAME = "manifest.yaml"
NOT_CHECKED = ("database", "derived files")


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
    "--against",
    metavar="MANIFEST|HEAD",
    help="What the log must still hold: a manifest.yaml (`-` for stdin), or the hash of a line. "
    "Default: the manifest.yaml beside the log. For one SESSION only.",
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
    against: str | None,
    root: Path | None,
    as_json: bool,
) -> None:
    """Check that logs are whole and were not changed, and say what can't be proved.

    SESSION is a session id, the beginning of one, the name of its directory, a path to it (also
    outside of a store), or `latest`. Only logs, manifests and blobs are read, nothing is written.

    \b
    Five levels, each reported apart:
      framing  whole lines, blank lines, a torn tail (normal after a crash)
      schema   every line is an action; the others are in quarantine
      chain    every line names the hash of the line before it
      anchor   the log still holds the line that was its last one when the anchor was kept
      blobs    every payload beside the log is there and unchanged

    Not checked here: the database and the derived files. `provlog rebuild` makes them anew.

    \b
    Exit codes; of several logs the worst counts, in the order 1, 3, 2, 0:
      0  nothing wrong was found: OK, OK-unsealed-tail, or UNKNOWN for a log without any chain
      1  changed after it was written: TAMPERED, TRUNCATED-vs-anchor
      2  damaged, without a sign of tampering: QUARANTINED(n), BLOBS-MISSING(n)
      3  a log, blob or anchor can't be read, or there is no such session: UNKNOWN
      4  the command line itself is wrong

    \b
    Example:
      provlog verify latest
      provlog verify --all
      git show HEAD:./manifest.yaml | provlog verify . --against -
    """
    if every == bool(sessions):
        raise _UsageRefused("Name one or more sessions, or give --all.", ctx)
    logs = _all_logs(open_store(root)) if every else _named_logs(root, sessions)
    if against is not None and (every or len(logs) != 1):
        raise _UsageRefused("--against holds for one log: name one SESSION.", ctx)
    reports = list(_reports(logs, against))
    code = min((report.exit_code for report in reports), key=_WORST_FIRST.index, default=EXIT_OK)
    if as_json:
        click.echo(_json(reports, code))
    elif len(reports) == 1 and not every:
        click.echo(_page(reports[0]))
    else:
        click.echo(_overview(reports))
    ctx.exit(code)


def _reports(logs: Sequence[Path], against: str | None) -> Iterator[Report]:
    given = None if against is None else _given_anchor(against)
    with progress("verifying") as advance:
        for done, log in enumerate(logs, start=1):
            yield verify_log(log, given) if given else _verify_as_its_manifest_says(log)
            advance(done, len(logs))


def _verify_as_its_manifest_says(log: Path) -> Report:
    # The manifest is read before the log, which may grow meanwhile.
    try:
        anchor = _own_anchor(log)
    except ProvlogError as error:
        return verify_log(log, anchor_error=f"{MANIFEST_NAME} {error.message}")
    return verify_log(log, anchor)


def _own_anchor(log: Path) -> Anchor | None:
    """Return the anchor of the manifest beside a log; None where a person wrote the manifest.

    The manifest that a log was reconstructed from is about the log that was lost.
    """
    path = log.with_name(MANIFEST_NAME)
    try:
        with os.fdopen(open_for_reading(path), "rb") as file:
            content = file.read(MANIFEST_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProvlogError(f"can't be read: {error.strerror or error}", path=path) from error
    return None if _is_source_of(log, content) else anchor_of_manifest(content)


def _is_source_of(log: Path, manifest: bytes) -> bool:
    raw = read_first_line(log)
    try:
        value = decode(raw.content) if raw is not None and raw.content is not None else {}
    except LineInvalid:
        return False  # verify_log will say what is wrong with the log
    session = (value.get("details") or {}).get("session")
    source = session.get("source") if isinstance(session, dict) else None
    if not isinstance(source, dict) or source.get("reconstructed") is not True:
        return False
    return source.get("sha256") == hashlib.sha256(manifest).hexdigest()


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
        return _own_anchor(log) is not None
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


def _page(report: Report) -> str:
    """Return what is true of one log, in lines that fit the terminal."""
    width = shutil.get_terminal_size().columns
    title = f"{report.log.parent.name}  {report.session_id or '(no session)'}  {report.verdict}"
    lines = [title]
    for level in report.levels:
        lines += _wrapped(f"  {level.name:<9}{level.state:<12}{level.text}", width, " " * 23)
    lines += ["", "Not proved:"]
    for text in report.not_proved:
        lines += _wrapped(f"  - {text}", width, "    ")
    return "\n".join(map(escape, lines))


def _overview(reports: Sequence[Report]) -> str:
    """Return a line for each log, how many there are of each verdict, and what is not proved."""
    if not reports:
        return "there is no log to verify"
    rows = [
        (r.log.parent.name, r.session_id, r.verdict, count(r.line_count), _worst(r))
        for r in reports
    ]
    verdicts = Counter(report.verdict.partition("(")[0] for report in reports)
    lines = [
        *table(("directory", "session", "verdict", "lines", "first bad"), rows).split("\n"),
        "",
        ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items())),
        "",
        "Not proved:",
    ]
    width = shutil.get_terminal_size().columns
    for text, number in Counter(text for r in reports for text in r.not_proved).items():
        lines += _wrapped(f"  - ({number} of {len(reports)}) {text}", width, "    ")
    return "\n".join(lines)


def _worst(report: Report) -> str:
    bad = report.first_bad
    if bad is not None:
        return f"{bad.name}: line {bad.line}, byte {bad.offset}"
    unreadable = (level.text for level in report.levels if level.state == "unreadable")
    return next(unreadable, "")


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _json(reports: Sequence[Report], code: int) -> str:
    document = {
        "exit_code": code,
        "sessions": [_jsonable(report) for report in reports],
        "not_checked": NOT_CHECKED,
    }
    return json.dumps(document)  # in printable ASCII, so nothing of a log acts on a terminal


def _jsonable(report: Report) -> dict[str, object]:
    bad = report.first_bad
    return {
        "log": os.fsencode(report.log).decode("utf-8", "backslashreplace"),
        "session_id": report.session_id,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "lines": report.line_count,
        "bytes": report.size_bytes,
        "head": report.head,
        "first_bad": bad and {"level": bad.name, "line": bad.line, "offset": bad.offset},
        "levels": {level.name: _jsonable_level(level) for level in report.levels},
        "not_proved": report.not_proved,
    }


def _jsonable_level(level: Level) -> dict[str, object]:
    return {key: value for key, value in asdict(level).items() if key != "name"}
