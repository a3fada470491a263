"""The hooks in Claude Code's `settings.json`: added beside what is there, and taken out again.

Our entries are known by their command, as Claude Code drops whatever else would mark them. The
rest of the file keeps its bytes.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance_log.errors import SettingsInvalid
from provenance_log.json_text import (
    Container,
    Item,
    blank_in,
    container_at,
    root_of,
    with_blank,
    with_item,
    without,
)
from provenance_log.store import ENV_ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_S = 10

EVENTS_OF_EVERY_VERSION = (
    *("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Notification"),
    *("PreCompact", "SubagentStop", "Stop", "SessionEnd"),
)
"""An event that a version does not know makes it pass over the whole file, so these are what is
installed where the version is not known."""
ALL_EVENTS = (
    *EVENTS_OF_EVERY_VERSION,
    *("ConfigChange", "CwdChanged", "DirectoryAdded", "Elicitation", "ElicitationResult"),
    *("FileChanged", "InstructionsLoaded", "PermissionDenied", "PermissionRequest"),
    *("PostCompact", "PostToolBatch", "PostToolUseFailure", "Setup", "StopFailure"),
    *("SubagentStart", "TaskCompleted", "TaskCreated", "TeammateIdle", "UserPromptExpansion"),
    "WorktreeRemove",
)
"""All but two: a hook of WorktreeCreate takes the place of what git does, and MessageDisplay
comes with every few words."""
ALL_EVENTS_SINCE = (2, 1, 240)
"""The version of the reference that lists them."""

# Claude Code does not wait for an async hook, not even when it ends: these come last.
_SYNC_EVENTS = frozenset({"Stop", "StopFailure", "SubagentStop", "SessionEnd"})
_HOOK_FILE = Path(__file__).with_name("hook.py")
_OURS = re.compile(r"provenance_log/claude_code/hook\.py|(?:^|[\s/'\"])provlog-hook(?:['\"\s]|$)")


@dataclass(frozen=True, slots=True)
class Before:
    """What an uninstall could not know from the file: how it was where it was empty."""

    was_there: bool = True
    """Whether there was a file."""
    text: str | None = None
    """The whole file where it held only blanks."""
    blanks: Mapping[str, str] = field(default_factory=dict)
    """What stood inside empty containers, by their path: ``, `hooks`, `hooks.Stop`."""


def recorder_command(root: Path | None) -> str:
    """Return the shell command of a hook; `root` is a store that could not be found by itself."""
    command = shlex.join([sys.executable, "-I", "-S", str(_HOOK_FILE)])
    return command if root is None else f"{ENV_ROOT}={shlex.quote(str(root))} {command}"


def events_known_to(version_text: str | None) -> tuple[str, ...]:
    """Return the events to hook for what `claude --version` says; None where it says nothing."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", version_text or "")
    if match is None:
        return EVENTS_OF_EVERY_VERSION
    is_new = tuple(int(part) for part in match.groups()) >= ALL_EVENTS_SINCE
    return ALL_EVENTS if is_new else EVENTS_OF_EVERY_VERSION


def installed(text: str, events: Sequence[str], command: str, path: Path) -> tuple[str, Before]:
    """Return the settings with our hooks, and what it takes to undo that.

    The text has none of ours yet, or exactly these, and then it comes back as it is.
    Raises `SettingsInvalid` for a text that is not JSON, or has something else where hooks belong.
    """
    check_settings(text, path)
    wanted = {event: _entry(event, command) for event in events}
    if _hooks_in(text) == [(event, wanted[event]) for event in sorted(wanted)]:
        return text, Before()
    if not text.strip():
        return with_item("{}", root_of("{}"), "hooks", _hooks_of(wanted), 0) + "\n", Before(
            text=text
        )
    before = Before(blanks=_blanks(text, events))
    for event in events:
        text = _with_group(text, event, {"hooks": [wanted[event]]})
    return text, before


def uninstalled(text: str, before: Before, path: Path) -> str | None:
    """Return the settings without our hooks; None where there was no file before.

    Containers that our hooks leave empty go too, unless they were there before.
    """
    check_settings(text, path)
    is_changed = False
    while (found := _first_of_ours(text)) is not None:
        text = _without_entry(text, found, before.blanks)
        is_changed = True
    if not is_changed or root_of(text).items:
        return text
    if not before.was_there:
        return None
    return text if before.text is None else before.text


def has_ours(text: str, path: Path) -> bool:
    """Say whether the settings have any hook of ours."""
    check_settings(text, path)
    return _first_of_ours(text) is not None


