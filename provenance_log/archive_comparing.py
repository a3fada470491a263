"""Compare what the archive holds of a session with its directory, byte by byte."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from provenance_log.archive_trees import pieces_of
from provenance_log.copy_source import HAND_FILE_BYTES_MAX
from provenance_log.errors import ArchiveRefused
from provenance_log.marker import ownership_reason
from provenance_log.store import LOG_NAME, MANIFEST_NAME, SUMMARY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provenance_log.archive_files import PartReader
    from provenance_log.archive_trees import Member, Tree


def is_equal(part: PartReader, tree: Tree) -> bool:
    """Say whether a part holds exactly a tree: names, modes, times, sizes and every byte.

    Raises `ArchiveDamaged`, and `ArchiveRefused` where a file changed since the tree was looked
    at.
    """
    wanted = iter(tree.members)
    for archived, content in part.members():
        member = next(wanted, None)
        if member != archived:
            return False
        if not archived.is_directory and _hash(content) != _hash(pieces_of(tree, archived)):
            return False
    return next(wanted, None) is None


def check_replacement(part: PartReader, tree: Tree, *, is_replacing: bool) -> None:
    """Raise `ArchiveRefused` unless a directory may take the place of what is archived of it.

    It may where its log goes on from the archived one, and every other archived file is there
    with the same content. Generated files do not count, and with `is_replacing` the log alone
    does.
    """
    live = {member.name: member for member in tree.files}
    lost = []
    for archived, content in part.members():
        if archived.name == LOG_NAME:
            _check_goes_on(content, tree, live[LOG_NAME])
        elif not archived.is_directory and _is_lost(archived, content, tree, live):
            lost.append(archived.name)
    if lost and not is_replacing:
        names = ", ".join(lost)
        message = f"the archived copy has files that this directory lacks or has otherwise: {names}"
        hint = "--replace keeps those of the directory"
        raise ArchiveRefused(message, path=tree.path, hint=hint)


def _check_goes_on(archived: Iterator[bytes], tree: Tree, log: Member) -> None:
    """Raise `ArchiveRefused` unless the log begins with the archived one."""
    path = tree.path / LOG_NAME
    line_number = 1
    ahead = b""
    pieces = pieces_of(tree, log)
    for content in archived:
        wanted = content
        while wanted:
            ahead = ahead or next(pieces, b"")
            if not ahead:
                message = "the archived copy of this log goes on where this one ends"
                hint = "restore it: move this directory away, then `provlog restore`"
                raise ArchiveRefused(message, path=path, hint=hint)
            length = min(len(ahead), len(wanted))
            if ahead[:length] != wanted[:length]:
                same = next(i for i in range(length) if ahead[i] != wanted[i])
                line_number += wanted.count(b"\n", 0, same)
                message = "the archived copy of this session has other lines from here on: a fork"
                hint = "keep this directory, or move it away and restore the other"
                raise ArchiveRefused(message, path=path, line=line_number, hint=hint)
            line_number += wanted.count(b"\n", 0, length)
            ahead, wanted = ahead[length:], wanted[length:]


def _is_lost(
    archived: Member, content: Iterator[bytes], tree: Tree, live: dict[str, Member]
) -> bool:
    """Say whether a person would miss a file, if the directory took the place of the archive."""
    if (
        archived.name in {MANIFEST_NAME, SUMMARY_NAME}
        and archived.size_bytes <= HAND_FILE_BYTES_MAX
    ):
        data = b"".join(content)
        if ownership_reason(data) is None:
            return False
        content = iter([data])
    member = live.get(archived.name)
    return member is None or _hash(content) != _hash(pieces_of(tree, member))


def _hash(pieces: Iterator[bytes]) -> str:
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece)
    return hasher.hexdigest()
