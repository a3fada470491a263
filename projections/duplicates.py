"""The same session in several directories: which of them is projected (invariant D2).

The log with the most complete lines is projected; of several such, the one whose directory has
the bytewise smallest name. Every other log is a beginning of it (or equal), a *duplicate*, or it
goes on differently, a *fork*. The choice is a pure function of what the directories hold now, so
catching up and rebuilding agree on it, whatever was copied when.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections.incidents import Incident

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projections.checkpoints import Checkpoint, Role

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Copy:
    """One log of a session that several directories hold, read to its end."""

    path: Path
    checkpoint: Checkpoint
    is_continued: bool
    """True when the log, under this name, begins as the stored checkpoint says."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which copy is projected, and what the others are."""

    chosen: Copy
    others: tuple[Checkpoint, ...]
    incidents: tuple[Incident, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first line in which two logs differ, and the byte at which it begins."""

    line_number: int
    line_offset: int


class Comparisons:
    """Compares copies, and remembers how far two of them are known to agree.

    A live session beside an old copy of itself would otherwise be compared from its start with
    every batch. What is known of a log is forgotten as soon as another one has its name, whose
    generation may be the same: of a log that was archived, or forgotten, no checkpoint is left.
    """

    def __init__(self) -> None:
        self._agreed: dict[tuple[str, str], Difference] = {}

    def choose(self, copies: Sequence[Copy]) -> Choice:
        """Return which of two or more copies is projected; raises OSError."""
        self._forget({copy.checkpoint.log for copy in copies if not copy.is_continued})
        chosen = min(copies, key=_precedence)
        others: list[Checkpoint] = []
        incidents: list[Incident] = []
        for copy in sorted(copies, key=_precedence)[1:]:
            difference = self._first_difference(chosen, copy)
            incidents.append(_incident(chosen.checkpoint, copy.checkpoint, difference))
            role: Role = "duplicate" if difference is None else "fork"
            others.append(copy.checkpoint._replace(role=role))
        return Choice(chosen, tuple(others), tuple(incidents))

    def _first_difference(self, left: Copy, right: Copy) -> Difference | None:
        """Return where two copies part; None where one is a beginning of the other."""
        key = (left.checkpoint.log, right.checkpoint.log)
        known = self._agreed.get(key, Difference(1, 0))
        limit = min(left.checkpoint.line_offset, right.checkpoint.line_offset)
        parted, agreed = _compare(left.path, right.path, known, limit)
        self._agreed[key] = agreed
        return parted

    def _forget(self, logs: set[str]) -> None:
        self._agreed = {pair: at for pair, at in self._agreed.items() if logs.isdisjoint(pair)}


def _precedence(copy: Copy) -> tuple[int, bytes]:
    return (-copy.checkpoint.line_number, os.fsencode(copy.checkpoint.log))


def _incident(chosen: Checkpoint, other: Checkpoint, difference: Difference | None) -> Incident:
    if difference is None:
        lines = f"{other.line_number} of its {chosen.line_number} lines"
        detail = f"holds the same session as {chosen.log}: {lines}; counted once"
        return Incident(
            "duplicate",
            other.log,
            other.session_id,
            chosen.log,
            other.line_number,
            other.line_offset,
            detail,
        )
    detail = (
        f"goes on differently from {chosen.log} at line {difference.line_number}; "
        f"{chosen.log} has {chosen.line_number} lines and is projected, this one has "
        f"{other.line_number} and is not"
    )
    place = (difference.line_number, difference.line_offset)
    return Incident("fork", other.log, other.session_id, chosen.log, *place, detail)


def _common_beginning(left: bytes, right: bytes) -> bytes:
    for length, (ours, theirs) in enumerate(zip(left, right, strict=False)):
        if ours != theirs:
            return left[:length]
    return min(left, right, key=len)


def _compare(
    left: Path, right: Path, start: Difference, limit: int
) -> tuple[Difference | None, Difference]:
    """Compare two files up to a byte; return where they part, and the last line start before."""
    line_number, line_start, offset = start.line_number, start.line_offset, start.line_offset
    with left.open("rb") as left_file, right.open("rb") as right_file:
        left_file.seek(offset)
        right_file.seek(offset)
        while offset < limit:
            length = min(_PIECE_BYTES, limit - offset)
            ours, theirs = left_file.read(length), right_file.read(length)
            same = ours if ours == theirs else _common_beginning(ours, theirs)
            line_number += same.count(b"\n")
            newline = same.rfind(b"\n")
            if newline >= 0:
                line_start = offset + newline + 1
            if len(same) < length:
                parted = Difference(line_number, line_start)
                return parted, parted
            offset += length
    return None, Difference(line_number, line_start)
