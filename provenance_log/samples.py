"""How much of a value a tracker keeps: its size, its schema, and a sample by the detail level.

The sizes of samples are those of the system that this one succeeds, so that what is recorded at
the level `standard` is what its users know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.format import COLUMN_INTEGER_MAX

if TYPE_CHECKING:
    from provenance_log.settings import DetailLevel

SAMPLE_ITEMS = 3
SAMPLE_MEMBERS = 5
RESULT_MEMBERS = 10
TEXT_LENGTH = 100
REPR_LENGTH = 200


def kept_output(value: Any, detail_level: DetailLevel) -> Any:
    """Return what is kept of an output: its type, a sample, or all of it."""
    if detail_level == "full":
        return value
    if detail_level == "minimal":
        return {"type": type(value).__name__}
    return sample_of(value)


def sample_of(value: Any) -> Any:
    """Return the first few items of a list or members of a mapping; anything else as it is."""
    if isinstance(value, Mapping):
        return dict(islice(value.items(), SAMPLE_MEMBERS))
    if isinstance(value, (list, tuple)):
        return list(value[:SAMPLE_ITEMS])
    return value


def schema_of(value: Any) -> dict[str, Any]:
    """Return the names and types of a mapping's members, or what a list holds and how many."""
    if isinstance(value, Mapping):
        members = islice(value.items(), SAMPLE_MEMBERS)
        return {str(key): type(item).__name__ for key, item in members}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and value:
        return {"type": "list", "element_type": type(value[0]).__name__, "count": len(value)}
    columns = _columns_of(value)
    return columns or {"type": type(value).__name__}


def described(side: str, data: Any, detail_level: DetailLevel) -> dict[str, Any]:
    """Return schema, sample and size of the input or output (`side`) of a transformation."""
    return {
        f"{side}_schema": schema_of(data),
        f"{side}_sample": data if detail_level == "full" else sample_of(data),
        f"{side}_size": count_of(data),
    }


def summary_of_result(value: Any, detail_level: DetailLevel) -> Any:
    """Return what a session's end keeps of its result; None for no result."""
    if value is None or detail_level == "full":
        return value
    if isinstance(value, Mapping):
        members = islice(value.items(), RESULT_MEMBERS)
        return {str(key): _shortened(item) for key, item in members}
    return {"type": type(value).__name__, "repr": str(value)[:REPR_LENGTH]}


def size_of(value: Any) -> int | None:
    """Return how large a value is: a text in UTF-8, bytes, anything else as JSON.

    None where it is nothing or has no JSON form.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            size_bytes = len(value.encode())
        elif isinstance(value, (bytes, bytearray)):
            size_bytes = len(value)
        else:
            size_bytes = len(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    except (TypeError, ValueError):
        return None
    return min(size_bytes, COLUMN_INTEGER_MAX)


def count_of(value: Any) -> int | None:
    """Return how many items or rows a value has; None for what has no length."""
    if value is None or isinstance(value, (str, bytes)):
        return None
    try:
        return min(len(value), COLUMN_INTEGER_MAX)
    except TypeError:
        return None


def _columns_of(value: Any) -> dict[str, Any]:
    """Return the columns of a data frame, by the attributes that pandas and polars share."""
    columns, shape = getattr(value, "columns", None), getattr(value, "shape", None)
    if columns is None or not isinstance(shape, tuple):
        return {}
    names = [str(name) for name in islice(columns, SAMPLE_MEMBERS)]
    return {"type": type(value).__name__, "columns": names, "shape": list(shape)}


def _shortened(value: Any) -> Any:
    return value[:TEXT_LENGTH] if isinstance(value, str) else value
