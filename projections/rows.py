"""The rows of an answer: plain, as a pandas frame or as an Arrow table, as asked.

The only importer of pandas and pyarrow, which are imported when somebody asks for them, and are
needed for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import orjson

from provenance_log.errors import ProvlogError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# By DuckDB's name of the type: in pandas a whole number stays one beside a missing value, and the
# type of a column does not depend on its rows.
_PANDAS_TYPES = {
    "VARCHAR": "object",
    "JSON": "object",
    "INTEGER": "Int64",
    "BIGINT": "Int64",
    "DOUBLE": "float64",
    "BOOLEAN": "boolean",
    "TIMESTAMP": "datetime64[us]",
}
_ARROW_TYPES = {
    "VARCHAR": "string",
    "JSON": "string",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "DOUBLE": "double",
    "BOOLEAN": "bool",
    "TIMESTAMP": "timestamp[us]",
}


class PackageMissing(ProvlogError):
    """An optional package is not installed; the hint is the command that installs it."""


@dataclass(frozen=True, slots=True)
class Rows(Sequence[dict[str, Any]]):
    """The rows of one answer; a sequence of plain dictionaries, in an order that does not vary.

    Times are naive and in UTC, a JSON column holds the value and not its text, and NULL is None.
    Nothing here refers to the database, which was closed when the answer was complete.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    """DuckDB's names of the types of the columns, `JSON` among them."""
    cells: tuple[tuple[Any, ...], ...]
    """As DuckDB has them: JSON as text."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, as a list of its own."""
        return list(self)

    def df(self) -> pd.DataFrame:
        """Return a pandas frame; whole numbers and booleans are of pandas' nullable types.

        A JSON column holds values, as in the plain rows. Raises `PackageMissing`.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - takes half a second, for those who ask for it
        except ImportError as error:
            raise _missing("pandas") from error
        series = {
            name: pd.Series(
                [_plain(row[index], type_name) for row in self.cells],
                dtype=_PANDAS_TYPES[type_name],
            )
            for index, (name, type_name) in enumerate(zip(self.columns, self.types, strict=True))
        }
        return pd.DataFrame(series)

    def arrow(self) -> pa.Table:
        """Return an Arrow table; a JSON column is text. Raises `PackageMissing`."""
        try:
            import pyarrow as pa  # noqa: PLC0415 - as in `df`
        except ImportError as error:
            raise _missing("pyarrow") from error
        types = [pa.type_for_alias(_ARROW_TYPES[name]) for name in self.types]
        arrays = [
            pa.array([row[index] for row in self.cells], type=arrow_type)
            for index, arrow_type in enumerate(types)
        ]
        schema = pa.schema(list(zip(self.columns, types, strict=True)))
        return pa.Table.from_arrays(arrays, schema=schema)

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._as_dict, self.cells)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self._as_dict(row) for row in self.cells[index]]
        return self._as_dict(self.cells[index])

    def _as_dict(self, row: tuple[Any, ...]) -> dict[str, Any]:
        return {
            name: _plain(value, type_name)
            for name, type_name, value in zip(self.columns, self.types, row, strict=True)
        }


def _plain(value: Any, type_name: str) -> Any:
    """Return a JSON column as its value; what is beyond orjson's numbers stays text."""
    if type_name != "JSON" or value is None:
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _missing(package: str) -> PackageMissing:
    return PackageMissing(f"{package} is not installed", hint=f"run `pip install {package}`")
