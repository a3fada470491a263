"""What the pages of text are made of: tables that fit, and sections that may be empty.

Every cell goes through `terminal.table`, which escapes it (invariant S1). On a terminal a page
fits its width; into a pipe or a file every column goes.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from provenance_log.terminal import count, display_width, escape, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance_log.terminal import Cell

_TEXT_WIDTH_MIN = 16
_GAP_WIDTH = 2


def table_that_fits(
    headers: Sequence[str], rows: Sequence[Sequence[Cell]], *, hidden_first: Sequence[str]
) -> str:
    """Return a table without those columns of `hidden_first` for which the terminal is too narrow.

    What a narrow terminal leaves out is in the `--json` of the same command.
    """
    kept = list(range(len(headers)))
    for name in hidden_first:
        if fits([headers[i] for i in kept], [[row[i] for i in kept] for row in rows]):
            break
        kept = [i for i in kept if headers[i] != name]
    return table([headers[i] for i in kept], [[row[i] for i in kept] for row in rows])


def fits(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
    """Say whether the terminal has room for every column in full, or for sixteen places of it."""
    if not sys.stdout.isatty():
        return True
    needed = _GAP_WIDTH * (len(headers) - 1)
    for index, header in enumerate(headers):
        texts = [escape(str(row[index])) for row in rows if row[index] is not None]
        needed += min(max(map(display_width, (header, *texts))), _TEXT_WIDTH_MIN)
    return needed <= shutil.get_terminal_size().columns


def path_that_fits(path: str, *, beside: int) -> str:
    """Return a path whose beginning gives way, as its end tells more, to `beside` other columns."""
    if not sys.stdout.isatty():
        return path
    shown = escape(path)
    room = max(_TEXT_WIDTH_MIN, shutil.get_terminal_size().columns - beside)
    if display_width(shown) <= room:
        return shown
    while display_width(shown) >= room:
        shown = shown[1:]
    return f"…{shown}"


def facts_table(pairs: Sequence[tuple[str, str | None]]) -> str:
    """Return names and values, one pair on a line, without those that have no value."""
    filled = [(name, value) for name, value in pairs if value]
    name, value = filled[0]
    # The first pair stands where a table has its header, which `table` does not escape.
    return table((name, escape(value)), filled[1:])


def section(title: str, body: str) -> str:
    """Return a title and what is below it; nothing where there is nothing."""
    return f"{title}\n{body}" if body else ""


def table_or_nothing(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table; nothing where it would have no rows."""
    return table(headers, rows) if rows else ""


def unless_zero(number: int | None, noun: str) -> str:
    """Return `12 lines`; nothing for none."""
    return f"{count(number)} {noun}" if number else ""
