"""Files of which a missing one is as good as an old one, written so that a kill leaves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance_log import files

if TYPE_CHECKING:
    from pathlib import Path


def make_anew(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, or for a moment nothing; whoever reads it looks elsewhere then.

    Of several processes with different data, one that ends last wins. The old file goes first,
    as what has no name yet can't take the place of another: so no temporary file is left, on
    Linux not even by a kill. Nothing is touched where it held the data already. Raises OSError.
    """
    while not files.holds(path, data):
        path.unlink(missing_ok=True)
        if files.create_atomically(path, data):
            return
