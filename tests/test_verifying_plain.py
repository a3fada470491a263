"""The fast look at a line and the slow one never disagree: neither on a line nor on a log."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import chain, line
from test_format import ACTIONS, TEXTS, VALUES

from provenance_log import format as log_format
from provenance_log import verifying
from provenance_log.anchors import Anchor
from provenance_log.errors import LineInvalid
from provenance_log.format import GENESIS_PREV, OPTIONAL, REQUIRED, decode_timed, encode
from provenance_log.reader import RawLine, is_chained
from provenance_log.strict_json import DEPTH_MAX
from provenance_log.verifying import verify_log
from provenance_log.verifying_files import Blobs
from provenance_log.verifying_levels import Chain, Schema
from provenance_log.verifying_plain import is_plain

PREV = "ab" * 32
STRANGE = st.one_of(
    VALUES,
    st.lists(st.lists(st.integers(-(2**63), 2**63)) | TEXTS),
    st.sampled_from(
        (2**31, -(2**31), 2**53, 2**64 - 1, 1.0, 2.0, True, "", "read", "success", PREV),
    ),
    st.sampled_from(
        (
            "2026-02-30T00:00:00.000000Z",
            "2026-02-28T24:00:00.000000Z",
            "2026-02-28T23:59:60.000000Z",
            "2026-02-28T23:59:59.999999z",
            "２026-02-28T23:59:59.999999Z",
        )
    ),
    st.just({"x": {"blob": "a" * 64, "bytes": 3}}),
)
CHANGES = st.dictionaries(st.sampled_from([*REQUIRED, *OPTIONAL, "x_other"]), STRANGE, max_size=2)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A good line, mostly with something of it changed: members, the form, or single bytes."""
    value = orjson.loads(encode(draw(ACTIONS), action_id=2, prev=PREV))
    changes = draw(CHANGES)
    value |= changes
    for key in draw(st.sets(st.sampled_from(list(value)), max_size=1)):
        del value[key]
    form = draw(st.sampled_from(("canonical", "canonical", "spaced", "escaped", "sorted")))
    if form == "canonical":
        content = orjson.dumps(value)
    elif form == "sorted":
        content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    else:
        separators = (",", ":") if form == "escaped" else None
        content = json.dumps(value, separators=separators).encode()
    for at, byte in draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=2)
    ):
        content = content[:at] + bytes([byte]) + content[at + 1 :]
    return content.replace(b"\n", b" ")


def slow_findings(content: bytes, directory: Path) -> list[Any]:
    """What the levels say of the second line of a log, the first being plain."""
    raw = RawLine(content, 500, 2, len(content), hashlib.sha256(content).hexdigest(), PREV)
    schema, links, blobs = Schema(), Chain(), Blobs(directory)
    schema.pass_plain(1)
    links.pass_plain(1)
    value = schema.see(raw)
    links.see(raw, value)
    blobs.see(raw, value)
    return [schema.level(), links.level(), blobs.level()]


@given(lines())
def test_of_a_plain_line_the_levels_find_nothing_to_say(content: bytes) -> None:
    findings = slow_findings(content, Path("/nonexistent"))  # also learns the words of the line

    if is_plain(content, PREV, 2):
        assert [(level.state, level.text) for level in findings] == [
            ("ok", "2 actions"),
            ("ok", "2 of 2 lines chained"),
            ("ok", "0 references"),
        ]


@given(ACTIONS)
def test_what_the_writer_makes_is_plain_once_its_words_are_known(written: dict[str, Any]) -> None:
    strange = {"x_unknown", "details", "context", "error"}  # may name a blob, or is not known
    usual = {key: value for key, value in written.items() if key not in strange}
    content = encode({**usual, "tool": usual["tool"][:100]}, action_id=2, prev=PREV)
    decode_timed(content)

    assert is_plain(content, PREV, 2)


@given(lines())
def test_a_line_decodes_alike_with_and_without_the_fast_check(content: bytes) -> None:
    def outcome() -> tuple[Any, ...]:
        try:
            value, time_us = decode_timed(content)
        except LineInvalid as error:
            return error.reason, error.message
        return repr(value), time_us

    fast = outcome()
    again = outcome()
    with mock.patch.object(log_format, "is_ordinary", return_value=False):
        slow = outcome()

    assert fast == again == slow


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11), st.sampled_from(("flip", "drop", "double", "cut")), st.data()
        ),
        max_size=3,
    ),
    st.sampled_from((None, 0, 5, 12)),
)
def test_a_harmed_log_is_judged_alike_with_and_without_the_fast_look(
    harms: list[tuple[int, str, Any]], anchored: int | None
) -> None:
    whole = chain(12)
    anchor = None
    if anchored is not None:
        before = b"".join(whole[:anchored])
        last = whole[anchored - 1][:-1] if anchored else b""
        head = hashlib.sha256(last).hexdigest() if anchored else GENESIS_PREV
        anchor = Anchor(head, anchored, len(before))
    for at, harm, data in harms:
        _harm(whole, at % len(whole), harm, data)

    with _temporary_log(b"".join(whole)) as log:
        fast = verify_log(log, anchor)
        with mock.patch.object(verifying, "is_plain", return_value=False):
            slow = verify_log(log, anchor)

    assert fast == slow


def _harm(whole: list[bytes], at: int, harm: str, data: Any) -> None:
    one = whole[at]
    if harm == "flip" and one:
        place = data.draw(st.integers(0, len(one) - 1))
        whole[at] = one[:place] + bytes([data.draw(st.integers(0, 255))]) + one[place + 1 :]
    elif harm == "drop" and len(whole) > 1:
        del whole[at]
    elif harm == "double":
        whole.insert(at, one)
    elif harm == "cut":
        whole[at] = one[: data.draw(st.integers(0, len(one)))]


@contextmanager
def _temporary_log(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "actions.jsonl"
        log.write_bytes(content)
        yield log


@pytest.mark.parametrize("depth", [DEPTH_MAX - 2, DEPTH_MAX - 1])
def test_only_a_line_that_is_too_deep_is_refused(depth: int) -> None:
    """The brackets of `details` and of the line itself count as well."""
    nested = b"[" * depth + b"]" * depth
    content = line(1).replace(b'"success"', b'"success","details":{"x":%b}' % nested)

    if depth == DEPTH_MAX - 2:
        decode_timed(content)
        assert not is_plain(content, PREV, 1)
        assert is_plain(content, GENESIS_PREV, 1)
    else:
        assert not is_plain(content, GENESIS_PREV, 1)
        with pytest.raises(LineInvalid, match="deeper"):
            decode_timed(content)


def test_a_value_that_is_only_equal_to_the_number_is_not_plain() -> None:
    content = line(1)

    assert is_plain(content, GENESIS_PREV, 1)
    assert not is_plain(content.replace(b'"action_id":1', b'"action_id":true'), GENESIS_PREV, 1)
    assert not is_plain(content.replace(b'"action_id":1', b'"action_id":1.0'), GENESIS_PREV, 1)
    assert is_chained(decode_timed(content)[0], RawLine(content, 0, 1, 1, "", GENESIS_PREV))
