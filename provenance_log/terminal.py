"""What people see: text made harmless, tables, figures, progress.

A log holds whatever an agent read or wrote, escape sequences included.
So every string of a log that a command prints passes `escape` (invariant S1); `table` does it
for its cells. Nothing here knows about stores, logs or databases.
"""

import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import click

Cell: TypeAlias = str | float | None
"""One cell of a table: text, or a number (bool and int among them), or nothing."""

# Control, format, separator and surrogate characters (categories Cc, Cf, Zl, Zp, Cs), and the
# invisible ones of other categories that can carry hidden text. U+FE0E and U+FE0F stay: they
# only choose between the text and the picture form of a symbol.
_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001345f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NUMBER = re.compile(r"[-+]?\d[\d.,]*( ?(%|B|[kMGTP]B|ms|s|[mhd] \d\d [smh]))?")
_GAP = "  "
_COLUMN_WIDTH_MIN = 8


def escape(text: str, *, keep: str = "") -> str:
    r"""Show every character that could act on a terminal, or hide in it, as an escape: `\x1b`.

    Covers C0, DEL, C1, bidirectional and other format controls, line and paragraph separators,
    zero-width and tag characters, lone surrogates. Characters in `keep` stay as they are.
    Not reversible: a backslash in the text stays one backslash.
    """
    return _HIDDEN.sub(lambda match: _escaped(match[0], keep), text)


def _escaped(character: str, keep: str) -> str:
    if character in keep:
        return character
    code = ord(character)
    if code < 0x100:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], width: int | None = None) -> str:
    """Lay rows out in columns, numbers to the right, and return the lines without a last newline.

    The widest text columns give way until a line fits into `width` columns, by default those of
    the terminal; a cell that is cut ends with `…`. Into a pipe or a file nothing is cut.
    Numbers are never cut, so a table of many columns may still be wider than asked for.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    columns = list(zip(*cells, strict=True)) if cells else [() for _ in headers]
    numeric = [_is_numeric(column) for column in columns]
    wanted = [
        max(map(display_width, (header, *column)))
        for header, column in zip(headers, columns, strict=True)
    ]
    widths = _fitted(wanted, numeric, _available_width() if width is None else width)
    return "\n".join(_line(row, widths, numeric) for row in (list(headers), *cells))


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return escape(cell) if isinstance(cell, str) else str(cell)


def _is_numeric(column: Sequence[str]) -> bool:
    filled = [text for text in column if text]
    return bool(filled) and all(_NUMBER.fullmatch(text) for text in filled)


def _available_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _fitted(wanted: Sequence[int], numeric: Sequence[bool], available: int | None) -> list[int]:
    """Narrow the widest text column by one, again and again, until the line fits."""
    if available is None:
        return list(wanted)
    room = available - len(_GAP) * (len(wanted) - 1)
    widths = [w if n else min(w, available) for w, n in zip(wanted, numeric, strict=True)]
    text_columns = [index for index, is_number in enumerate(numeric) if not is_number]
    while text_columns and sum(widths) > room:
        widest = max(text_columns, key=widths.__getitem__)
        if widths[widest] <= _COLUMN_WIDTH_MIN:
            break
        widths[widest] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = []
    for cell, width, is_number in zip(cells, widths, numeric, strict=True):
        shown = elide(cell, width)
        padding = " " * (width - display_width(shown))
        parts.append(padding + shown if is_number else shown + padding)
    return _GAP.join(parts).rstrip()


def display_width(text: str) -> int:
    """Return how many terminal columns the text takes: wide East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def elide(text: str, width: int) -> str:
    """Return the text, or as much of its beginning as fits into `width` columns with a `…`."""
    if display_width(text) <= width:
        return text
    room = width - 1
    for index, character in enumerate(text):
        room -= _character_width(character)
        if room < 0:
            return text[:index] + "…"
    return text


def duration(ms: float | None) -> str:
    """Return milliseconds as people say them: `340 ms`, `1.2 s`, `3 m 04 s`, `2 h 05 m`."""
    if ms is None:
        return ""
    if round(ms) < 1000:
        return f"{round(ms)} ms"
    if round(ms / 100) < 600:
        return f"{round(ms / 100) / 10:.1f} s"
    seconds = round(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60} m {seconds % 60:02d} s"
    minutes = round(ms / 60_000)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} m"
    hours = round(ms / 3_600_000)
    return f"{hours // 24} d {hours % 24:02d} h"


def size(size_bytes: int | None) -> str:
    """Return a number of bytes in decimal units with three digits or so: `999 B`, `53.1 MB`."""
    if size_bytes is None:
        return ""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if round(value, 1) < 1000:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:,.1f} PB"


def count(number: int | None) -> str:
    """Return a number with its thousands apart: `64,000`."""
    return "" if number is None else f"{number:,}"


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr if it is a terminal, and nothing otherwise.

    Yields a function to call with (done, total), both in the same unit, as often as you like.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr, show_pos=False) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield advance
