"""How far a log was read, and whether the bytes before that are still the same.

A checkpoint is the identity of a log at the time it was read: device and inode, size and time,
a hash of its first bytes, a hash of the bytes before the offset, and a hash that commits to every
byte up to it. No one of them is enough: inodes are used again, two logs can begin alike, and an
editor can save a changed file of the same size.

What an edit costs to notice (invariant B5): within 1 KiB of the start or of the offset it is
seen when the log is next looked at. Elsewhere it is seen when the time of the log changed and
its size did not. An edit in the middle that hides behind a longer log is seen by `provlog verify`
and by a rebuild.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from provenance_log.format import GENESIS_PREV
from provenance_log.reader import START, Chunk, RawLine, ReadPosition, read_chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from projections.columns import Fields

MARK_BYTES = 1024
"""How much of a log the head and the tail mark cover."""

Role = Literal["projected", "duplicate", "fork"]
Change = Literal["unchanged", "grown", "touched", "truncated", "replaced", "edited"]
"""`touched` is a log with the same bytes and another time or inode."""

CHECKPOINT_FIELDS: Fields = (
    ("log", "text"),
    ("session_id", "text"),
    ("device", "int64"),
    ("inode", "int64"),
    ("line_offset", "int64"),
    ("line_number", "int64"),
    ("head_bytes", "int32"),
    ("head_hash", "text"),
    ("tail_bytes", "int32"),
    ("tail_hash", "text"),
    ("chain_hash", "text"),
    ("generation", "int32"),
    ("log_size", "int64"),
    ("log_mtime_ns", "int64"),
    ("role", "text"),
    ("line_hash", "text"),
)


class Checkpoint(NamedTuple):
    """One row of provenance_checkpoints; sizes and offsets are in bytes.

    A tuple, since thousands are made of rows before the first line is caught up.
    """

    log: str
    """Name of the session's directory."""
    session_id: str
    device: int
    inode: int
    line_offset: int
    """Where the first line that is not projected begins."""
    line_number: int
    """Lines before that offset."""
    head_bytes: int
    head_hash: str
    tail_bytes: int
    tail_hash: str
    chain_hash: str
    """Commits to every byte before the offset; see `extend_chain`."""
    generation: int
    """Grows when the log was not what it had been."""
    log_size: int
    """Size when the end was last reached; the offset while there is more to read."""
    log_mtime_ns: int
    role: Role
    line_hash: str
    """Hash of the last line before the offset."""

    @property
    def position(self) -> ReadPosition:
        """Where to read on."""
        return ReadPosition(self.line_offset, self.line_number, self.line_hash)

    def describes(self, status: os.stat_result) -> bool:
        """Say whether a file looks untouched since, by its status alone."""
        return (
            self.log_size == status.st_size
            and self.log_mtime_ns == status.st_mtime_ns
            and self.inode == status.st_ino
            and self.device == status.st_dev
        )

    def seen_as(self, log: str, status: os.stat_result) -> Checkpoint:
        """Return the checkpoint of the same content under another name or status."""
        return self._replace(
            log=log,
            device=status.st_dev,
            inode=status.st_ino,
            log_size=status.st_size,
            log_mtime_ns=status.st_mtime_ns,
        )


def at_start(log: str, session_id: str, generation: int = 0) -> Checkpoint:
    """Return the checkpoint of a log of which nothing was read."""
    nothing = hashlib.sha256().hexdigest()
    return Checkpoint(
        log=log,
        session_id=session_id,
        device=0,
        inode=0,
        line_offset=0,
        line_number=0,
        head_bytes=0,
        head_hash=nothing,
        tail_bytes=0,
        tail_hash=nothing,
        chain_hash=GENESIS_PREV,
        generation=generation,
        log_size=0,
        log_mtime_ns=0,
        role="projected",
        line_hash=GENESIS_PREV,
    )


