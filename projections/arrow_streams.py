"""Columns on their way into the database: an Arrow stream of them, the only use of nanoarrow.

Who only reads the database does not import this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nanoarrow

if TYPE_CHECKING:
    from projections.columns import Columns, Kind

_ARROW_TYPES: dict[Kind, Any] = {
    "text": nanoarrow.string(),
    "int32": nanoarrow.int32(),
    "int64": nanoarrow.int64(),
    "timestamp": nanoarrow.timestamp("us"),
    "boolean": nanoarrow.bool_(),
    # DuckDB takes this extension type as JSON without parsing the text again.
    "json": nanoarrow.extension_type(nanoarrow.string(), "arrow.json", b""),
}


def array_of(arriving: Columns) -> Any:
    """Return the columns as one Arrow array, which shares their memory."""
    columns, length = arriving.columns, arriving.length
    children = [
        nanoarrow.c_array_from_buffers(
            nanoarrow.string() if column.kind == "json" else _ARROW_TYPES[column.kind],
            length,
            buffers=column.buffers,
        )
        for column in columns
    ]
    schema = nanoarrow.struct({column.name: _ARROW_TYPES[column.kind] for column in columns})
    array = nanoarrow.c_array_from_buffers(schema, length, buffers=[None], children=children)
    return nanoarrow.Array(array)


def stream_of(array: Any) -> Any:
    """Return a stream of one array, which can be scanned once; the array can be used again."""
    return nanoarrow.ArrayStream(array)
