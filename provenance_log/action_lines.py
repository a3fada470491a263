"""One action as one line for people, which reads well at 80 columns, or as JSON for programs.

Everything that comes from a log passes `terminal.escape` here, and colour is put around it after
that (invariant S1). The columns are time (UTC), session, type, tool, status, duration, and the one
detail that says what the action was about, which gets the room that is left.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from provenance_log.format import event_name_of, event_type_of
from provenance_log.terminal import display_width, duration, elide, escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SESSION_WIDTH = 8
_TYPE_WIDTH = 8
_TOOL_WIDTH = 10
_STATUS_WIDTH = 7
_DURATION_WIDTH = 8
_DETAIL_WIDTH_MIN = 10
_DETAIL_WIDTH_MAX = 200
"""What a line shows of a detail where no terminal limits it."""
_READ_CHARACTERS_MAX = 4000
_MICROSECONDS = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PATH_KEYS = ("file_path", "notebook_path")
_SUBJECT_KEYS = ("command", *_PATH_KEYS, "pattern", "query", "url", "path", "description", "prompt")
_SPOKEN = {"user_prompt": "prompt", "assistant_message": "answer"}

_DIM = "2"
_YELLOW = "33"
_STATUS_COLOURS = {"failure": "31", "partial": _YELLOW, "skipped": _DIM, "success": "32"}


def action_line(
    action: Mapping[str, Any],
    time_us: int,
    session: str,
    *,
    width: int | None = None,
    is_coloured: bool = False,
) -> str:
    """Return the line of a decoded action; never more than `width` columns, if a width is given.

    `session` is its id or another name, of which the first eight characters are shown.
    """
    clock = (_EPOCH + time_us * _MICROSECONDS).strftime("%H:%M:%S")
    status = str(action["status"])
    lasted = duration(action.get("duration_ms"))
    parts = [
        (clock, _DIM),
        (_cell(session[:_SESSION_WIDTH], _SESSION_WIDTH), _DIM),
        (_cell(str(action["type"]), _TYPE_WIDTH), ""),
        (_cell(str(action["tool"]), _TOOL_WIDTH, keep_end=str(action["tool"])[:5] == "mcp__"), ""),
        (_cell(status, _STATUS_WIDTH), _STATUS_COLOURS.get(status, "")),
        (lasted.rjust(_DURATION_WIDTH), _DIM),
    ]
    taken = sum(display_width(text) + 1 for text, _ in parts)
    room = _DETAIL_WIDTH_MAX if width is None else max(_DETAIL_WIDTH_MIN, width - taken)
    text, is_path = detail_of(action)
    parts.append((_fitted(text, room, keep_end=is_path), ""))
    if width is not None and taken + _DETAIL_WIDTH_MIN > width:
        return elide(" ".join(text for text, _ in parts).rstrip(), width)
    line = " ".join(_painted(text, colour if is_coloured else "") for text, colour in parts)
    return line.rstrip()


def notice_line(
    session: str, text: str, *, width: int | None = None, is_coloured: bool = False
) -> str:
    """Return a line about a log itself, or about a line that is no action."""
    room = None if width is None else max(_DETAIL_WIDTH_MIN, width - len("-- "))
    shown = _fitted(f"{session}: {text}" if session else text, room or _DETAIL_WIDTH_MAX)
    return _painted(f"-- {shown}", _YELLOW if is_coloured else "")


def json_line(action: Mapping[str, Any]) -> str:
    """Return the value of a line as JSON of printable ASCII, so that no character of it acts."""
    text = json.dumps(action, ensure_ascii=True, separators=(",", ":"))
    return escape(text.replace("\x7f", "\\u007f"))


def detail_of(action: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the one thing that says what an action was about, and whether it is a path.

    What went wrong, where something did, and then what it went wrong with: the command, path,
    pattern, query, decision, or what was said; else the name of the event.
    """
    subject, is_path = _subject(action)
    if event_type_of(action) == "tool_start":
        return f"start of {event_name_of(action)}{': ' if subject else ''}{subject}", False
    message = _text(_object(action, "error"), "message")
    if message:
        return (f"{message} · {subject}" if subject else message), False
    if subject:
        return subject, is_path
    name = event_name_of(action)
    return ("" if name == action["tool"] else name), False


def texts_of(action: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text among the values of an action, of whatever depth; keys are left out."""
    left: list[Any] = [action]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value


def _subject(action: Mapping[str, Any]) -> tuple[str, bool]:
    details = _object(action, "details")
    given = _object(details, "input_params")
    for key in _SUBJECT_KEYS:
        text = _text(given, key)
        if text:
            is_path = key in _PATH_KEYS
            return (_relative(text, action) if is_path else text), is_path
    told = _told(action, details)
    if told:
        return told, False
    files = action.get("files_affected") or ()
    return (_relative(files[0], action), True) if files else ("", False)


def _told(action: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return what a decision, a transformation, a text or the frame of a session says."""
    decision = (_text(details, "decision_point"), _text(details, "branch_taken"))
    name = event_name_of(action)
    said = _text(details, "text")
    if any(decision):
        return ": ".join(filter(None, decision))
    if said:
        return f"{_SPOKEN.get(name, name)}: {said}"
    if event_type_of(action) == "lifecycle":
        about = (
            _text(_object(details, "session"), "query"),
            _text(details, "result_summary"),
            _text(details, "error_message"),
        )
        return ": ".join(filter(None, (name, *about)))
    return _text(details, "transformation_name")


def _relative(path: str, action: Mapping[str, Any]) -> str:
    """Return a path as seen from where the agent worked, if it is below that."""
    place = _text(_object(action, "context"), "working_directory").rstrip("/")
    return path.removeprefix(f"{place}/") if place else path


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _cell(text: str, width: int, *, keep_end: bool = False) -> str:
    """Return text in exactly `width` columns."""
    shown = _fitted(text, width, keep_end=keep_end)
    return shown + " " * (width - display_width(shown))


def _fitted(text: str, width: int, *, keep_end: bool = False) -> str:
    """Return text on one line, made harmless, in at most `width` columns."""
    kept = text[-_READ_CHARACTERS_MAX:] if keep_end else text[:_READ_CHARACTERS_MAX]
    shown = escape(re.sub(r"[ \t\r\n]+", " ", kept).strip())
    if not keep_end or display_width(shown) <= width:
        return elide(shown, width)
    shown = shown[-width:]
    while display_width(shown) >= width:
        shown = shown[1:]
    return f"…{shown}"


def _painted(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text
