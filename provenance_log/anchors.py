"""The head of a log as it was kept elsewhere: in a manifest that was committed, or by a person.

A chain says that nothing between two of its lines changed. Only a hash outside the log says that
its end is still there and that the chain was not computed anew.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance_log.errors import LineInvalid, ProvlogError
from provenance_log.format import COLUMN_INTEGER_MAX, decode
from provenance_log.reader import open_for_reading, read_first_line
from provenance_log.store import MANIFEST_NAME
from provenance_log.strict_json import INTEGER_MAX

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_BYTES_MAX = 4 * 1024 * 1024
"""A manifest that this program writes is far smaller."""

_HEAD = re.compile(r"[0-9A-Fa-f]{64}")
_ENTRY = re.compile(rb"  (lines|bytes|head): (?:(\d{1,16})|\"?([0-9a-f]{64})\"?)")
_HINT = "an anchor is the `log:` block of a generated manifest.yaml, or a hash of 64 hex digits"


@dataclass(frozen=True, slots=True)
class Anchor:
    """The hash of the line that was once the last one, and where it ended, as far as known."""

    head: str
    lines: int | None = None
    size_bytes: int | None = None

    def __str__(self) -> str:
        """Return the anchor as a part of a sentence."""
        if self.lines is None:
            return f"head {self.head}"
        return f"{self.lines} lines, {self.size_bytes} bytes, head {self.head}"


def anchor_of_hash(text: str) -> Anchor | None:
    """Return the anchor that a hash alone is; None for text that is no hash."""
    return Anchor(text.lower()) if _HEAD.fullmatch(text) else None


def anchor_of_manifest(content: bytes) -> Anchor | None:
    """Return the anchor in a manifest; None for one without a `log:` block, as people write them.

    Reads the three keys from the form in which this program writes them, so no YAML is parsed
    and nothing else in the file matters. Raises `ProvlogError` for a block that is not that form.
    """
    if len(content) > MANIFEST_BYTES_MAX:
        message = f"is larger than {MANIFEST_BYTES_MAX} bytes, so it is no manifest"
        raise ProvlogError(message, hint=_HINT)
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    starts = [number for number, line in enumerate(lines) if line == b"log:"]
    if not starts:
        return None
    if len(starts) > 1:
        raise ProvlogError("has several `log:` blocks", line=starts[1] + 1, hint=_HINT)
    return _anchor_of_block(lines, starts[0])


def anchor_beside(log: Path) -> Anchor | None:
    """Return the anchor of the manifest beside a log; None where a person wrote the manifest.

    The manifest that a log was reconstructed from is about the log that was lost. Raises
    `ProvlogError` for a manifest that can't be read, and as `anchor_of_manifest` does.
    """
    path = log.with_name(MANIFEST_NAME)
    try:
        with os.fdopen(open_for_reading(path), "rb") as file:
            content = file.read(MANIFEST_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProvlogError(f"can't be read: {error.strerror or error}", path=path) from error
    return None if _is_source_of(log, content) else anchor_of_manifest(content)


def _is_source_of(log: Path, manifest: bytes) -> bool:
    raw = read_first_line(log)
    try:
        value = decode(raw.content) if raw is not None and raw.content is not None else {}
    except LineInvalid:
        return False
    session = (value.get("details") or {}).get("session")
    source = session.get("source") if isinstance(session, dict) else None
    if not isinstance(source, dict) or source.get("reconstructed") is not True:
        return False
    return source.get("sha256") == hashlib.sha256(manifest).hexdigest()


def _anchor_of_block(lines: list[bytes], start: int) -> Anchor:
    found: dict[bytes, str] = {}
    for number, line in enumerate(lines[start + 1 :], start=start + 2):
        if not line.startswith(b"  "):
            break
        match = _ENTRY.fullmatch(line)
        if match is None:
            continue
        key, figure, digest = match.groups()
        if key in found or (key == b"head") != (digest is not None):
            raise ProvlogError("the `log:` block is not one of ours", line=number, hint=_HINT)
        found[key] = (figure or digest).decode()
    if len(found) < 3:
        message = "the `log:` block lacks lines, bytes or head"
        raise ProvlogError(message, line=start + 1, hint=_HINT)
    anchor = Anchor(found[b"head"], int(found[b"lines"]), int(found[b"bytes"]))
    if (anchor.lines or 0) > COLUMN_INTEGER_MAX or (anchor.size_bytes or 0) > INTEGER_MAX:
        raise ProvlogError("the `log:` block has numbers no log has", line=start + 1, hint=_HINT)
    return anchor
