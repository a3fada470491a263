"""Tell the files that this program wrote from those that belong to a person.

The first line of a generated file names the program and the digest of everything below it.
Whoever edits the file breaks the digest, and from then on the file is theirs.
"""

from __future__ import annotations

import hashlib
import re

_MARKER = re.compile(
    rb"(?:# |<!-- )provenance-log: generated from actions\.jsonl; "
    rb"digest sha256:([0-9a-f]{64}); edits make it yours(?: -->)?"
)


def marked(body: bytes, opening: str, closing: str = "") -> bytes:
    """Return a file's content: the marker as a comment in its language, then `body`.

    `opening` and `closing` are what begins and ends a comment: `# `, or `<!-- ` and ` -->`.
    """
    digest = hashlib.sha256(body).hexdigest()
    text = f"provenance-log: generated from actions.jsonl; digest sha256:{digest}"
    return f"{opening}{text}; edits make it yours{closing}\n".encode() + body


def ownership_reason(content: bytes) -> str | None:
    """Return why a file belongs to a person; None if this program wrote it and nobody edited it.

    Line endings that git changed on the way to Windows are no edit.
    """
    first_line, _, body = content.replace(b"\r\n", b"\n").partition(b"\n")
    match = _MARKER.fullmatch(first_line)
    if match is None:
        return "it was not written by provenance-log"
    if hashlib.sha256(body).hexdigest().encode() != match[1]:
        return "it was edited after provenance-log wrote it"
    return None
