"""The JSON Schema that `init` writes, against the code: one source, two forms."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft7Validator
from log_cases import TIME, action
from test_format import ACTIONS, OLD, VALUES, old

from provenance_log.errors import LineInvalid
from provenance_log.format import GENESIS_PREV, OPTIONAL, REQUIRED, SCHEMA_VERSION, decode, encode
from provenance_log.schema import json_schema, json_schema_text
from provenance_log.store import Store

VALIDATOR = Draft7Validator(json_schema())
NAMES = {str: "string", int: "integer", dict: "object", list: "array", bool: "boolean"}


def is_valid(value: object) -> bool:
    return bool(VALIDATOR.is_valid(value))


def is_decoded(value: object) -> bool:
    try:
        decode(json.dumps(value).encode())
    except LineInvalid:
        return False
    return True


def test_the_schema_is_a_schema_and_the_file_holds_it(store: Store) -> None:
    Draft7Validator.check_schema(json_schema())

    text = (store.root / "metadata-schema.json").read_text("utf-8")

    assert text == json_schema_text()
    assert json.loads(text) == json_schema()
    assert json_schema()["version"] == SCHEMA_VERSION


def test_the_keys_and_their_types_are_those_of_the_code() -> None:
    schema = json_schema()

    assert schema["required"] == list(REQUIRED)
    assert {key: entry["type"] for key, entry in schema["properties"].items()} == {
        key: NAMES[expected] for key, (expected, _) in (REQUIRED | OPTIONAL).items()
    }
    assert all(entry["description"] for entry in schema["properties"].values())


@given(ACTIONS)
def test_every_line_that_is_written_is_valid(written: dict[str, Any]) -> None:
    """A3."""
    content = encode(written, action_id=1, prev=GENESIS_PREV)

    assert list(VALIDATOR.iter_errors(json.loads(content))) == []


@pytest.mark.parametrize("key", [*REQUIRED, *OPTIONAL])
@settings(max_examples=40)
@given(value=VALUES)
def test_for_every_value_of_every_key_the_code_takes_what_the_schema_takes(
    key: str, value: Any
) -> None:
    """What the schema takes the reader takes; beyond it the reader takes what may be newer."""
    document = {**OLD, key: value}

    # The schema does not check the form of a time, and takes 1.0 for an integer.
    if is_valid(document) and key != "timestamp" and not isinstance(value, float):
        assert is_decoded(document)
    if is_decoded(document) and value is not None and key not in ("type", "status"):
        # Texts of a newer version, negative numbers, and a prev of another hash are read.
        looser = key in ("action_id", "duration_ms", "prev")
        assert is_valid(document) or looser


@pytest.mark.parametrize("key", REQUIRED)
def test_without_a_required_key_neither_takes_it(key: str) -> None:
    document = {name: value for name, value in OLD.items() if name != key}

    assert not is_valid(document)
    assert not is_decoded(document)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"context": {"working_directory": "/x", "git_branch": "main", "git_commit": "abc"}},
        {"details": {"file_path": "/x", "line_count": 5}, "files_affected": ["/x"]},
        {"error": {"message": "no", "code": "E1", "stack": "…"}, "status": "failure"},
        {"duration_ms": 0, "read_only": True, "own_key": [1]},
    ],
)
def test_a_line_of_schema_1_0_0_is_valid(changes: dict[str, Any]) -> None:
    """Old tools and old logs go on."""
    assert is_valid(json.loads(old(**changes)))
    assert decode(old(**changes)) == {**OLD, **changes}


def test_what_the_writer_refuses_the_schema_refuses() -> None:
    for changes in ({"type": "ponder"}, {"status": "maybe"}, {"duration_ms": -1}, {"tool": ""}):
        with pytest.raises(LineInvalid):
            encode({**action(timestamp=TIME), **changes}, action_id=1, prev=GENESIS_PREV)
        assert not is_valid({**OLD, **changes})
