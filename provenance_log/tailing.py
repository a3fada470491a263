"""Follow logs while they grow, from the logs alone: every new line, and what happens to a log.

`LogTail` follows one log and `StoreTail` those of a store, by polling with `stat` only: no watcher,
no lock, nothing is written. A position is a plain value that a later process may go on from;
`recent.recent_lines` gives those at the end of logs.

Guaranteed: every complete line after a position is handed out once and in the order of its log,
however the log grows (invariant B1); a log that shrank, was replaced, or was rewritten up to its
last line seen is reported by a notice and read from its start (B4); no log keeps the others waiting
(B9); memory is one chunk plus one line, and a few hundred bytes per log (B11).
Not guaranteed: that an edit before the last line seen is noticed (`provlog verify` looks at all
lines), or one that changes neither the size nor, within one tick of the clock, the time of the log;
nor any order between logs.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from provenance_log.errors import LineInvalid, LogUnsafe, ProvlogError
from provenance_log.format import GENESIS_PREV, READ_LINE_BYTES_MAX, decode_timed
from provenance_log.reader import CHUNK_BYTES, ReadPosition, open_for_reading, read_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from provenance_log.reader import RawLine
    from provenance_log.store import SessionDirectory, Store

POLL_S = 0.2
_TURN_BYTES = 1024 * 1024
"""What one log may hand out before it is the turn of the next one."""
_ROUNDS_BETWEEN_SCANS = 10
"""A directory made right after a look at its parent may leave the parent's time as it was."""

NoticeKind = Literal["truncated", "replaced", "rewritten", "moved", "gone", "unreadable"]


@dataclass(frozen=True, slots=True)
class TailPosition:
    """Where a tail stands in a log: after a complete line that it would know again."""

    offset: int = 0
    line_count: int | None = 0
    """Lines before the offset; None where the tail began at the end and never counted them."""
    length: int = 0
    """Bytes of the last line, without its newline."""
    hash: str = GENESIS_PREV
    """Hash of the last line."""
    device: int = 0
    inode: int = 0


START = TailPosition()


@dataclass(frozen=True, slots=True)
class TailedLine:
    """One complete line of a log."""

    log: str
    """The name of the session's directory."""
    offset: int
    line_number: int | None
    """Counts from 1; None where the lines before it were not counted."""
    content: bytes | None
    """The bytes without the newline; None where they are more than a reader takes."""

    def decode(self) -> tuple[dict[str, Any], int]:
        """Return the action and its time in microseconds since 1970, or raise `LineInvalid`."""
        if self.content is None:
            raise LineInvalid("too_long", f"more than {READ_LINE_BYTES_MAX} bytes")
        return decode_timed(self.content)


@dataclass(frozen=True, slots=True)
class TailNotice:
    """Something that happened to a log, and what the tail does about it."""

    log: str
    kind: NoticeKind
    message: str


class LogTail:
    """Follows one log from a position; holds no descriptor between two looks."""

    def __init__(self, log: str, path: Path, position: TailPosition = START) -> None:
        """Remember where to go on; nothing is opened yet, and there may be no log yet."""
        self.log = log
        self.path = path
        self._file = os.fspath(path)  # looked at five times a second
        self.position = position
        """After the last line that was handed out."""
        self.has_more = False
        """True when the last look left complete lines for the next one."""
        self._signature: tuple[int, ...] | None = None
        self._complaint: str | None = None

    def poll(self) -> Iterator[TailedLine | TailNotice]:
        """Yield what is new since the last look, about 1 MiB of it; one `stat` if there is nothing.

        Who stops half way loses nothing: the next look goes on after the last line taken.
        """
        try:
            status = os.lstat(self._file)
            if _signature_of(status) == self._signature:
                return
            fd = open_for_reading(self.path)
        except (OSError, LogUnsafe) as error:
            yield from self._complain(error)
            return
        try:
            yield from self._read(fd)
        except OSError as error:
            yield from self._complain(error)
        finally:
            os.close(fd)

    def _read(self, fd: int) -> Iterator[TailedLine | TailNotice]:
        status = os.fstat(fd)
        self._signature, self._complaint, self.has_more = None, None, False
        notice = self._changed(fd, status)
        if notice is not None:
            self.position = START
            yield notice
        chunk = read_chunk(fd, ReadPosition(self.position.offset), bytes_max=_TURN_BYTES)
        before = self.position.line_count
        for raw in chunk.lines:
            number = None if before is None else before + raw.line_number
            self.position = position_after(raw, number, status)
            yield TailedLine(self.log, raw.offset, number, raw.content)
        self.has_more = not chunk.at_end
        if chunk.at_end:
            self._signature = _signature_of(status)

    def _changed(self, fd: int, status: os.stat_result) -> TailNotice | None:
        """Say why the position no longer holds, or None where its last line is in its place."""
        at = self.position
        if at.offset == 0 or _is_in_place(fd, at):
            return None
        kind: NoticeKind = "rewritten"
        if (status.st_dev, status.st_ino) != (at.device, at.inode):
            kind = "replaced"
        elif status.st_size < at.offset:
            kind = "truncated"
        message = f"the log was {kind} at or before byte {at.offset}; reading it from its start"
        return TailNotice(self.log, kind, message)

    def _complain(self, error: OSError | LogUnsafe) -> Iterator[TailNotice]:
        """Say once what is wrong; a log that was never there is only not there yet."""
        self._signature, self.has_more = None, False
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        if is_missing and self.position == START:
            return
        notice = unreadable_notice(self.log, error)
        if is_missing:
            notice = TailNotice(self.log, "gone", "the log is gone; waiting for it")
        if notice.message != self._complaint:
            self._complaint = notice.message
            yield notice


