"""The levels on which the files beside a log are verified: its blobs, its manifest and summary."""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from provenance_log.errors import LogUnsafe
from provenance_log.marker import ownership_reason
from provenance_log.reader import RawLine, open_for_reading
from provenance_log.store import MANIFEST_NAME, SUMMARY_NAME
from provenance_log.verifying_levels import Level, Places, State, counted, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DERIVED_BYTES_MAX = 16 * 1024 * 1024
"""Far more than a generated file can hold; a larger one belongs to a person and is not read."""

_REMEMBERED_BLOBS = 1024
_HOLDERS_OF_BLOBS = ("details", "error", "context")
_REFERENCE_KEYS = {"blob", "bytes"}
_HASH = re.compile(r"[0-9a-f]{64}")


def derived_level(directory: Path) -> Level:
    """Say whose the manifest and the summary beside a log are, by the marker they begin with.

    Whether a generated one says what the log says takes the tables: see `projections.parity`.
    """
    texts = [f"{name} {_owner(directory / name)}" for name in (MANIFEST_NAME, SUMMARY_NAME)]
    is_usual = all(text.endswith(_GENERATED) for text in texts)
    return Level("derived", "ok" if is_usual else "note", "; ".join(texts))


_GENERATED = "as it was generated"


def _owner(path: Path) -> str:
    try:
        with os.fdopen(open_for_reading(path), "rb") as file:
            content = file.read(DERIVED_BYTES_MAX + 1)
    except FileNotFoundError:
        return "is not there"
    except (OSError, LogUnsafe) as error:
        return f"can't be read: {reason_of(error)}"
    if len(content) > DERIVED_BYTES_MAX:
        return "is a person's: it is larger than any that is generated"
    reason = ownership_reason(content)
    return _GENERATED if reason is None else f"is a person's: {reason}"


class Blobs:
    """Whether every blob that a line names is there, with the size and the hash it should have."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reference_count = 0
        self._places: dict[State, Places] = {}
        self._outcome = lru_cache(maxsize=_REMEMBERED_BLOBS)(self._check)

    def see(self, raw: RawLine, value: Mapping[str, Any] | None) -> None:
        """Take in a line and its action; None where it is none."""
        for digest, size_bytes in _references(value or {}):
            self._reference_count += 1
            outcome = self._outcome(digest, size_bytes)
            if outcome is not None:
                state, text = outcome
                self._places.setdefault(state, Places()).add(raw, text)

    def level(self) -> Level:
        """Return what all lines together came to."""
        text = counted(self._reference_count, "reference")
        found = [(state, p) for state in _BLOB_STATES if (p := self._places.get(state))]
        if not found:
            return Level("blobs", "ok", text)
        for _, places in found:
            text += places.told("bad one")
        state, worst = found[0]
        return Level("blobs", state, text, worst.line, worst.offset, worst.count)

    def _check(self, digest: str, size_bytes: int) -> tuple[State, str] | None:
        try:
            if self._directory.is_symlink():
                return "unreadable", "the directory of blobs is a symlink"
            fd = open_for_reading(self._directory / digest)
            with os.fdopen(fd, "rb") as file:
                found_bytes = os.fstat(fd).st_size
                if found_bytes != size_bytes:
                    return "tampered", f"blob {digest} has {found_bytes} bytes, not {size_bytes}"
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return "damaged", f"blob {digest} is missing"
        except (OSError, LogUnsafe) as error:
            return "unreadable", f"blob {digest} can't be read: {reason_of(error)}"
        if found != digest:
            return "tampered", f"blob {digest} has another content than its name says"
        return None


_BLOB_STATES: tuple[State, ...] = ("tampered", "unreadable", "damaged")


def _references(value: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield hash and size of the blobs that the writer put in the place of large members."""
    for holder in _HOLDERS_OF_BLOBS:
        for member in (value.get(holder) or {}).values():
            if not isinstance(member, dict) or not member.keys() >= _REFERENCE_KEYS:
                continue
            digest, size_bytes = member["blob"], member["bytes"]
            if type(size_bytes) is int and isinstance(digest, str) and _HASH.fullmatch(digest):
                yield digest, size_bytes