def advance(checkpoint: Checkpoint, fd: int, status: os.stat_result, chunk: Chunk) -> Checkpoint:
    """Return the checkpoint after one more chunk of an open log.

    `status` must have been taken before the chunk was read: what is written later then shows as a
    change when the log is next looked at. So does the rest of a log that was not read to its end.
    """
    chain, offset, number, last = (
        checkpoint.chain_hash,
        checkpoint.line_offset,
        checkpoint.line_number,
        checkpoint.line_hash,
    )
    for raw in chunk.lines:
        chain = extend_chain(chain, raw)
        offset, number, last = raw.offset + raw.length + 1, raw.line_number, raw.hash
    marked = min(MARK_BYTES, offset)
    return checkpoint.seen_as(checkpoint.log, status)._replace(
        log_size=status.st_size if chunk.at_end else offset,
        line_offset=offset,
        line_number=number,
        line_hash=last,
        chain_hash=chain,
        head_bytes=marked,
        head_hash=_hash_of(fd, 0, marked),
        tail_bytes=marked,
        tail_hash=_hash_of(fd, offset - marked, marked),
    )


def extend_chain(chain: str, raw: RawLine) -> str:
    """Return the hash that commits to one line more.

    A line that ends with the hash of the line before commits to all lines before it as long as
    those do; then the line's own hash is enough and nothing has to be computed. Otherwise the two
    hashes are hashed together. The result depends on the bytes only, not on how they were cut.
    """
    if chain == raw.prev and raw.content is not None:
        link = b'"prev":"%b"}' % chain.encode()
        if raw.content.endswith(link):
            return raw.hash
    return hashlib.sha256((chain + raw.hash).encode()).hexdigest()


def examine(checkpoint: Checkpoint, fd: int, status: os.stat_result) -> Change:
    """Compare an open log with its checkpoint and say what happened to it (invariant B4).

    The cheap marks are compared always; the whole chain only when the log was touched without
    growing, or is another file than before.
    """
    if checkpoint.describes(status):
        return "unchanged"
    if status.st_size < checkpoint.line_offset:
        return "truncated"
    if _hash_of(fd, 0, checkpoint.head_bytes) != checkpoint.head_hash:
        return "replaced"
    before = checkpoint.line_offset - checkpoint.tail_bytes
    if _hash_of(fd, before, checkpoint.tail_bytes) != checkpoint.tail_hash:
        return "edited"
    is_same_file = (checkpoint.device, checkpoint.inode) == (status.st_dev, status.st_ino)
    if is_same_file and status.st_size > checkpoint.log_size:
        return "grown"
    if not has_same_chain(checkpoint, fd):
        return "edited"
    return "grown" if status.st_size > checkpoint.line_offset else "touched"


def has_same_chain(checkpoint: Checkpoint, fd: int) -> bool:
    """Say whether the log still begins with exactly the bytes the checkpoint commits to."""
    chain = GENESIS_PREV
    position = START

    def extend(chunk: Chunk) -> None:
        nonlocal chain
        for raw in chunk.lines:
            chain = extend_chain(chain, raw)

    position = read_until(fd, START, checkpoint.line_offset, extend)
    return position.offset == checkpoint.line_offset and chain == checkpoint.chain_hash


def read_until(
    fd: int, start: ReadPosition, limit: int | None, take: Callable[[Chunk], None]
) -> ReadPosition:
    """Hand the complete lines from `start` up to the byte `limit` to `take`, chunk by chunk."""
    position = start
    while limit is None or position.offset < limit:
        chunk = cut_chunk(read_chunk(fd, position), limit)
        take(chunk)
        position = chunk.end
        if chunk.at_end or not chunk.lines:
            break
    return position


def cut_chunk(chunk: Chunk, limit: int | None) -> Chunk:
    """Return the chunk without the lines that begin at or after the byte `limit`."""
    if limit is None or chunk.end.offset <= limit:
        return chunk
    lines = tuple(raw for raw in chunk.lines if raw.offset < limit)
    last = lines[-1]
    end = ReadPosition(last.offset + last.length + 1, last.line_number, last.hash)
    return Chunk(lines, end, at_end=False, tail_bytes=0)


def _hash_of(fd: int, offset: int, length: int) -> str:
    data = b""
    while len(data) < length:
        piece = os.pread(fd, length - len(data), offset + len(data))
        if not piece:
            break
        data += piece
    return hashlib.sha256(data).hexdigest()
