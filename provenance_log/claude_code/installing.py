"""Install the recorder into a settings file of Claude Code, and take it out again."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log import files
from provenance_log.claude_code.hook_settings import (
    ALL_EVENTS,
    EVENTS_OF_EVERY_VERSION,
    Before,
    events_known_to,
    has_ours,
    installed,
    uninstalled,
)
from provenance_log.errors import SettingsInvalid, StoreNotWritable

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTE_NAME = "claude-code-install.json"
FILE_BYTES_MAX = 4 * 1024 * 1024
_VERSION_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Change:
    """What an install or uninstall makes of a settings file; `None` where there is no file."""

    path: Path
    """The file itself, behind whatever symlink led to it."""
    old: str | None
    new: str | None
    before: Before | None
    """What has to be remembered for an uninstall; None after one."""

    @property
    def is_needed(self) -> bool:
        """Whether anything changes."""
        return self.old != self.new


def plan_install(path: Path, events: Sequence[str], command: str, note: Path) -> Change:
    """Say what an install would change.

    Hooks of an earlier install that differ are replaced. Raises `SettingsInvalid`.
    """
    path = path.resolve()
    old = _read(path)
    text, was_there = old or "", old is not None
    new, before = installed(text, events, command, path)
    if new == text:
        return Change(path, old, old, _remembered(note, path))
    if has_ours(text, path):
        remembered = _remembered(note, path)
        clean = uninstalled(text, remembered, path)
        was_there = remembered.was_there
        new, before = installed(clean or "", events, command, path)
    if not was_there:
        before = Before(was_there=False)
    return Change(path, old, new, before)


def plan_uninstall(path: Path, note: Path) -> Change:
    """Say what an uninstall would change; raises `SettingsInvalid`."""
    path = path.resolve()
    old = _read(path)
    new = None if old is None else uninstalled(old, _remembered(note, path), path)
    return Change(path, old, new, None)


def carry_out(change: Change, note: Path) -> None:
    """Write what was planned, as the old file or the new one at every moment.

    Raises `StoreNotWritable`, and `SettingsInvalid` where somebody changed the file meanwhile.
    """
    if _read(change.path) != change.old:
        message = "somebody changed it meanwhile; nothing was written"
        raise SettingsInvalid(message, path=change.path, hint="run the command again")
    try:
        if change.before is not None:
            _remember(note, change.path, change.before)
        if change.new is None:
            change.path.unlink(missing_ok=True)
        elif change.is_needed:
            files.make_directories(change.path.parent)
            data = change.new.encode()
            files.write_atomically(change.path, data, mode=_mode_of(change.path))
        if change.before is None:
            _remember(note, change.path, None)
    except OSError as error:
        message = f"can't be written: {error.strerror or error}"
        hint = "check the permissions and the space of its directory; nothing was changed"
        raise StoreNotWritable(message, path=change.path, hint=hint) from error


def choose_events(choice: str) -> tuple[tuple[str, ...], str | None]:
    """Return the events to hook, and the version of Claude Code that decided where one did."""
    if choice != "auto":
        return (ALL_EVENTS if choice == "all" else EVENTS_OF_EVERY_VERSION), None
    version = _claude_version()
    return events_known_to(version), version


def _claude_version() -> str | None:
    if shutil.which("claude") is None:
        return None
    try:
        done = subprocess.run(
            ["claude", "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_WAIT_S,
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()[:100] or None


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise SettingsInvalid(f"larger than {FILE_BYTES_MAX} bytes", path=path)
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        message = "not UTF-8; nothing was changed"
        raise SettingsInvalid(message, path=path, offset=error.start) from error
    except OSError as error:
        raise SettingsInvalid(f"can't be read: {error.strerror or error}", path=path) from error


def _mode_of(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return files.FILE_MODE


def _notes(note: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(note.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _remembered(note: Path, path: Path) -> Before:
    kept = _notes(note).get(os.fspath(path))
    try:
        return Before(**kept) if isinstance(kept, dict) else Before()
    except TypeError:  # somebody else wrote it
        return Before()


def _remember(note: Path, path: Path, before: Before | None) -> None:
    """Keep what an uninstall could not know from the file; most files need nothing of the kind."""
    notes = _notes(note)
    kept = dict(notes)
    kept.pop(os.fspath(path), None)
    if before is not None and before != Before():
        kept[os.fspath(path)] = asdict(before)
    if kept == notes:
        return
    if kept:
        files.make_directories(note.parent)
        files.write_atomically(note, orjson.dumps(kept, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        note.unlink(missing_ok=True)
