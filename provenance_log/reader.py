"""Read a log: a pure function of bytes and a position, which returns lines and a new position.

Framing is by bytes: only a newline ends a line, and an unterminated tail is neither a line nor an
error, it is not there yet (invariant B1). Nothing is decoded here, nothing is remembered between
calls, and memory is bounded by `bytes_max` plus one line, whatever the size of the log.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from provenance_log.errors import LineInvalid, LogUnsafe
from provenance_log.format import (
    GENESIS_PREV,
    READ_LINE_BYTES_MAX,
    decode,
    line_hash,
    session_id_of,
    session_id_of_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

CHUNK_BYTES = 8 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_BACKWARD_BYTES = 64 * 1024
_FIRST_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """Where a reader stands: always just after a newline, or at the start."""

    offset: int = 0
    line_number: int = 0
    """Lines before this position."""
    prev: str = GENESIS_PREV
    """Hash of the last line before this position."""


START = ReadPosition()


class RawLine(NamedTuple):
    """One complete line as it stands in the log; a tuple, since one is made for every line."""

    content: bytes | None
    """The bytes without the newline; None where they are more than `READ_LINE_BYTES_MAX`."""
    offset: int
    line_number: int
    """Counts from 1."""
    length: int
    """Bytes without the newline."""
    hash: str
    prev: str
    """Hash of the line before, which this line's `prev` must name to be chained."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Complete lines and the position after them."""

    lines: tuple[RawLine, ...]
    end: ReadPosition
    at_end: bool
    """True when the log held no further complete line when it was read."""
    tail_bytes: int
    """Bytes of an unterminated tail after `end`; 0 when the log goes on or ends whole."""


class Tail(NamedTuple):
    """What an appender has to know of the end of a log."""

    size_bytes: int
    prev: str
    """Hash of the last line, which is the fragment itself when `is_torn`."""
    action_id: int
    """Number of the last action, 0 when there is none."""
    is_torn: bool
    """True when the last byte is not a newline."""


def read_chunk(fd: int, start: ReadPosition, *, bytes_max: int = CHUNK_BYTES) -> Chunk:
    """Return the complete lines from `start`, at least one if there is one, about `bytes_max`.

    Uses `pread` only, so the descriptor's own offset does not matter and threads may share it.
    A line longer than `READ_LINE_BYTES_MAX` comes with its hash and length but no content.
    """
    data = _pread(fd, bytes_max, start.offset)
    cut = data.rfind(b"\n") + 1
    if cut == 0:
        return _read_long_line(fd, start, data)
    lines = _split(data[:cut], start)
    last = lines[-1]
    end = ReadPosition(start.offset + cut, last.line_number, last.hash)
    rest = len(data) - cut
    at_end = len(data) < bytes_max
    return Chunk(lines, end, at_end, rest if at_end else 0)


