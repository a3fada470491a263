"""Where secrets leave an action, before it is encoded: the one place on the way to the bytes.

There are no rules yet, so this returns its argument. The appender calls it on the parsed value,
ahead of blobs and encoding, so that a rule added here keeps the raw value out of every file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RedactionSettings:
    """Which secrets are taken out before anything is written; see `redact`."""

    is_enabled: bool = True
    patterns: tuple[tuple[str, str], ...] = ()
    """A project's own rules: name and regular expression."""
    excluded_rules: tuple[str, ...] = ()
    """Names of rules that are off."""
    excluded_patterns: tuple[str, ...] = ()
    """Regular expressions; what one of them matches as a whole is no secret."""
    secret_keys: tuple[str, ...] = ()
    """Names of members whose values are secrets, beside those that are known."""


def redact(action: dict[str, Any]) -> dict[str, Any]:
    """Return the action without secrets; as yet it removes nothing."""
    return action
