"""A text as it reads once its escapes are undone, with the way back to where that stood.

A secret may be written with the escapes of JSON, of an URL, in colours, or broken over lines. It
is looked for in the text that they stand for, and taken out of the text that is there.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

ESCAPE_LEVELS_MAX = 3
"""How often JSON may lie inside a text of JSON."""
BASE64_LENGTH_MAX = 1024 * 1024
"""A longer run of base64 is not decoded."""

_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{32,}+(?:\r?\n[A-Za-z0-9+/_-]{4,}+)*+={0,2}"
)
_STANDARD = str.maketrans("-_", "+/", "\r\n")


class _Kind(NamedTuple):
    """A way to replace pieces of a text."""

    pattern: re.Pattern[str]
    replacement: Callable[[re.Match[str]], str]


_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "/": "/"}


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return _ESCAPED.get(match[2], match[2])


_ESCAPES = _Kind(re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))'), _character)
_PERCENTS = _Kind(re.compile(r"%(0[9AaDd]|[2-7][0-9A-Fa-f])"), lambda match: chr(int(match[1], 16)))
_COLOURS = _Kind(re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]"), lambda _: "")
"""Control sequences as ECMA-48 has them, section 5.4."""
_NO_CHANGE = _Kind(re.compile(r"(?!)"), lambda _: "")
_LINE_BREAKS = _Kind(re.compile(r"[ \t]{0,4}\\?\r?\n[ \t]{0,8}"), lambda _: "")


class View:
    """A text in which pieces of another one are replaced by one character or none."""

    def __init__(self, text: str, origin: tuple[View, _Kind] | None = None) -> None:
        """Begin with the text itself, or with one that was made of another in one of the ways."""
        self.text = text
        self._origin = origin

    @property
    def is_made(self) -> bool:
        """Whether this is another text than the one that is there."""
        return self._origin is not None

    def span_in_original(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original text that reads as this part of the view."""
        if self._origin is None:
            return start, end
        return self._origin[0].span_in_original(self._place(start)[0], self._place(end - 1)[1])

    def _place(self, position: int) -> tuple[int, int]:
        """Return the span in the text above of one character of this text."""
        starts, pieces = self._replaced
        index = bisect_right(starts, position) - 1
        if index < 0:
            return position, position + 1
        start, end, width = pieces[index]
        after = position - starts[index] - width
        return (start, end) if after < 0 else (end + after, end + after + 1)

    @cached_property
    def _replaced(self) -> tuple[list[int], list[tuple[int, int, int]]]:
        """Where in this text each replaced piece stood; and its span above and its new width.

        Made only when something was found, for it costs more than to look.
        """
        starts: list[int] = []
        pieces: list[tuple[int, int, int]] = []
        length = position = 0
        above, kind = self._origin or (self, _NO_CHANGE)
        for match in kind.pattern.finditer(above.text):
            start, end = match.span()
            width = len(kind.replacement(match))
            starts.append(length + start - position)
            pieces.append((start, end, width))
            length += start - position + width
            position = end
        return starts, pieces


def unescaped_views(view: View) -> Iterator[View]:
    """Yield the view with the escapes of JSON undone once, twice and so on, while there are any."""
    for _ in range(ESCAPE_LEVELS_MAX):
        if "\\" not in view.text:
            return
        text = _unescaped(view.text)
        if text == view.text:
            return
        view = View(text, (view, _ESCAPES))
        yield view


def percent_decoded(view: View) -> View | None:
    """Return the view with `%3D` and the like undone once, or None where there are none."""
    return _made(view, _PERCENTS)


def uncoloured(view: View) -> View | None:
    """Return the view as a terminal shows it, or None where nothing in it has a colour."""
    return _made(view, _COLOURS)


def joined(view: View) -> View | None:
    """Return the view with its lines put together, or None where it has only one."""
    return _made(view, _LINE_BREAKS)


def _made(view: View, kind: _Kind) -> View | None:
    text = kind.pattern.sub(kind.replacement, view.text)
    return None if text == view.text else View(text, (view, kind))


def _unescaped(text: str) -> str:
    """Undo escapes as their expression does, but at the speed of `str.replace`."""
    if "\\u" in text:
        return _ESCAPES.pattern.sub(_ESCAPES.replacement, text)
    pieces = text.split("\\\\")
    for letter, character in _ESCAPED.items():
        escape = f"\\{letter}"
        if escape in text:
            pieces = [piece.replace(escape, character) for piece in pieces]
    return "\\".join(pieces)


def base64_texts(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and content of each run of base64 that stands for a text."""
    for match in _BASE64.finditer(text):
        if len(match[0]) > BASE64_LENGTH_MAX:
            continue
        data = match[0].translate(_STANDARD).rstrip("=")
        try:
            decoded = b64decode(data + "=" * (-len(data) % 4)).decode()
        except (Base64Error, UnicodeDecodeError):
            continue
        yield match.start(), match.end(), decoded