def open_for_reading(path: Path) -> int:
    """Open a log, which must be a regular file and no symlink; never waits for a writer of a pipe.

    Raises OSError, or `LogUnsafe`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise LogUnsafe("not a plain file", path=path) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise LogUnsafe("not a plain file", path=path)
    return fd


def read_log(
    path: Path, start: ReadPosition = START, *, bytes_max: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """Yield chunks from `start` to the last complete line there is now.

    A chunk without lines is yielded only as the last one, where a long tail has no newline yet,
    or where there is no line at all after `start`.
    Raises OSError where the file can't be read, and `LogUnsafe` where it is no plain file.
    """
    fd = open_for_reading(path)
    try:
        position = start
        while True:
            chunk = read_chunk(fd, position, bytes_max=bytes_max)
            if chunk.lines or chunk.tail_bytes or position == start:
                yield chunk
            if chunk.at_end:
                return
            position = chunk.end
    finally:
        os.close(fd)


def read_first_line(path: Path) -> RawLine | None:
    """Return the first line of a log that is not blank; None without one, or a log to read."""
    try:
        fd = open_for_reading(path)
    except (OSError, LogUnsafe):
        return None
    try:
        return first_line(fd)
    except OSError:
        return None
    finally:
        os.close(fd)


def first_line(fd: int) -> RawLine | None:
    """Return the first complete line that is not blank, or None: it names the session."""
    position = START
    while True:
        chunk = read_chunk(fd, position, bytes_max=_FIRST_BYTES)
        for raw in chunk.lines:
            if raw.content is None or raw.content.strip():
                return raw
        if chunk.at_end or not chunk.lines:
            return None
        position = chunk.end


def session_id_of_log(raw: RawLine) -> str:
    """Return the identity of the session whose first line this is, however long the line."""
    return session_id_of_hash(raw.hash) if raw.content is None else session_id_of(raw.content)


def is_chained(value: Mapping[str, Any], raw: RawLine) -> bool:
    """Say whether a decoded line names the hash of the line before it."""
    return value.get("prev") == raw.prev


def read_tail(fd: int) -> Tail:
    """Return what the next append needs: the last line's hash and the last action's number.

    Looks backwards from the end to the nearest line that is chained to the one before it, which
    usually is the last one: the number of any other, added by hand or torn out of its place, may
    be lower than an earlier one.
    """
    size_bytes = os.fstat(fd).st_size
    spans = _spans_backwards(fd, size_bytes)
    last = span = next(spans, None)
    if last is None:
        return Tail(0, GENESIS_PREV, 0, is_torn=False)
    action_id = 0
    while span is not None:
        value = _action_at(fd, *span)
        span = next(spans, None)
        action_id = max(action_id, value.get("action_id", 0))
        prev = value.get("prev")
        if prev and prev == (_hash_span(fd, *span) if span else GENESIS_PREV):
            break
    return Tail(size_bytes, _hash_span(fd, *last), action_id, is_torn=sum(last) == size_bytes)


def lines_backwards(fd: int, bytes_max: int) -> Iterator[bytes]:
    """Yield the complete lines within `bytes_max` of the end of a log, the last one first.

    A torn tail is left out, and so are lines longer than `READ_LINE_BYTES_MAX`.
    """
    size_bytes = os.fstat(fd).st_size
    for offset, length in _spans_backwards(fd, size_bytes):
        if size_bytes - offset > bytes_max:
            return
        if length <= READ_LINE_BYTES_MAX and offset + length < size_bytes:
            yield _pread(fd, length, offset)


def lines_with(fd: int, needle: bytes) -> Iterator[bytes]:
    """Yield the complete lines of a log that hold some bytes, first to last.

    Neither hashes nor numbers what it passes over, so it is as fast as the search.
    """
    offset, rest = 0, b""
    while block := _pread(fd, _PIECE_BYTES, offset):
        offset += len(block)
        data = rest + block
        cut = data.rfind(b"\n") + 1
        found = data.find(needle, 0, cut)
        while 0 <= found < cut:
            start, end = data.rfind(b"\n", 0, found) + 1, data.find(b"\n", found)
            yield data[start:end]
            found = data.find(needle, end + 1, cut)
        rest = data[cut:] if len(data) - cut <= READ_LINE_BYTES_MAX else b""


def _action_at(fd: int, offset: int, length: int) -> dict[str, Any]:
    """Return the action of the line there, or an empty one where the line is none."""
    if length > READ_LINE_BYTES_MAX:
        return {}
    try:
        return decode(_pread(fd, length, offset))
    except LineInvalid:
        return {}


def _spans_backwards(fd: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of the lines from the last to the first, newlines left out."""
    if size_bytes == 0:
        return
    end = size_bytes - 1 if _pread(fd, 1, size_bytes - 1) == b"\n" else size_bytes
    block_start = end
    while block_start > 0:
        block_end = block_start
        block_start = max(0, block_end - _BACKWARD_BYTES)
        block = _pread(fd, block_end - block_start, block_start)
        newline = block.rfind(b"\n")
        while newline >= 0:
            start = block_start + newline + 1
            yield start, end - start
            end = start - 1
            newline = block.rfind(b"\n", 0, newline)
    yield 0, end


def _split(data: bytes, start: ReadPosition) -> tuple[RawLine, ...]:
    contents = data[:-1].split(b"\n")
    hashes = list(map(line_hash, contents))
    lengths = list(map(len, contents))
    offsets = accumulate(lengths, _after_newline, initial=start.offset)
    first = start.line_number + 1
    kept: Iterable[bytes | None] = contents
    if max(lengths) > READ_LINE_BYTES_MAX:
        kept = (one if len(one) <= READ_LINE_BYTES_MAX else None for one in contents)
    numbers = range(first, first + len(contents))
    previous = (start.prev, *hashes[:-1])
    return tuple(map(RawLine, kept, offsets, numbers, lengths, hashes, previous))


def _after_newline(offset: int, length: int) -> int:
    return offset + length + 1


def _read_long_line(fd: int, start: ReadPosition, data: bytes) -> Chunk:
    """Read one line that is longer than the chunk, in pieces, keeping at most the limit."""
    hasher = hashlib.sha256()
    kept: list[bytes] = []
    length = 0
    while data:
        newline = data.find(b"\n")
        piece = data if newline < 0 else data[:newline]
        hasher.update(piece)
        length += len(piece)
        if length <= READ_LINE_BYTES_MAX:
            kept.append(piece)
        else:
            kept.clear()
        if newline >= 0:
            content = b"".join(kept) if length <= READ_LINE_BYTES_MAX else None
            number, digest = start.line_number + 1, hasher.hexdigest()
            raw = RawLine(content, start.offset, number, length, digest, start.prev)
            end = ReadPosition(start.offset + length + 1, number, digest)
            return Chunk((raw,), end, at_end=False, tail_bytes=0)
        data = _pread(fd, _PIECE_BYTES, start.offset + length)
    return Chunk((), start, at_end=True, tail_bytes=length)


def _hash_span(fd: int, offset: int, length: int) -> str:
    hasher = hashlib.sha256()
    while length > 0:
        piece = _pread(fd, min(length, _PIECE_BYTES), offset)
        if not piece:
            break
        hasher.update(piece)
        offset += len(piece)
        length -= len(piece)
    return hasher.hexdigest()


def _pread(fd: int, length: int, offset: int) -> bytes:
    """Read exactly `length` bytes, or fewer only at the end of the file."""
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    pieces = [data]
    got = len(data)
    while got < length:
        piece = os.pread(fd, length - got, offset + got)
        if not piece:
            break
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces)
