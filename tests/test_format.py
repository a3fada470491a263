"""The bytes of one line: what the writer makes, what the reader takes and refuses."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import TIME, action, line

from provenance_log.errors import LineInvalid
from provenance_log.format import (
    ACTION_TYPES,
    GENESIS_PREV,
    LINE_BYTES_MAX,
    READ_LINE_BYTES_MAX,
    REASONS,
    STATUSES,
    decode,
    encode,
    encode_body,
    event_id_of,
    event_name_of,
    event_type_of,
    format_timestamp,
    session_id_of,
)
from provenance_log.strict_json import DEPTH_MAX, INTEGER_MAX, depth_exceeds, nests_deeper

OLD = {
    "timestamp": "2026-01-10T14:30:15Z",
    "action_id": 1,
    "type": "read",
    "tool": "Read",
    "status": "success",
}
EXACT_INTEGERS = st.integers(-INTEGER_MAX, INTEGER_MAX)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | EXACT_INTEGERS | st.floats(allow_nan=False) | TEXTS
FINITE = SCALARS.filter(lambda value: value not in (float("inf"), float("-inf")))
VALUES = st.recursive(
    FINITE, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
ACTIONS = st.fixed_dictionaries(
    {
        "timestamp": st.datetimes(timezones=st.just(UTC)).map(format_timestamp),
        "type": st.sampled_from(ACTION_TYPES),
        "tool": TEXTS.filter(bool),
        "status": st.sampled_from(STATUSES),
    },
    optional={
        "duration_ms": st.integers(0, 2**31 - 1),
        "context": OBJECTS,
        "details": OBJECTS,
        "files_affected": st.lists(TEXTS, max_size=3),
        "read_only": st.booleans(),
        "error": OBJECTS,
        "entity_links": st.lists(OBJECTS, max_size=2),
        "event_type": TEXTS,
        "event_name": TEXTS,
        "database_event_id": TEXTS,
        "x_unknown": VALUES,
    },
)


def old(**changes: Any) -> bytes:
    return json.dumps({**OLD, **changes}).encode()


def reason_of(content: bytes) -> str:
    with pytest.raises(LineInvalid) as raised:
        decode(content)
    return raised.value.reason


def test_a_line_is_canonical_byte_for_byte() -> None:
    given_order = {
        "status": "success",
        "details": {"b": 1, "a": "é\n"},
        "x": True,
        "tool": "Read",
        "duration_ms": 12,
        "error": None,
        "type": "read",
        "timestamp": TIME,
    }

    content = encode(given_order, action_id=7, prev="ab" * 32)

    expected = (
        f'{{"timestamp":"{TIME}","action_id":7,"type":"read","tool":"Read","status":"success",'
        '"duration_ms":12,"details":{"b":1,"a":"é\\n"},"x":true,"prev":"' + "ab" * 32 + '"}'
    )
    assert content == expected.encode()


@given(ACTIONS)
def test_what_is_encoded_is_decoded_equal_by_every_parser(written: dict[str, Any]) -> None:
    """A3: one line, no raw control byte, and the value is the one that was written."""
    content = encode(written, action_id=3, prev=GENESIS_PREV)

    kept = {key: value for key, value in written.items() if value is not None}
    assert decode(content) == {**kept, "action_id": 3, "prev": GENESIS_PREV}
    assert json.loads(content) == decode(content)
    assert not re.search(rb"[\x00-\x1f]", content)
    assert list(json.loads(content))[:2] == ["timestamp", "action_id"]
    assert list(json.loads(content))[-1] == "prev"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \t\r", "empty"),
        (b"\x00" * 200, "control_byte"),
        (old() + b"\x00", "control_byte"),
        (old()[:-1] + b',"x":"a\tb"}', "control_byte"),
        (old()[:-1] + b',"x":"a\x01b"}', "control_byte"),
        (b"\xff" + old(), "not_utf8"),
        (old()[:-1] + b',"x":"\xed\xa0\x80"}', "not_utf8"),
        (old()[:-1] + b',"x":"\xc0\xaf"}', "not_utf8"),
        (b"\xef\xbb\xbf" + old(), "not_json"),
        (old()[:-1], "not_json"),
        (old() + old(), "not_json"),
        (old() + b",", "not_json"),
        (b"'" + old(), "not_json"),
        (old()[:-1] + b',"x":NaN}', "not_json"),
        (old()[:-1] + b',"x":-Infinity}', "not_json"),
        (old()[:-1] + b',"x":01}', "not_json"),
        (old()[:-1] + b',"x":"\\ud800"}', "lone_surrogate"),
        (old()[:-1] + b',"x":"\\udc00\\ud800"}', "lone_surrogate"),
        (old()[:-1] + b',"\\ud83d":1}', "lone_surrogate"),
        (old()[:-1] + b',"x":9007199254740992}', "number_out_of_range"),
        (old()[:-1] + b',"x":-9007199254740992}', "number_out_of_range"),
        (old()[:-1] + b',"x":[1,123456789012345678901234567890]}', "number_out_of_range"),
        (old()[:-1] + b',"x":' + b"9" * 5_000 + b"}", "number_out_of_range"),
        (old()[:-1] + b',"x":1e400}', "number_out_of_range"),
        (old()[:-1] + b',"x":-1.5E+0999}', "number_out_of_range"),
        (old(action_id=2**31), "number_out_of_range"),
        (old(duration_ms=-(2**31)), "number_out_of_range"),
        (old()[:-1] + b',"x":' + b"[" * 128 + b"]" * 128 + b"}", "too_deep"),
        (old()[:-1] + b',"x":' + b"[" * 100_000, "too_deep"),
        (old()[:-1] + b',"x":' + b"[" * 300 + b"]" * 300 + b',"x":1}', "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"x":' * 100_000, "too_deep"),
        (b"[1]", "not_object"),
        (b'"text"', "not_object"),
        (b"12", "not_object"),
        (b"null", "not_object"),
        (b"{}", "missing_key"),
        (json.dumps({key: OLD[key] for key in OLD if key != "tool"}).encode(), "missing_key"),
        (old(tool=""), "wrong_type"),
        (old(tool=None), "wrong_type"),
        (old(action_id="1"), "wrong_type"),
        (old(action_id=1.0), "wrong_type"),
        (old(action_id=True), "wrong_type"),
        (old(status=3), "wrong_type"),
        (old(details=[]), "wrong_type"),
        (old(files_affected="a"), "wrong_type"),
        (old(files_affected=["a", 1]), "wrong_type"),
        (old(entity_links=["a"]), "wrong_type"),
        (old(read_only=1), "wrong_type"),
        (old(database_event_id=7), "wrong_type"),
        (old(timestamp="yesterday"), "wrong_type"),
        (old(timestamp=1768055415), "wrong_type"),
        (b'{"x":"' + b"a" * READ_LINE_BYTES_MAX + b'"}', "too_long"),
    ],
)
def test_what_is_no_action_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    assert reason_of(content) == reason
    assert reason in REASONS


@pytest.mark.parametrize(
    "content",
    [
        old(),
        old() + b"\r",
        b"  " + old() + b" ",
        old(type="ponder", status="maybe", event_type="sneeze"),
        old(x_unknown={"any": ["thing"]}),
        old(details=None, context=None, duration_ms=None, read_only=None, files_affected=None),
        old(duration_ms=-5, action_id=0),
        old()[:-1] + b',"x":9007199254740991,"y":-9007199254740991,"z":1e308}',
        old()[:-1] + b',"x":' + b"[" * 127 + b"]" * 127 + b"}",
        old()[:-1] + b',"x":"' + b"[{" * 500 + b'\\" 12345678901234567890"}',
        old()[:-1] + b',"x":"\\ud83d\\ude00 \\u0000 \\u2028"}',
        old()[:-1] + ',"x":"\u2028\u0085"}'.encode(),
    ],
)
def test_what_is_unknown_or_old_is_accepted(content: bytes) -> None:
    assert decode(content) == json.loads(content)


def test_of_a_key_that_is_there_twice_the_last_one_counts() -> None:
    assert decode(old()[:-1] + b',"tool":"Bash","x":1,"x":2}') == {**OLD, "tool": "Bash", "x": 2}


@given(st.binary(max_size=200))
def test_no_bytes_make_decode_raise_anything_else(content: bytes) -> None:
    """B3: a line is an action, or it is refused with a reason."""
    try:
        decode(content)
    except LineInvalid as error:
        assert error.reason in REASONS  # noqa: PT017  (either outcome is right)


@given(st.data())
def test_no_damage_to_a_good_line_makes_decode_raise_anything_else(data: st.DataObject) -> None:
    """B3, near a good line, where the checks are."""
    good = line(details={"text": 'a"[{\\é', "number": 1.5e300, "many": [[1], {"a": None}]})
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    content = good[:start] + data.draw(st.binary(max_size=8)) + good[end:]
    try:
        decode(content)
    except LineInvalid as error:
        assert error.reason in REASONS  # noqa: PT017  (either outcome is right)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 130 + b'"' + b'\\"' * 2_000_000,
        b"[" * 130 + b'"\\' * 2_000_000,
        b'"' * 4_000_001 + b"[" * 130,
        b'{"x":"' + b"[" * 4_000_000 + b'"}',
        b"[]" * 2_000_000,
        b"\x00" * 4_000_000,
        b'{"x":[' + b"1234567890123456," * 200_000 + b"1]}",
    ],
)
def test_a_hostile_line_costs_no_more_than_its_length(content: bytes) -> None:
    """B3: each of these took minutes, or all of the memory, when strings were scanned naively."""
    started = time.monotonic()

    reason_of(content)

    assert time.monotonic() - started < 10


@given(VALUES.filter(lambda value: isinstance(value, (dict, list))), st.integers(1, 6))
def test_both_ways_to_measure_depth_agree(value: Any, depth_max: int) -> None:
    assert nests_deeper(value, depth_max) == depth_exceeds(orjson.dumps(value), depth_max)


def test_the_reader_takes_any_depth_that_the_writer_makes() -> None:
    value: Any = 1
    for _ in range(DEPTH_MAX - 2):
        value = [value]
    content = encode(action(timestamp=TIME, details={"x": value}), action_id=1, prev="")

    assert decode(content)["details"]["x"] == value
    with pytest.raises(LineInvalid) as raised:
        encode(action(timestamp=TIME, details={"x": [value]}), action_id=1, prev="")
    assert raised.value.reason == "too_deep"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action_id": 1}, "wrong_type"),
        ({"prev": ""}, "wrong_type"),
        ({"type": "ponder"}, "wrong_type"),
        ({"status": "maybe"}, "wrong_type"),
        ({"tool": ""}, "wrong_type"),
        ({"tool": None}, "wrong_type"),
        ({"timestamp": "2026-01-10"}, "wrong_type"),
        ({"timestamp": datetime(2026, 1, 10, tzinfo=UTC)}, "wrong_type"),
        ({"duration_ms": -1}, "number_out_of_range"),
        ({"duration_ms": 2**31}, "number_out_of_range"),
        ({"duration_ms": 1.5}, "wrong_type"),
        ({"duration_ms": True}, "wrong_type"),
        ({"details": "text"}, "wrong_type"),
        ({"details": {"x": 2**53}}, "number_out_of_range"),
        ({"details": {"x": "\ud800"}}, "lone_surrogate"),
        ({"details": {1: 2}}, "wrong_type"),
        ({"details": {"x": object()}}, "wrong_type"),
        ({"files_affected": [1]}, "wrong_type"),
        ({"details": {"x": "a" * LINE_BYTES_MAX}}, "too_long"),
    ],
)
def test_the_writer_refuses_what_it_could_not_read_back(
    changes: dict[str, Any], reason: str
) -> None:
    """A3."""
    with pytest.raises(LineInvalid) as raised:
        encode({**action(timestamp=TIME), **changes}, action_id=1, prev=GENESIS_PREV)

    assert raised.value.reason == reason


def test_a_missing_key_is_named() -> None:
    with pytest.raises(LineInvalid, match="'timestamp' is missing") as raised:
        encode_body(action())

    assert raised.value.reason == "missing_key"


def test_a_tuple_counts_as_an_array() -> None:
    written = action(timestamp=TIME, files_affected=("a", "b"), entity_links=({"x": 1},))

    read = decode(encode(written, action_id=1, prev=""))

    assert (read["files_affected"], read["entity_links"]) == (["a", "b"], [{"x": 1}])


@pytest.mark.parametrize(
    ("changes", "event_type", "event_name"),
    [
        ({}, "tool_call", "Read"),
        ({"type": "decision"}, "decision", "Read"),
        ({"tool": "AgentExecution"}, "lifecycle", "AgentExecution"),
        ({"event_type": "", "event_name": ""}, "tool_call", "Read"),
        ({"event_type": "log", "event_name": "user_prompt"}, "log", "user_prompt"),
        ({"event_type": "sneeze"}, "sneeze", "Read"),
    ],
)
def test_the_event_type_of_an_old_line_follows_from_its_action(
    changes: dict[str, Any], event_type: str, event_name: str
) -> None:
    value = decode(old(**changes))

    assert (event_type_of(value), event_name_of(value)) == (event_type, event_name)


def test_an_event_without_an_id_gets_one_from_its_place() -> None:
    value = decode(old())
    first = event_id_of(value, "session", 1)

    assert first == event_id_of(value, "session", 1)
    assert len({first, event_id_of(value, "session", 2), event_id_of(value, "other", 1)}) == 3
    assert event_id_of({**value, "database_event_id": "mine"}, "session", 1) == "mine"


def test_a_session_is_named_by_its_first_line() -> None:
    header = {"session": {"session_id": "the-id"}}
    start = old(event_name="session_start", details=header)

    assert session_id_of(start) == "the-id"
    others = [
        old(),
        old(details=header),  # not a session_start
        old(event_name="session_start"),
        old(event_name="session_start", details={"session": {"session_id": ""}}),
        old(event_name="session_start", details={"session": {"session_id": 7}}),
        old(event_name="session_start", details={"session": "the-id"}),
        b"\x00\xff",
    ]
    ids = [session_id_of(content) for content in others]
    assert len(set(ids)) == len(ids)
    assert "the-id" not in ids
    assert ids == [session_id_of(content) for content in others]
