"""Actions whose own JSON is what `format.encode_body` would write: almost all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provenance_log.format import (
    ACTION_TYPES,
    COLUMN_INTEGER_MAX,
    KEY_ORDER,
    OPTIONAL,
    REQUIRED,
    STATUSES,
    Body,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeGuard

_ORDER = tuple(key for key in KEY_ORDER if key not in {"entity_links", "database_event_id"})
_REQUIRED = REQUIRED.keys() - {"timestamp", "action_id"}
_TYPES = {key: expected for key, (expected, _) in (REQUIRED | OPTIONAL).items()}
_ACTION_TYPES = frozenset(ACTION_TYPES)
_STATUSES = frozenset(STATUSES)
_plain_shapes: set[tuple[tuple[str, ...], tuple[type, ...]]] = set()
"""Those that were found to be plain: at most as many as there are choices of the known keys."""


def is_plain(action: Mapping[str, Any]) -> TypeGuard[dict[str, Any]]:
    """Return True only where `encode_body` would take the action's own JSON for its line as it is.

    That is so for known keys in their order with values of exactly their types, and without a
    time and an id, which `plain_body` adds. The action must be one that JSON can hold.
    """
    if type(action) is not dict:
        return False
    shape = (tuple(action), tuple(map(type, action.values())))
    if shape not in _plain_shapes:
        if not _is_plain_shape(*shape):
            return False
        _plain_shapes.add(shape)
    if (
        action["type"] not in _ACTION_TYPES
        or action["status"] not in _STATUSES
        or not action["tool"]
        or not 0 <= action.get("duration_ms", 0) <= COLUMN_INTEGER_MAX
    ):
        return False
    for path in action.get("files_affected", ()):  # noqa: SIM110  (half as dear as `all`)
        if type(path) is not str:
            return False
    return True


def plain_body(encoded: bytes, timestamp: bytes, event_id: bytes) -> Body:
    """Return the body of a plain action, given its JSON, a canonical time and a new event id."""
    return Body(
        b'{"timestamp":"%b","action_id":' % timestamp,
        b',%b,"database_event_id":"%b","prev":"' % (encoded[1:-1], event_id),
    )


def _is_plain_shape(keys: tuple[str, ...], types: tuple[type, ...]) -> bool:
    known = dict.fromkeys(key for key in _ORDER if key in keys)
    is_in_order = tuple(known) == keys and known.keys() >= _REQUIRED
    return is_in_order and types == tuple(_TYPES[key] for key in keys)