def check_settings(text: str, path: Path) -> None:
    """Raise `SettingsInvalid` for settings that can't be changed without doing harm."""
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _not_json(text, error, path) from error
    hint = "mend it, then run the command again; nothing was changed"
    if not isinstance(value, dict):
        raise SettingsInvalid("not a JSON object", path=path, hint=hint)
    hooks = value.get("hooks", {})
    if [item.key for item in root_of(text).items].count("hooks") > 1:
        raise SettingsInvalid("has two members named hooks", path=path, hint=hint)
    if not isinstance(hooks, dict):
        raise SettingsInvalid("hooks is not an object", path=path, hint=hint)
    for event, groups in hooks.items():
        if not isinstance(groups, list):
            raise SettingsInvalid(f"hooks.{event} is not an array", path=path, hint=hint)


def _not_json(text: str, error: json.JSONDecodeError, path: Path) -> SettingsInvalid:
    beginning = text[error.pos : error.pos + 2]
    is_comment = beginning in {"//", "/*"} or beginning.startswith("#")
    reason = "a comment, which JSON has not" if is_comment else error.msg
    hint = f"{'take it out' if is_comment else 'mend it'}, then run the command again"
    message = f"not JSON at column {error.colno}: {reason}; nothing was changed"
    return SettingsInvalid(message, path=path, line=error.lineno, hint=hint)


def _entry(event: str, command: str) -> dict[str, Any]:
    handler = {"type": "command", "command": command, "timeout": TIMEOUT_S}
    return handler if event in _SYNC_EVENTS else {**handler, "async": True}


def _hooks_of(wanted: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {event: [{"hooks": [handler]}] for event, handler in wanted.items()}


def is_ours(handler: object) -> bool:
    """Say whether a handler runs our recorder, of whatever installation."""
    command = handler.get("command") if isinstance(handler, dict) else None
    return isinstance(command, str) and _OURS.search(command) is not None


def _hooks_in(text: str) -> list[tuple[str, Any]]:
    """Return our handlers with their events, sorted."""
    value = json.loads(text) if text.strip() else {}
    return sorted(
        (
            (event, handler)
            for event, groups in value.get("hooks", {}).items()
            for group in groups
            if isinstance(group, dict) and isinstance(group.get("hooks"), list)
            for handler in group["hooks"]
            if is_ours(handler)
        ),
        key=lambda found: found[0],
    )


def _blanks(text: str, events: Sequence[str]) -> dict[str, str]:
    root = root_of(text)
    found = {"": blank_in(text, root)}
    hooks = root.member("hooks")
    if hooks is not None:
        inner = container_at(text, hooks.value_start)
        found["hooks"] = blank_in(text, inner)
        for event in events:
            member = inner.member(event)
            if member is not None:
                blank = blank_in(text, container_at(text, member.value_start))
                found[f"hooks.{event}"] = blank
    return {path: blank for path, blank in found.items() if blank is not None}


def _with_group(text: str, event: str, group: dict[str, Any]) -> str:
    root = root_of(text)
    hooks = root.member("hooks")
    if hooks is None:
        return with_item(text, root, "hooks", {event: [group]}, 0)
    inner = container_at(text, hooks.value_start)
    member = inner.member(event)
    if member is None:
        return with_item(text, inner, event, [group], 1)
    return with_item(text, container_at(text, member.value_start), None, group, 2)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a handler of ours stands."""

    event: Item
    groups: Container
    group: Item
    handlers: Container
    handler: Item


def _first_of_ours(text: str) -> _Place | None:
    hooks = root_of(text).member("hooks") if text.strip() else None
    for event in () if hooks is None else container_at(text, hooks.value_start).items:
        groups = container_at(text, event.value_start)
        for group in groups.items:
            if not isinstance(group.value, dict) or not isinstance(group.value.get("hooks"), list):
                continue
            member = container_at(text, group.value_start)["hooks"]
            handlers = container_at(text, member.value_start)
            for handler in handlers.items:
                if is_ours(handler.value):
                    return _Place(event, groups, group, handlers, handler)
    return None


def _without_entry(text: str, place: _Place, blanks: Mapping[str, str]) -> str:
    if len(place.handlers.items) > 1:
        return without(text, place.handlers, place.handler)
    text = without(text, place.groups, place.group)
    if len(place.groups.items) > 1:
        return text
    path = f"hooks.{place.event.key}"
    if path in blanks:
        return with_blank(text, container_at(text, place.event.value_start), blanks[path])
    inner = container_at(text, root_of(text)["hooks"].value_start)
    text = without(text, inner, _same(inner, place.event))
    if len(inner.items) > 1:
        return text
    root = root_of(text)
    hooks = root["hooks"]
    if "hooks" in blanks:
        return with_blank(text, container_at(text, hooks.value_start), blanks["hooks"])
    text = without(text, root, hooks)
    return text if len(root.items) > 1 else with_blank(text, root_of(text), blanks.get("", ""))


def _same(container: Container, item: Item) -> Item:
    """Return the item that stands in the same place after a change further on in the text."""
    return next(one for one in container.items if one.start == item.start)
