"""The month files of the archive: what is written into them, and how it is read back.

A month file is a tar file, packed with xz, that `tar -xf` unpacks. It is made of parts, one for
each session: an xz stream with the tar members of that session alone. So a session is found and
unpacked without the others, damage to one costs no other, and adding a session copies the bytes
of the others as they are. Measured with the transcripts of Claude Code (25 MB a month), one
stream per session takes 11 % of the size at 32 MB/s; gzip 19 % at 41 MB/s, xz at its usual level
10 % at 6 MB/s, and one stream for all sessions 7 % at 4 MB/s.

What is read is never trusted: only members that are written here are accepted, and no more bytes
are unpacked than the index promises.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance_log.archive_index import month_path
from provenance_log.archive_trees import PIECE_BYTES, Member, TreeDigest, pieces_of
from provenance_log.errors import ArchiveDamaged, LogUnsafe
from provenance_log.reader import open_for_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from provenance_log.archive_index import ArchivedSession
    from provenance_log.archive_trees import Tree
    from provenance_log.store import Store

_PRESET = 2
_MEMORY_BYTES_MAX = 128 * 1024 * 1024
"""What unpacking may need; a stream of ours needs 2 MB, a hostile one could ask for gigabytes."""

_BLOCK = 512
_RECORDS_BYTES_MAX = 64 * 1024
_PERMISSIONS = 0o777
_NUMBER = re.compile(rb"(0|-?[1-9]\d{0,19})")
_TIME = re.compile(rb"(-?)(\d{1,15})\.(\d{9})")
_HINT = (
    "bring this file back from a backup, then run the command again; "
    "`provlog restore --all` restores the sessions that are whole"
)


@dataclass(slots=True)
class Packing:
    """A session on its way into a month file; the figures are complete when it was packed."""

    tree: Tree
    member: str
    packed_bytes: int = 0
    unpacked_bytes: int = 0
    digest: str = ""

    def pieces(self) -> Iterator[bytes]:
        """Yield the session's part of the month file; raises `ArchiveRefused`."""
        packer = lzma.LZMACompressor(lzma.FORMAT_XZ, lzma.CHECK_CRC64, _PRESET)
        self.packed_bytes = self.unpacked_bytes = 0
        for piece in self._unpacked():
            self.unpacked_bytes += len(piece)
            packed = packer.compress(piece)
            self.packed_bytes += len(packed)
            yield packed
        packed = packer.flush()
        self.packed_bytes += len(packed)
        yield packed

    def _unpacked(self) -> Iterator[bytes]:
        digest = TreeDigest()
        for member in self.tree.members:
            yield _header(self.member, member)
            sha256 = ""
            if not member.is_directory:
                hasher = hashlib.sha256()
                for piece in pieces_of(self.tree, member):
                    hasher.update(piece)
                    yield piece
                yield bytes(-member.size_bytes % _BLOCK)
                sha256 = hasher.hexdigest()
            digest.add(member, sha256)
        self.digest = digest.hexdigest()