class StoreTail:
    """Follows the logs of a store, and new ones as they appear; one log at a time is open."""

    def __init__(
        self,
        store: Store,
        *,
        is_followed: Callable[[str], bool] = lambda _name: True,
        positions: Mapping[str, TailPosition] | None = None,
    ) -> None:
        """Follow the logs whose directory's name `is_followed`, each from its position.

        A log without a position is read from its start.
        """
        self._store = store
        self._is_followed = is_followed
        self._resumed = dict(positions or {})
        self._tails: dict[str, LogTail] = {}
        self._seen: tuple[int, ...] | None = None
        self._rounds_to_scan = 0
        self._complaint: str | None = None

    @property
    def positions(self) -> dict[str, TailPosition]:
        """After the last line handed out of each log, by the name of its directory."""
        return self._resumed | {tail.log: tail.position for tail in self._tails.values()}

    @property
    def has_more(self) -> bool:
        """Say whether some log has complete lines that the last round did not get to."""
        return any(tail.has_more for tail in self._tails.values())

    def poll(self) -> Iterator[TailedLine | TailNotice]:
        """Yield what is new, of every log in turn."""
        yield from self._scan_if_due()
        for tail in list(self._tails.values()):
            yield from tail.poll()

    def follow(
        self, is_over: Callable[[], bool] = lambda: False, *, poll_s: float = POLL_S
    ) -> Iterator[TailedLine | TailNotice]:
        """Yield what is new, for ever, or until `is_over`, which is asked after every item."""
        while not is_over():
            for item in self.poll():
                yield item
                if is_over():
                    return
            if not self.has_more:
                time.sleep(poll_s)

    def _scan_if_due(self) -> Iterator[TailNotice]:
        """List the sessions when their directory changed, and now and then without a reason."""
        try:
            signature = _signature_of(self._store.sessions_dir.stat())
        except OSError:
            signature = ()  # the listing says why
        self._rounds_to_scan -= 1
        if signature == self._seen and self._rounds_to_scan > 0:
            return
        self._seen, self._rounds_to_scan = signature, _ROUNDS_BETWEEN_SCANS
        try:
            directories = self._store.session_directories()
        except ProvlogError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                yield TailNotice("", "unreadable", f"{error.message}; waiting for it")
            return
        self._complaint = None
        yield from self._take_up(directories)

    def _take_up(self, directories: Sequence[SessionDirectory]) -> Iterator[TailNotice]:
        names = {directory.name for directory in directories}
        missing = [tail for name, tail in self._tails.items() if name not in names]
        for directory in directories:
            name = directory.name
            if name in self._tails or not self._is_followed(name):
                continue
            position = self._resumed.pop(name, None)
            old = _same_file(missing, directory) if missing and position is None else None
            if old is not None:
                missing.remove(old)
                position = self._tails.pop(old.log).position
                yield TailNotice(name, "moved", f"was {old.log} until now; going on where it was")
            self._tails[name] = LogTail(name, directory.log, position or START)


def _same_file(tails: Sequence[LogTail], directory: SessionDirectory) -> LogTail | None:
    """Return the tail whose log is now in this directory: it was renamed while it was followed."""
    try:
        status = os.lstat(directory.log)
    except OSError:
        return None
    for tail in tails:
        at = tail.position
        if at.offset and (status.st_dev, status.st_ino) == (at.device, at.inode):
            return tail
    return None


def unreadable_notice(log: str, error: OSError | LogUnsafe) -> TailNotice:
    """Return the notice of a log that the system or the reader refuses."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else error.message
    return TailNotice(log, "unreadable", f"can't be read: {reason}")


def _signature_of(status: os.stat_result) -> tuple[int, ...]:
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size, *times)


def position_after(raw: RawLine, number: int | None, status: os.stat_result) -> TailPosition:
    """Return the position after a line of a log with this status."""
    end = raw.offset + raw.length + 1
    return TailPosition(end, number, raw.length, raw.hash, status.st_dev, status.st_ino)


def _is_in_place(fd: int, at: TailPosition) -> bool:
    raw = line_at(fd, at.offset - at.length - 1, at.length)
    return raw is not None and (raw.length, raw.hash) == (at.length, at.hash)


def line_at(fd: int, offset: int, length: int) -> RawLine | None:
    """Return the first complete line from `offset` on; None where there is none (any more)."""
    chunk_bytes = min(length + 1, CHUNK_BYTES)
    lines = read_chunk(fd, ReadPosition(offset), bytes_max=chunk_bytes).lines
    return lines[0] if lines else None
