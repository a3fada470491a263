"""A new month file: the parts of the standing one as they are, then new ones, beside it."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provenance_log import files
from provenance_log.archive_index import month_path
from provenance_log.archive_trees import PIECE_BYTES
from provenance_log.errors import READ_HINT, ArchiveDamaged, LogUnsafe
from provenance_log.reader import open_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from provenance_log.archive_files import Packing
    from provenance_log.archive_index import ArchivedSession
    from provenance_log.store import Store


class NewMonth:
    """Makes a month file anew; nothing that stands in the old one is ever left out.

    So every offset in the index holds for the old file and for the new one, and it does not
    matter between which of the two steps, rename and index, a run is killed. A part that the
    index does not name, left by such a run or replaced since, stays and does no harm.
    """

    def __init__(
        self,
        store: Store,
        month: str,
        entries: Iterable[ArchivedSession],
        packings: Sequence[Packing],
        on_packed: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = month_path(store, month)
        self.packing: Packing | None = None
        """The session that is being packed."""
        self.offsets: list[int] = []
        """Where each new part begins; known when the file was written."""
        self._packings = packings
        self._on_packed = on_packed
        self._needed_bytes = max((e.end for e in entries if e.month == month), default=0)
        self._standing_bytes = 0
        self._hasher = hashlib.sha256()

    @contextmanager
    def written(self) -> Iterator[Path]:
        """Write the new file, synced, under a temporary name, which is gone after the block.

        Raises `ArchiveDamaged` where the standing file is not as long as the index says, or the
        new one does not begin with it; and `ArchiveRefused` for the session in `packing`.
        """
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            files.write_new(temporary, self._pieces())
            self._read_back(temporary)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _pieces(self) -> Iterator[bytes]:
        for piece in self._standing():
            self._hasher.update(piece)
            self._standing_bytes += len(piece)
            yield piece
        if self._standing_bytes < self._needed_bytes:
            message = f"has {self._standing_bytes} bytes, and the index names {self._needed_bytes}"
            hint = "bring this file back from a backup, then archive again"
            raise ArchiveDamaged(message, path=self.path, hint=hint)
        offset = self._standing_bytes
        for packing in self._packings:
            self.packing = packing
            self.offsets.append(offset)
            yield from packing.pieces()
            offset += packing.packed_bytes
            self._on_packed()

    def _standing(self) -> Iterator[bytes]:
        try:
            fd = open_for_reading(self.path)
        except FileNotFoundError:
            return
        except (OSError, LogUnsafe) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"can't be read: {reason}"
            raise ArchiveDamaged(message, path=self.path, hint=READ_HINT) from error
        with os.fdopen(fd, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def _read_back(self, temporary: Path) -> None:
        """Compare the copied parts; those that are new are compared with their directories."""
        hasher = hashlib.sha256()
        left = self._standing_bytes
        with temporary.open("rb") as file:
            if sys.platform == "linux":
                # What is on the disk is to be read, not what the kernel remembers of it.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while left and (piece := file.read(min(left, PIECE_BYTES))):
                hasher.update(piece)
                left -= len(piece)
        if hasher.digest() != self._hasher.digest():
            message = "was read back otherwise than it was written"
            raise ArchiveDamaged(message, path=temporary, hint="check the disk")
