"""The forms in which answers are printed: JSON, CSV, and tables of the plain values of a row.

Whatever a log holds, no character of it acts on a terminal (invariant S1), and no cell of a CSV
file is taken for a formula by the spreadsheet that opens it (invariant S3).
"""

from __future__ import annotations

import io
import re
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.terminal import elide, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
_BEYOND_ASCII = re.compile(r"[^\n -~]")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
_CELL_WIDTH_MAX = 200
_READ_CHARACTERS_MAX = 4000
_INTEGER_MAX = 2**63 - 1
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def json_text(value: object) -> str:
    r"""Return one line of JSON; what could act on a terminal is in it as `\u…`, in strings only.

    Dataclasses become objects, times RFC 3339 in UTC; NaN and the infinities become null.
    """
    try:
        data = orjson.dumps(value, default=_plain, option=_OPTIONS)
    except orjson.JSONEncodeError:
        data = orjson.dumps(_in_unicode(value), default=_plain, option=_OPTIONS)
    return _BEYOND_ASCII.sub(_json_escaped, data.decode())


def _plain(value: object) -> object:
    """Give orjson what it can write for the few types of DuckDB that it does not know."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _in_unicode(value: Any) -> Any:
    """Write the halves of surrogate pairs out, of which a name has some that is not UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if is_dataclass(value) and not isinstance(value, type):
        return _in_unicode({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, dict):
        return {_in_unicode(key): _in_unicode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_in_unicode(item) for item in value]
    return value


def _json_escaped(match: re.Match[str]) -> str:
    character = match[0]
    if escape(character) == character:
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def json_value(value: Any, type_name: str) -> Any:
    """Return a value of an SQL row as JSON has it; a JSON column as the value it holds."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _INTEGER_MAX else str(value)
    if isinstance(value, str) and type_name == "JSON":
        return _json_column(value)
    if isinstance(value, dict):
        return {str(key): json_value(item, "") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, "") for item in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value


def _json_column(text: str) -> object:
    """Keep the bytes of the column, numbers of any length among them, where they are JSON."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""Return RFC 4180 with `\n` line ends; a cell that could be a formula begins with `'`.

    Numbers stay numbers. NULL and the empty text are both an empty cell.
    """
    import csv  # noqa: PLC0415 - few commands print it, and all import this

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_csv_cell(column) for column in columns])
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def _csv_cell(value: object) -> str:
    text = cell_text(value)
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        text = "'" + text
    return escape(text, keep="\n")


def cell_text(value: object) -> str:
    """Return a value of an SQL row as text, as it is, before any escaping; NULL is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict | list | tuple):
        return json_text(json_value(value, ""))
    return str(value)


def one_line(text: str | None) -> str:
    """Return text for a cell: white space as single spaces, and no more than a few lines of it.

    What is cut here is whole in `--json`.
    """
    if text is None:
        return ""
    return elide(re.sub(r"[ \t\r\n]+", " ", text[:_READ_CHARACTERS_MAX]).strip(), _CELL_WIDTH_MAX)


def minute(moment: datetime | None) -> str:
    """Return a time of the tables, which are in UTC, to the minute."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")


def clock(moment: datetime | None) -> str:
    """Return the time of day of a time of the tables, to the second."""
    return "" if moment is None else moment.strftime("%H:%M:%S")
