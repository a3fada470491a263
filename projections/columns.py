"""Columns in the memory layout of Arrow, made from Python values without a loop per value.

One text buffer, one offset buffer and one validity bitmap per column is what DuckDB can scan
in place; everything here is a join, an accumulate or an array of the standard library.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["text", "json", "int32", "int64", "timestamp", "boolean"]
"""`json` takes bytes that are known to be JSON; `timestamp` takes microseconds since 1970."""

Fields = tuple[tuple[str, Kind], ...]

_DIGITS = bytes.maketrans(b"\0\1", b"01")
_TYPE_CODES = {"int32": "i", "int64": "q", "timestamp": "q"}


@dataclass(frozen=True, slots=True)
class Column:
    """The buffers of one column: validity (None where nothing is NULL) and data."""

    name: str
    kind: Kind
    length: int
    buffers: list[Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of Python values as columns, which another process or DuckDB takes as they are."""

    length: int
    columns: tuple[Column, ...]

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the values that they were made of."""
        values = [_values(column) for column in self.columns]
        return list(zip(*values, strict=True)) if self.length else []


def make_columns(fields: Fields, rows: Sequence[tuple[Any, ...]]) -> Columns:
    """Return rows as columns of these names and kinds."""
    values = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
    columns = [
        make_column(name, kind, column) for (name, kind), column in zip(fields, values, strict=True)
    ]
    return Columns(len(rows), tuple(columns))


def make_column(name: str, kind: Kind, values: Sequence[Any]) -> Column:
    """Return the buffers of one column; None becomes NULL."""
    null_count = values.count(None)
    validity = None
    if null_count:
        validity = _bitmap([value is not None for value in values])
    if kind == "boolean":
        data: list[Any] = [_bitmap([value is True for value in values])]
    elif kind == "text":
        data = _text_buffers([value or "" for value in values] if null_count else values)
    elif kind == "json":
        data = _json_buffers([value or b"" for value in values] if null_count else values)
    else:
        numbers = [value or 0 for value in values] if null_count else values
        data = [array(_TYPE_CODES[kind], numbers)]
    return Column(name, kind, len(values), [validity, *data])


def _text_buffers(texts: Sequence[str]) -> list[Any]:
    text = "".join(texts)
    data = text.encode()
    # As many bytes as characters: then the texts need not be encoded one by one.
    lengths = map(len, texts if len(data) == len(text) else [item.encode() for item in texts])
    return [array("i", accumulate(lengths, initial=0)), data]


def _json_buffers(documents: Sequence[bytes]) -> list[Any]:
    return [array("i", accumulate(map(len, documents), initial=0)), b"".join(documents)]


def _bitmap(flags: Sequence[bool]) -> bytes:
    """Pack flags into bits, the first in the lowest bit of the first byte, as Arrow does."""
    if not flags:
        return b""
    digits = bytes(flags).translate(_DIGITS)[::-1]
    return int(digits, 2).to_bytes((len(flags) + 7) // 8, "little")


def _values(column: Column) -> list[Any]:
    validity, *data = column.buffers
    present = _flags(validity, column.length) if validity else [True] * column.length
    found: Sequence[Any]
    if column.kind == "boolean":
        found = _flags(data[0], column.length)
    elif column.kind in ("text", "json"):
        ends, content = data
        pieces = [content[start:end] for start, end in pairwise(ends)]
        found = pieces if column.kind == "json" else [piece.decode() for piece in pieces]
    else:
        found = data[0]
    return [value if is_there else None for value, is_there in zip(found, present, strict=True)]


def _flags(bitmap: bytes, length: int) -> list[bool]:
    return [bool(bitmap[place >> 3] >> (place & 7) & 1) for place in range(length)]
