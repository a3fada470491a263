"""Whatever an agent hands over is appended, and what was lost is listed."""

import dataclasses
import enum
import json
import shutil
import subprocess
import uuid
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock

import duckdb
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import TIME, action

from provenance_log.appender import Appender
from provenance_log.format import decode, encode
from provenance_log.values import LOSSY_KEY, LOSSY_PATHS_MAX, representable

PAIR_IN_HALVES = "\ud83d" + "\ude00"
CONTROLS = "\x00\x01\x1b[0m\x7f\u2028\u2029\u0085\r\n\t"


class Colour(enum.StrEnum):
    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042  (its str() is its name, which is the point)
    RED = "red"


class Level(enum.Enum):
    HIGH = 2**60


@dataclasses.dataclass
class Point:
    x: float
    where: Path


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Trap(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no")


class Array:
    def __init__(self, held: object) -> None:
        self.held = held

    def tolist(self) -> object:
        return self.held


def nested(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


def inside_itself() -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    value["self"] = value
    value["twice"] = [value, value]
    return value


# name → (what is handed over, what is read back, the paths listed below `$.details.value`)
CASES: dict[str, tuple[Any, Any, list[str]]] = {
    "nan": (float("nan"), "NaN", [""]),
    "infinities": ([float("inf"), float("-inf")], ["Infinity", "-Infinity"], ["[0]", "[1]"]),
    "null beside nan": ({"a": None, "b": float("nan")}, {"a": None, "b": "NaN"}, [".b"]),
    "null": ({"a": None, "b": "null"}, {"a": None, "b": "null"}, []),
    "exact integers": ([2**53 - 1, 1 - 2**53], [2**53 - 1, 1 - 2**53], []),
    "inexact integers": (
        [2**53, 2**53 + 1, -(2**63), 2**64],
        [str(2**53), str(2**53 + 1), str(-(2**63)), str(2**64)],
        ["[0]", "[1]", "[2]", "[3]"],
    ),
    "30 digits": (10**30 + 7, str(10**30 + 7), [""]),
    "6,000 digits": (10**6000, hex(10**6000), [""]),
    "floats": ([1e308, 5e-324, 0.1, -0.0, 1e16, 1.5], [1e308, 5e-324, 0.1, -0.0, 1e16, 1.5], []),
    "lone surrogates": (
        ["a\ud800", "\udfffb", "\udc00\ud800"],
        ["a�", "�b", "��"],
        ["[0]", "[1]", "[2]"],
    ),
    "a pair in halves": (PAIR_IN_HALVES, "😀", [""]),
    "a lone surrogate in a key": ({"\ud800": 1}, {"�": 1}, [".(key)"]),
    "controls": (CONTROLS, CONTROLS, []),
    "a byte order mark": ("\ufefftext", "\ufefftext", []),
    "bytes": (
        [b"abc", b"\xff\x00", bytearray(b"x")],
        ["abc", "\\xff\x00", "x"],
        ["[0]", "[1]", "[2]"],
    ),
    "a set": ({3, 1, 2}, [1, 2, 3], []),
    "a frozen set and a tuple": ((frozenset({"b", "a"}), (1,)), [["a", "b"], [1]], []),
    "a set of strangers": ({Mute: 1}.keys(), [repr(Mute)], ["[0]"]),
    "a path": (PurePosixPath("/a/b"), "/a/b", [""]),
    "a dataclass": (Point(float("nan"), Path("/a")), {"x": "NaN", "where": "/a"}, [".x", ".where"]),
    "enumerations": (
        [Colour.RED, OldColour.RED, Level.HIGH, {OldColour.RED: Path("x")}],
        ["red", "red", str(2**60), {"red": "x"}],
        ["[2]", "[3].red"],
    ),
    "times": (
        [datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2), uuid.UUID(int=1)],
        ["2026-01-02T00:00:00+00:00", "2026-01-02", "00000000-0000-0000-0000-000000000001"],
        [],
    ),
    "a decimal": (Decimal("1.10"), "1.10", [""]),
    "an array": ([Array([1, [2.5]]), Array(7)], [[1, [2.5]], 7], []),
    "an array with nan": (Array([1.0, float("nan")]), [1.0, "NaN"], ["[1]"]),
    "other mappings": (
        [MappingProxyType({"a": 1}), UserDict(b=2), OrderedDict(c=3)],
        [{"a": 1}, {"b": 2}, {"c": 3}],
        [],
    ),
    "keys that are no text": (
        {1: "a", None: "b", "1": "c"},
        {"1": "a", "None": "b", "1_": "c"},
        [".1"],
    ),
    "a repr that raises": (Mute(), "(Mute, whose repr raised RuntimeError)", [""]),
    "a key whose repr raises": ({Mute(): 1}, {"(Mute, whose repr raised RuntimeError)": 1}, []),
    "a mapping that raises": ([Trap(a=1), {1}], ["{'a': 1}", [1]], ["[0]"]),
    "inside itself": (
        inside_itself(),
        {
            "a": 1,
            "self": "(dict inside itself)",
            "twice": ["(dict inside itself)", "(dict inside itself)"],
        },
        [".self", ".twice[0]", ".twice[1]"],
    ),
}


def details_of(value: object) -> dict[str, Any]:
    """The details of the line that records this value."""
    written = representable(action(timestamp=TIME, details={"value": value}))
    content = encode(written, action_id=1, prev="")
    details = decode(content)["details"]
    assert isinstance(details, dict)
    return details


@pytest.mark.parametrize("name", CASES)
def test_any_value_is_written_in_its_nearest_form(name: str) -> None:
    """A3: nothing is refused, and what changed is listed by its path."""
    given_value, expected, paths = CASES[name]

    lossy = {LOSSY_KEY: [f"$.details.value{path}" for path in paths]} if paths else {}
    assert details_of(given_value) == {"value": expected, **lossy}


def test_a_stranger_is_written_as_its_repr() -> None:
    strangers = [object, MagicMock(), lambda: 1]

    details = details_of(strangers)

    assert details["value"] == [repr(stranger) for stranger in strangers]
    assert details[LOSSY_KEY] == [f"$.details.value[{i}]" for i in range(3)]


def test_nesting_of_100_000_is_cut_where_readers_stop() -> None:
    """A3: depth ≤ 128."""
    details = details_of(nested(100_000))

    levels = 0
    value = details["value"]
    while isinstance(value, list):
        levels, (value,) = levels + 1, value
    assert value == "(list nested too deep)"
    assert 100 < levels < 128
    assert details[LOSSY_KEY] == ["$.details.value" + "[0]" * levels]


def test_a_million_lossy_values_are_counted_and_not_all_listed() -> None:
    details = details_of([float("nan")] * (LOSSY_PATHS_MAX + 5))

    assert details["value"] == ["NaN"] * (LOSSY_PATHS_MAX + 5)
    assert len(details[LOSSY_KEY]) == LOSSY_PATHS_MAX + 1
    assert details[LOSSY_KEY][-1] == "and 5 more"


def test_details_that_are_no_object_are_refused_and_not_replaced() -> None:
    assert representable(action(details=[float("nan")]))["details"] == ["NaN"]


def test_a_lossy_value_outside_details_is_listed_there() -> None:
    value = representable(action(error={"code": float("inf")}, x={"\ud800"}))

    assert value["error"] == {"code": "Infinity"}
    assert value["x"] == ["�"]
    assert value["details"] == {LOSSY_KEY: ["$.error.code", "$.x[0]"]}


def test_the_callers_action_is_left_as_it_was() -> None:
    for details in ({"value": 1}, {"value": [float("nan")], "path": Path("x")}):
        given_action = action(details=details)
        copy = dict(given_action)

        representable(given_action)["tool"] = "changed"

        assert given_action == copy
        assert given_action["details"] is details


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.sampled_from([Path("x"), Level.HIGH, Decimal("NaN")])
    | st.sampled_from(["Mute", "Array"]).map(lambda name: Mute() if name == "Mute" else Array({}))
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
    ),
)


