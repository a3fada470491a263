"""Prepared actions become numbered, chained lines: what one write will bring into the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from provenance_log.errors import LineInvalid
from provenance_log.format import COLUMN_INTEGER_MAX, Body, line_hash

if TYPE_CHECKING:
    from provenance_log.reader import Tail

Durability = Literal["process", "disk"]


class Appended(NamedTuple):
    """Where an action stands in the log, and what it survives."""

    action_id: int
    offset: int
    """Byte offset of the line's first byte."""
    length: int
    """Bytes of the line without its newline."""
    hash: str
    durability: Durability
    was_there: bool = False
    """True when the same event was in the log already and nothing was written."""


class Prepared(NamedTuple):
    """An action that is ready to be written, but for its number and its chain."""

    action: dict[str, Any]
    body: Body
    event_id: str | None
    """The event id that the caller gave, None when it was made here."""
    is_stamped: bool
    """True when the time was put in here, so that a retry may carry another one."""


def place(
    batch: list[Prepared], tail: Tail, durability: Durability
) -> tuple[bytes, list[Appended]]:
    """Number and chain new actions; return the bytes of the one write."""
    offset, prev, action_id, is_torn = tail
    pieces = [b"\n"] if is_torn else []
    offset += is_torn
    if action_id + len(batch) > COLUMN_INTEGER_MAX:
        raise LineInvalid("number_out_of_range", "the log has all the actions it can number")
    placed: list[Appended] = []
    for item in batch:
        action_id += 1
        line = item.body.line(action_id, prev)
        length = len(line)
        prev = line_hash(line)
        placed.append(Appended(action_id, offset, length, prev, durability))
        pieces += (line, b"\n")
        offset += length + 1
    return b"".join(pieces), placed


def moved(item: Appended, shift: int) -> Appended:
    """Return the same line some bytes further on."""
    return item._replace(offset=item.offset + shift)