class PartReader:
    """Reads one session's part of a month file, and refuses whatever is not as it should be.

    Every error is `ArchiveDamaged`, with the byte of the month file at which the part begins.
    """

    def __init__(self, path: Path, entry: ArchivedSession) -> None:
        self._path = path
        self._entry = entry
        self._unpacked = self._pieces()
        self._ahead = b""

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield each member with its content, which is skipped where nobody reads it.

        At the end the number and the size of all files are what the index says, and so is the
        digest of the tree.
        """
        digest = TreeDigest()
        names: dict[str, bool] = {}
        while (member := self._member()) is not None:
            if not _may_follow(member, names):
                raise self.damaged(f"holds a member that is none of ours: {member.name[:80]!r}")
            names[member.name] = member.is_directory
            if digest.size_bytes + member.size_bytes > self._entry.size_bytes:
                raise self.damaged("holds more bytes than the index says")
            hasher = hashlib.sha256()
            content = self._content(member.size_bytes, hasher)
            yield member, content
            for _ in content:
                pass
            self._exactly(-member.size_bytes % _BLOCK)
            digest.add(member, "" if member.is_directory else hasher.hexdigest())
        found = (digest.file_count, digest.size_bytes, digest.hexdigest())
        if found != (self._entry.files, self._entry.size_bytes, self._entry.tree):
            raise self.damaged("does not hold the files that the index names")

    def damaged(self, reason: str) -> ArchiveDamaged:
        """Return the error for this part."""
        message = f"the part of session {self._entry.session_id} {reason}"
        return ArchiveDamaged(message, path=self._path, offset=self._entry.offset, hint=_HINT)

    def _pieces(self) -> Iterator[bytes]:
        """Yield the unpacked bytes, never more than the index says."""
        entry = self._entry
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY_BYTES_MAX)
        left, unpacked_left = entry.packed_bytes, entry.unpacked_bytes
        try:
            fd = open_for_reading(self._path)
        except (OSError, LogUnsafe) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self.damaged(f"can't be read: {reason}") from error
        try:
            offset = entry.offset
            while not unpacker.eof:
                packed = b""
                if unpacker.needs_input:
                    packed = os.pread(fd, min(PIECE_BYTES, left), offset)
                    if not packed:
                        raise self.damaged("is cut off")
                    offset, left = offset + len(packed), left - len(packed)
                piece = unpacker.decompress(packed, min(PIECE_BYTES, unpacked_left + 1))
                unpacked_left -= len(piece)
                if unpacked_left < 0:
                    raise self.damaged("unpacks to more bytes than the index says")
                yield piece
            if left or unpacker.unused_data or unpacked_left:
                raise self.damaged("has another length than the index says")
        except lzma.LZMAError as error:
            raise self.damaged(f"can't be unpacked: {error}") from error
        except OSError as error:
            raise self.damaged(f"can't be read: {error.strerror or error}") from error
        finally:
            os.close(fd)

    def _some(self, size_bytes: int) -> bytes:
        """Return up to that many bytes; none only at the end."""
        while not self._ahead:
            piece = next(self._unpacked, None)
            if piece is None:
                return b""
            self._ahead = piece
        taken, self._ahead = self._ahead[:size_bytes], self._ahead[size_bytes:]
        return taken

    def _exactly(self, size_bytes: int) -> bytes:
        taken = b""
        while len(taken) < size_bytes:
            piece = self._some(size_bytes - len(taken))
            if not piece:
                raise self.damaged("ends in the middle of a member")
            taken += piece
        return taken

    def _content(self, size_bytes: int, hasher: hashlib._Hash) -> Iterator[bytes]:
        while size_bytes:
            piece = self._some(size_bytes)
            if not piece:
                raise self.damaged("ends in the middle of a member")
            size_bytes -= len(piece)
            hasher.update(piece)
            yield piece

    def _member(self) -> Member | None:
        """Read the headers of the next member: the records of ours, then the member's own."""
        first = self._some(1)
        if not first:
            return None
        records_header = self._header(first + self._exactly(_BLOCK - 1))
        size_bytes = records_header.size
        if records_header.type != tarfile.XHDTYPE or not 0 < size_bytes <= _RECORDS_BYTES_MAX:
            raise self.damaged("holds a member that is none of ours")
        data = self._exactly(size_bytes)
        self._exactly(-size_bytes % _BLOCK)
        header = self._header(self._exactly(_BLOCK))
        member = _described(data, header, self._entry.member)
        if member is None:
            raise self.damaged("holds a member that is none of ours")
        return member

    def _header(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise self.damaged(f"holds no header where one should be: {error}") from error


def read_part(store: Store, entry: ArchivedSession, path: Path | None = None) -> PartReader:
    """Return a reader of a session's part, in its month file or in `path`."""
    return PartReader(month_path(store, entry.month) if path is None else path, entry)


def _header(prefix: str, member: Member) -> bytes:
    """Return the two headers of a member.

    Name, size and time stand in records, where no limit of older formats holds, and once more in
    the member's own header as far as it can hold them.
    """
    name = os.fsencode(f"{prefix}/{member.name}".rstrip("/"))
    seconds, nanoseconds = divmod(abs(member.mtime_ns), 10**9)
    sign = b"-" if member.mtime_ns < 0 else b""
    data = b"".join(
        (
            _record(b"mtime", b"%b%d.%09d" % (sign, seconds, nanoseconds)),
            _record(b"path", name),
            _record(b"size", b"%d" % member.size_bytes),
        )
    )
    records = tarfile.TarInfo("records")
    records.type, records.size, records.mode = tarfile.XHDTYPE, len(data), 0o600
    header = tarfile.TarInfo("member")
    header.type = tarfile.DIRTYPE if member.is_directory else tarfile.REGTYPE
    header.mode = member.mode
    header.size = member.size_bytes if member.size_bytes < 8**11 else 0
    header.mtime = seconds if not sign and seconds < 8**11 else 0
    padding = bytes(-len(data) % _BLOCK)
    return _encoded(records) + data + padding + _encoded(header)


def _encoded(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _record(key: bytes, value: bytes) -> bytes:
    """Return a record, which begins with its own length."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def _described(data: bytes, header: tarfile.TarInfo, prefix: str) -> Member | None:
    """Return the member that the records and the header describe; None for none of ours."""
    values: dict[bytes, bytes] = {}
    while data:
        length, _, rest = data.partition(b" ")
        if not length.isdigit() or len(length) > 6 or int(length) > len(data):
            return None
        record, data = rest[: int(length) - len(length) - 1], data[int(length) :]
        key, _, value = record.partition(b"=")
        values[key] = value.removesuffix(b"\n")
        if record != b"%b=%b\n" % (key, values[key]):
            return None
    time, size = _TIME.fullmatch(values.get(b"mtime", b"")), values.get(b"size", b"")
    if values.keys() != {b"mtime", b"path", b"size"} or not time or not _NUMBER.fullmatch(size):
        return None
    is_directory = header.type == tarfile.DIRTYPE
    if not is_directory and header.type != tarfile.REGTYPE:
        return None
    name = os.fsdecode(values[b"path"])
    if name != prefix and not name.startswith(f"{prefix}/"):
        return None
    mtime_ns = int(time[1] + time[2] + time[3])
    mode = header.mode & _PERMISSIONS
    return Member(name[len(prefix) + 1 :], is_directory, mode, mtime_ns, int(size))


def _may_follow(member: Member, names: Mapping[str, bool]) -> bool:
    """Say whether a member may stand after those: plain, relative, new, in a known directory."""
    if not names:
        return member.name == "" and member.is_directory and member.size_bytes == 0
    parts = member.name.split("/")
    if member.size_bytes < 0 or (member.is_directory and member.size_bytes):
        return False
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        return False
    return member.name not in names and names.get("/".join(parts[:-1]), False)
