"""A disk of which every write is recorded, so that its power can be cut between any two of them.

A file that FUSE serves is the disk; a loop device makes it one, and ext4 is on it. The server
sees each write and each flush in the order in which the disk gets them, and notes beside them what
programs say meanwhile. A disk keeps what it was given before the last flush that it has answered;
of what came after it, any part may be there.
"""

from __future__ import annotations

import os
import select
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal, TypeAlias

from attacks.effort import Impossible

SIZE_BYTES = 64 * 1024 * 1024
SECTOR_BYTES = 512
_TOOLS = Path(__file__).resolve().parent.parent
_ENTRY = struct.Struct("<cQI")
_IN_HEADER = struct.Struct("<IIQQIIIHH")
_OUT_HEADER = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_FILE_NODE = 2
_NAME = "disk"
_PIECE_BYTES = 1024 * 1024
_REQUEST_BYTES = _PIECE_BYTES + 4096
_NOTES_BYTES = 65536
_END_S = 60.0
_ENOSYS = 38
_ENOENT = 2

# The requests of FUSE that matter here; the rest is refused, which the kernel takes well.
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS = 1, 2, 3, 4, 14, 15, 16, 17
_RELEASE, _FSYNC, _FLUSH, _INIT, _OPENDIR, _RELEASEDIR = 18, 20, 25, 26, 27, 29
_INTERRUPT, _DESTROY, _BATCH_FORGET = 36, 38, 42
_UNANSWERED = frozenset({_FORGET, _INTERRUPT, _BATCH_FORGET})
_BIG_WRITES_AND_MAX_PAGES = (1 << 5) | (1 << 22)


class NoDisk(Impossible):
    """This machine has no FUSE, no loop device, no ext4, or no right to mount."""


Kind: TypeAlias = Literal["write", "flush", "note"]
_KINDS: dict[bytes, Kind] = {b"W": "write", b"F": "flush", b"N": "note"}


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to the disk, or was said meanwhile."""

    kind: Kind
    offset: int
    data: bytes


@dataclass(slots=True)
class Disk:
    """What is on a disk while it is replayed, entry by entry."""

    kept: bytearray
    """What it was given before the last flush."""
    pending: list[Entry] = field(default_factory=list)
    """What came since."""
    notes: list[str] = field(default_factory=list)
    """What was said so far."""

    def take(self, entry: Entry) -> None:
        """Let one thing happen."""
        if entry.kind == "note":
            self.notes.append(entry.data.decode())
        elif entry.kind == "write":
            self.pending.append(entry)
        else:
            for one in self.pending:
                _apply(self.kept, one)
            self.pending.clear()

    def cut(self, random: Random) -> bytearray:
        """Return what a cut of the power may leave: of pending writes all, none, or some of each.

        A write may be cut between two sectors, never inside one.
        """
        image = bytearray(self.kept)
        kind = random.choice(("all", "none", "first", "some"))
        first = random.randint(0, len(self.pending))
        for number, one in enumerate(self.pending):
            is_there = {
                "all": True,
                "none": False,
                "first": number < first,
                "some": random.random() < 0.5,
            }[kind]
            if is_there:
                _apply(image, one)
            elif kind in {"first", "some"} and random.random() < 0.3:
                sectors = random.randint(0, len(one.data) // SECTOR_BYTES)
                _apply(image, Entry("write", one.offset, one.data[: sectors * SECTOR_BYTES]))
        return image


def _apply(image: bytearray, write: Entry) -> None:
    image[write.offset : write.offset + len(write.data)] = write.data


def make_file_system(path: Path) -> None:
    """Make an image with an empty ext4; raises `NoDisk`."""
    with path.open("wb") as file:
        file.truncate(SIZE_BYTES)
    if shutil.which("mkfs.ext4") is None:
        raise NoDisk("mkfs.ext4 is not installed")
    options = ("-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard")
    _system("mkfs.ext4", *options, str(path))


@contextmanager
def mounted(image: Path, directory: Path, *options: str) -> Iterator[Path]:
    """Have the file system of an image, below `directory` while the block runs."""
    directory.mkdir(exist_ok=True)
    _system("mount", "-o", ",".join(("loop", *options)), str(image), str(directory))
    try:
        yield directory
    finally:
        _unmount(directory)
        directory.rmdir()


@contextmanager
def recorded(image: Path, directory: Path, record: Path, notes: Path) -> Iterator[Path]:
    """Have the file system of an image, with each write and each line of `notes` in `record`.

    `image` itself stays what it is. `notes` is made, a named pipe.
    """
    os.mkfifo(notes)
    served = directory.with_name(f"{directory.name}-served")
    served.mkdir()
    fuse = _open_fuse()
    try:
        options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
        _system("mount", "-i", "-t", "fuse", "-o", options, "recorded", str(served), fds=(fuse,))
        server = subprocess.Popen(
            [sys.executable, "-m", "attacks.recorded_disk", str(fuse), image, record, notes],
            pass_fds=(fuse,),
            env={**os.environ, "PYTHONPATH": str(_TOOLS)},
        )
    finally:
        os.close(fuse)
    try:
        with mounted(served / _NAME, directory, "noatime"):
            yield directory
    finally:
        _unmount(served)
        _end(server)
        served.rmdir()
        notes.unlink()


def entries_of(record: Path) -> Iterator[Entry]:
    """Yield what was recorded, in order."""
    with record.open("rb") as file:
        while head := file.read(_ENTRY.size):
            kind, offset, size = _ENTRY.unpack(head)
            yield Entry(_KINDS[kind], offset, file.read(size))


def _open_fuse() -> int:
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NoDisk(f"/dev/fuse: {error.strerror}") from error


def _system(*command: str, fds: Sequence[int] = ()) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=fds)
    if done.returncode != 0:
        raise NoDisk(f"{' '.join(command)}: {done.stderr.strip()}")


def _unmount(directory: Path) -> None:
    """Take a file system away; one that is in use, as soon as it is not."""
    if subprocess.run(["umount", directory], capture_output=True, check=False).returncode != 0:
        subprocess.run(["umount", "-l", directory], capture_output=True, check=False)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Return when the server has ended, as it does when nobody can ask it for anything any more."""
    try:
        server.wait(_END_S)
    except subprocess.TimeoutExpired:
        server.kill()  # whoever still uses the disk gets errors
        server.wait()


