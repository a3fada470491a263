"""Where secrets leave an action, before it is encoded: the one place on the way to the bytes.

There are no rules yet, so this returns its argument. The appender calls it on the parsed value,
ahead of blobs and encoding, so that a rule added here keeps the raw value out of every file.
"""

from __future__ import annotations

from typing import Any


def redact(action: dict[str, Any]) -> dict[str, Any]:
    """Return the action without secrets; as yet it removes nothing."""
    return action
