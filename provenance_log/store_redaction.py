"""The redactor of a store: its settings, and the key that makes its digests.

The key is made at the first secret and stays in the store, out of git and out of copies, so that
a digest can be compared within a store and guessed at by nobody who has only the logs.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from typing import TYPE_CHECKING

from provenance_log import files
from provenance_log.redact import RedactionSettings, Redactor
from provenance_log.store import CONFIG_NAME

if TYPE_CHECKING:
    from pathlib import Path

KEY_NAME = "redaction.key"
KEY_BYTES = 32

_KEY_TEXT = re.compile(rb"[0-9a-f]{64}\n?")
_process_key = secrets.token_bytes(KEY_BYTES)
"""For digests outside of any store that can be written; nobody can compare them later."""
_redactors: dict[Path | None, tuple[object, Redactor]] = {}


def redactor_for_log(log: Path) -> Redactor:
    """Return the redactor of the store that a log is in; outside of a store, the default rules."""
    sessions = log.parent.parent
    return redactor_of(sessions.parent if sessions.name == "sessions" else None)


def redactor_of(root: Path | None) -> Redactor:
    """Return the redactor of the store at `root`, made anew when its `config.yaml` has changed.

    Raises `SettingsInvalid`: recording with other rules than those that were meant would put
    secrets on the disk.
    """
    root = None if root is None else root.absolute()
    signature = None if root is None else _signature(root / CONFIG_NAME)
    known = _redactors.get(root)
    if known is not None and known[0] == signature:
        return known[1]
    settings = RedactionSettings() if root is None else _settings(root)
    redactor = Redactor(settings, _StoreKey(root))
    _redactors[root] = signature, redactor
    return redactor


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _settings(root: Path) -> RedactionSettings:
    try:
        is_set = b"redaction" in (root / CONFIG_NAME).read_bytes()
    except OSError:
        is_set = (root / CONFIG_NAME).exists()  # what can't be read is refused below
    if not is_set:
        return RedactionSettings()
    # Settings need YAML, which few stores set anything with, and a hook lives for one line.
    from provenance_log.settings import load_settings  # noqa: PLC0415

    return load_settings(root).redaction


class _StoreKey:
    """Gives the key of a store, which is read or made when it is first asked for."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._key: bytes | None = None
        self._lock = threading.Lock()

    def __call__(self) -> bytes:
        """Return the key; that of this process where the store has none and can't be written."""
        with self._lock:
            if self._key is None:
                self._key = _key_of(self._root)
            return self._key

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._root)!r})"


def _key_of(root: Path | None) -> bytes:
    if root is None:
        return _process_key
    path = root / KEY_NAME
    try:
        key = _read_key(path)
        if key is None:
            files.create_atomically(path, f"{secrets.token_hex(KEY_BYTES)}\n".encode())
            key = _read_key(path)  # somebody else may have been faster, and then it is theirs
    except OSError:
        return _process_key  # the line must be written all the same, and without its secret
    return key or _process_key


def _read_key(path: Path) -> bytes | None:
    """Return the key in a file; None where there is none. What is no key raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        data = os.read(fd, 2 * KEY_BYTES + 2)
    finally:
        os.close(fd)
    if not _KEY_TEXT.fullmatch(data):
        raise OSError(f"{path} holds no key")
    return bytes.fromhex(data.decode())
