"""Payloads too large for a line: kept whole beside the log, under the name of their content.

A blob is written before the line that names it, so a line never names a blob that is not there.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from provenance_log import files
from provenance_log.errors import LogUnsafe, ProvlogError, StoreNotWritable
from provenance_log.format import LINE_BYTES_MAX
from provenance_log.unnamed_files import make_anew

BLOBS_DIRECTORY = "blobs"
MOVED_BYTES_MIN = 1024
"""A smaller member stays in its line: its reference would not be much shorter."""
_HOLDERS = ("details", "error", "context")
_ROOM_FOR_THE_REST = 64 * 1024


def move_large_members(action: dict[str, Any], session_directory: Path) -> dict[str, Any]:
    """Return the action with large members moved to blobs until it fits a line, if that can be.

    The largest members of `details` go first, then those of `error` and `context`. Each becomes
    `{"blob": sha256, "bytes": n, "media_type": …}`: a text as it is, anything else as JSON.
    Raises `StoreNotWritable` when a blob can't be written.
    """
    total = len(orjson.dumps(action))
    for holder in _HOLDERS:
        members = dict(action.get(holder) or {})
        sizes = {key: len(orjson.dumps(value)) for key, value in members.items()}
        for key in sorted(sizes, key=lambda name: (-sizes[name], name)):
            if total + _ROOM_FOR_THE_REST <= LINE_BYTES_MAX or sizes[key] < MOVED_BYTES_MIN:
                break
            members[key] = _write(members[key], session_directory)
            total -= sizes[key]
            action = {**action, holder: members}
    return action


def read_blob(session_directory: Path, reference: dict[str, Any]) -> Any:
    """Return the value that a reference stands for; its type is that of the value moved away.

    Raises `ProvlogError` when the blob is missing or its content has another hash.
    """
    digest = str(reference["blob"])
    path = session_directory / BLOBS_DIRECTORY / Path(digest).name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProvlogError(f"the blob can't be read: {error.strerror}", path=path) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ProvlogError("the blob does not have the content its name promises", path=path)
    try:
        return data.decode() if reference.get("media_type") == "text/plain" else orjson.loads(data)
    except ValueError as error:  # both errors of decoding are
        raise ProvlogError("the blob is not of the type its reference names", path=path) from error


def _write(value: object, session_directory: Path) -> dict[str, Any]:
    is_text = isinstance(value, str)
    data = value.encode() if isinstance(value, str) else orjson.dumps(value)
    digest = hashlib.sha256(data).hexdigest()
    directory = session_directory / BLOBS_DIRECTORY
    if directory.is_symlink():
        raise LogUnsafe("the directory of blobs is a symlink", path=directory)
    try:
        if not directory.is_dir():
            with suppress(FileExistsError):  # another thread or process made it in between
                files.make_directory(directory)
        make_anew(directory / digest, data)  # also in the place of one that was damaged since
    except OSError as error:
        message = f"the payload can't be kept: {error.strerror or error}"
        raise StoreNotWritable(message, path=directory) from error
    media_type = "text/plain" if is_text else "application/json"
    return {"blob": digest, "bytes": len(data), "media_type": media_type}