@given(ANYTHING)
def test_always_what_is_appended_is_a_good_line(value: Any) -> None:
    """A3, for anything."""
    written = representable(action(timestamp=TIME, details={"value": value}, x=value))
    content = encode(written, action_id=1, prev="")

    assert json.loads(content) == decode(content) == orjson.loads(content)
    assert representable(written) == written


def test_python_orjson_duckdb_and_jq_read_the_same(tmp_path: Path) -> None:
    """A3, T14: what this writer wrote is one value to all four."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    log = tmp_path / "actions.jsonl"
    appender = Appender(log)
    for name, (value, _, _) in CASES.items():
        appender.append(action(tool=name, details={"value": value}))
    appender.close()
    contents = log.read_bytes().splitlines()

    # -a: jq writes ASCII, so that nothing is lost on the way back here either.
    jq = subprocess.run(["jq", "-ca", ".", str(log)], capture_output=True, check=True)
    with duckdb.connect() as connection:
        by_duckdb = [
            connection.execute("SELECT json(?)", [content.decode()]).fetchall()[0][0]
            for content in contents
        ]

    by_python = [json.loads(content) for content in contents]
    assert [orjson.loads(content) for content in contents] == by_python
    assert [json.loads(text) for text in jq.stdout.splitlines()] == by_python
    assert [json.loads(text) for text in by_duckdb] == by_python
    assert [value["tool"] for value in by_python] == list(CASES)


def test_duckdb_reads_texts_and_numbers_alike_one_by_one() -> None:
    """A3: not only the document, also each value taken out of it by SQL."""
    texts = details_of([CASES["controls"][0]])["value"]
    numbers = details_of(CASES["floats"][0] + CASES["exact integers"][0])["value"]
    document = orjson.dumps({"texts": texts, "numbers": numbers}).decode()

    with duckdb.connect() as connection:
        read = connection.execute(
            "SELECT d->>'$.texts[0]', CAST(d->'$.numbers' AS DOUBLE[]) FROM (SELECT ?::JSON AS d)",
            [document],
        ).fetchall()

    assert read == [(texts[0], [float(number) for number in numbers])]