class _Server:
    """Answers what the kernel asks about one directory with one file."""

    def __init__(self, fuse: int, image: Path, record: Path, notes: Path) -> None:
        self._fuse = fuse
        self._disk = bytearray(image.read_bytes())
        self._record = record.open("wb")
        # Open for writing too, so that it never is at its end.
        self._notes = os.open(notes, os.O_RDWR | os.O_NONBLOCK)
        self._left = b""

    def run(self) -> None:
        """Answer until the file system is not mounted any more."""
        poll = select.poll()
        poll.register(self._fuse, select.POLLIN)
        poll.register(self._notes, select.POLLIN)
        with self._record:
            while True:
                ready = {fd for fd, _ in poll.poll()}
                # What was said was said before the next request is answered.
                self._take_notes()
                if self._fuse in ready and not self._answer():
                    return

    def _take_notes(self) -> None:
        while True:
            try:
                self._left += os.read(self._notes, _NOTES_BYTES)
            except BlockingIOError:
                break
        *lines, self._left = self._left.split(b"\n")
        for line in lines:
            self._note(b"N", 0, line)

    def _note(self, kind: bytes, offset: int, data: bytes) -> None:
        self._record.write(_ENTRY.pack(kind, offset, len(data)) + data)

    def _answer(self) -> bool:
        try:
            request = os.read(self._fuse, _REQUEST_BYTES)
        except FileNotFoundError:
            return True  # the request was withdrawn
        except OSError:
            return False
        _, opcode, unique, node, *_ = _IN_HEADER.unpack_from(request)
        body = memoryview(request)[_IN_HEADER.size :]
        if opcode in _UNANSWERED:
            return True
        found = self._reply(opcode, node, body)
        error, data = (found, b"") if isinstance(found, int) else (0, found)
        head = _OUT_HEADER.pack(_OUT_HEADER.size + len(data), -error, unique)
        os.write(self._fuse, head + data)
        return bool(opcode != _DESTROY)

    def _reply(self, opcode: int, node: int, body: memoryview) -> bytes | int:
        """Return the answer, or the number of an error."""
        if opcode in {_READ, _WRITE}:
            return self._move(opcode, body)
        if opcode == _FSYNC:
            self._note(b"F", 0, b"")
        if opcode == _INIT:
            _, _, readahead, flags = struct.unpack_from("<4I", body)
            kept = flags & _BIG_WRITES_AND_MAX_PAGES
            pages = _PIECE_BYTES // 4096
            limits = (7, 31, readahead, kept, 16, 12, _PIECE_BYTES, 1, pages, 0)
            return struct.pack("<4I2H2I2H", *limits) + bytes(32)
        if opcode == _LOOKUP:
            if bytes(body).rstrip(b"\0") != _NAME.encode():
                return _ENOENT
            return struct.pack("<4Q2I", _FILE_NODE, 0, 3600, 3600, 0, 0) + self._attributes(node=2)
        if opcode in {_GETATTR, _SETATTR}:
            return struct.pack("<Q2I", 3600, 0, 0) + self._attributes(node=node)
        if opcode in {_OPEN, _OPENDIR}:
            return struct.pack("<Q2I", 0, 0, 0)
        if opcode == _STATFS:
            return bytes(80)
        return b"" if opcode in {_RELEASE, _FSYNC, _FLUSH, _RELEASEDIR, _DESTROY} else _ENOSYS

    def _move(self, opcode: int, body: memoryview) -> bytes:
        _, offset, size = struct.unpack_from("<2QI", body)
        if opcode == _READ:
            return bytes(self._disk[offset : offset + size])
        data = bytes(body[40 : 40 + size])
        self._disk[offset : offset + size] = data
        self._note(b"W", offset, data)
        return struct.pack("<2I", size, 0)

    def _attributes(self, *, node: int) -> bytes:
        is_file = node == _FILE_NODE
        mode = 0o100600 if is_file else 0o40700
        size = SIZE_BYTES if is_file else 0
        whole = (node, size, size // SECTOR_BYTES, 0, 0, 0)
        return _ATTRIBUTES.pack(*whole, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


if __name__ == "__main__":
    _Server(int(sys.argv[1]), *map(Path, sys.argv[2:5])).run()
