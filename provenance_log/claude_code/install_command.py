"""`provlog install claude-code`."""

import difflib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import click

from provenance_log.claude_code.hook_settings import ALL_EVENTS, recorder_command
from provenance_log.claude_code.installing import (
    NOTE_NAME,
    Change,
    carry_out,
    choose_events,
    plan_install,
    plan_uninstall,
)
from provenance_log.claude_code.locate import config_directory
from provenance_log.commands import json_option
from provenance_log.errors import StoreNotFound
from provenance_log.store import ENV_ROOT, ROOT_BELOW_PROJECT, find_root, initialise_store
from provenance_log.terminal import count, escape

SETTINGS_NAME = "settings.json"


@click.command()
@click.option("--project", "scope", flag_value="project", default=True, help="This project only.")
@click.option("--user", "scope", flag_value="user", help="Every project that has a store.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The store. Default: PROVENANCE_ROOT, else .claude/provenance here or above.",
)
@click.option(
    "--events",
    type=click.Choice(("auto", "base", "all")),
    default="auto",
    show_default=True,
    help="What to hook: what `claude --version` knows, what every version knows, or all.",
)
@click.option("--uninstall", is_flag=True, help="Take our hooks out, and nothing else.")
@click.option("--dry-run", is_flag=True, help="Show the change as a diff, and write nothing.")
@json_option
def claude_code(
    scope: str,
    root: Path | None,
    events: str,
    uninstall: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let Claude Code record what it does, through hooks in its settings.json.

    Adds our hooks to .claude/settings.json of this project, or with --user to that in your home,
    and keeps what is there. A version of Claude Code that meets an event it does not know ignores
    the whole file, so run this again after an update: it adds what the new version knows. Makes
    a store where the project has none. A file that is not JSON is left alone.

    \b
    Example:
      provlog install claude-code
      provlog install claude-code --user --dry-run
      provlog install claude-code --uninstall
    """
    store_root = _store_root(root)
    is_user = scope == "user"
    path = (config_directory() if is_user else _project(store_root) / ".claude") / SETTINGS_NAME
    note = (path.parent if is_user else store_root) / NOTE_NAME
    version: str | None = None
    if uninstall:
        change = plan_uninstall(path, note)
    else:
        chosen, version = choose_events(events)
        is_found = root is None and ENV_ROOT not in os.environ
        command = recorder_command(None if is_found else store_root)
        change = plan_install(path, chosen, command, note)
    made = _carry_out(change, note, None if is_user or uninstall else store_root, is_dry=dry_run)
    if as_json:
        click.echo(json.dumps(_jsonable(change, made, is_dry_run=dry_run)))
        return
    if dry_run:
        click.echo(_diff(change), nl=False)
    for line in _told(change, made, is_uninstall=uninstall, is_dry_run=dry_run):
        click.echo(line)
    if not uninstall:
        _tell_of_events(len(chosen), events, version)


def _store_root(root: Path | None) -> Path:
    """Return the root of the store, which may still have to be made."""
    given = root or (Path(os.environ[ENV_ROOT]) if os.environ.get(ENV_ROOT) else None)
    if given is not None:
        return given.expanduser().absolute()
    try:
        return find_root()
    except StoreNotFound:
        return ROOT_BELOW_PROJECT.absolute()


def _project(store_root: Path) -> Path:
    is_below_project = store_root.parts[-2:] == ROOT_BELOW_PROJECT.parts
    return store_root.parent.parent if is_below_project else Path.cwd()


def _carry_out(change: Change, note: Path, root: Path | None, *, is_dry: bool) -> bool:
    """Write, and make the store at `root` if there is none; return whether one was made."""
    is_missing = root is not None and not (root / "sessions").is_dir()
    if is_dry:
        return is_missing
    if root is not None and is_missing:
        initialise_store(root)
    carry_out(change, note)
    return is_missing


def _diff(change: Change) -> str:
    old, new = (text or "" for text in (change.old, change.new))
    lines = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        str(change.path),
        str(change.path),
    )
    text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
    return escape(text, keep="\n\t")


def _told(
    change: Change, is_store_made: bool, *, is_uninstall: bool, is_dry_run: bool
) -> Iterator[str]:
    where = escape(str(change.path))
    if not change.is_needed:
        yield f"nothing to do: {where} has {'no hooks of ours' if is_uninstall else 'the hooks'}"
    elif is_dry_run:
        yield "dry run: nothing was written"
    elif change.new is None:
        yield f"removed {where}, which held nothing but our hooks"
    elif is_uninstall:
        yield f"took our hooks out of {where}"
    else:
        yield f"wrote our hooks to {where}"
    if is_store_made and not is_dry_run:
        yield f"made a store in {escape(str(ROOT_BELOW_PROJECT))}; see `provlog init --help`"


def _tell_of_events(event_count: int, choice: str, version: str | None) -> None:
    if choice != "auto" or event_count == len(ALL_EVENTS):
        click.echo(f"hooked: {count(event_count)} events")
        return
    says = "Claude Code was not found" if version is None else f"claude --version says {version}"
    click.echo(f"hooked: the {count(event_count)} events that every version knows ({escape(says)})")
    click.echo(f"--events all hooks {len(ALL_EVENTS)}; an older version then ignores the file")


def _jsonable(change: Change, is_store_made: bool, *, is_dry_run: bool) -> dict[str, object]:
    return {
        "settings": str(change.path),
        "changed": change.is_needed and not is_dry_run,
        "would_change": change.is_needed,
        "store_made": is_store_made and not is_dry_run,
        "diff": _diff(change) if is_dry_run else None,
    }
