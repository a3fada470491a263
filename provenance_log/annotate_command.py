"""`provlog annotate`: parse, call, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from provenance_log.annotating import AnnotationKind
from provenance_log.annotating import annotate as append_annotations
from provenance_log.commands import json_option, store_options
from provenance_log.session_names import find_session_log
from provenance_log.store import open_store
from provenance_log.terminal import escape

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def _kind_options(command: _Command) -> _Command:
    """Give a command one option for each kind, passed as `finding: tuple[str, ...]` and so on."""
    for kind in reversed(get_args(AnnotationKind)):
        help_text = f"Add a {kind}; may be given several times."
        command = click.option(f"--{kind}", multiple=True, metavar="TEXT", help=help_text)(command)
    return command


@click.command()
@store_options
@json_option
@_kind_options
@click.argument("session")
def annotate(
    root: Path | None,
    database: Path | None,
    as_json: bool,
    session: str,
    **texts: tuple[str, ...],
) -> None:
    """Append findings, recommendations, warnings, goals and notes to the log of a session.

    SESSION is a session id or the beginning of one, the name or path of its directory, or
    `latest`. No database is needed, and the session may be over. The next manifest shows them,
    unless it is one that a person keeps.

    \b
    Example:
      provlog annotate latest --finding "PQQ range is 1000 times too high"
      provlog annotate 3f2a91c0 --warning "units unclear" --goal "check the units"
    """
    annotations = [(kind, text) for kind in get_args(AnnotationKind) for text in texts[kind]]
    if not annotations:
        raise click.UsageError("give a text, for example --note TEXT")
    if not all(text.strip() for _, text in annotations):
        raise click.UsageError("a text is empty")
    found = find_session_log(open_store(root, database), session)
    appended = append_annotations(found.directory, annotations)
    if as_json:
        lines = [
            {"action_id": line.action_id, "event_name": kind}
            for line, (kind, _) in zip(appended, annotations, strict=True)
        ]
        facts = {"session_id": found.session_id, "log": found.directory.name, "appended": lines}
        click.echo(json.dumps(facts))
        return
    number = "1 annotation" if len(appended) == 1 else f"{len(appended)} annotations"
    where = f"{escape(found.directory.name)} (session {escape(found.session_id)})"
    click.echo(f"appended {number} to {where}")
