"""What goes into a line quickly is what would go into it slowly."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from secret_samples import SAMPLES

from provenance_log import preparing, stamping
from provenance_log.errors import LineInvalid
from provenance_log.format import ACTION_TYPES, STATUSES, decode
from provenance_log.preparing import prepare
from provenance_log.redact import RedactionSettings, Redactor
from provenance_log.redaction_candidates import NOTHING
from provenance_log.redaction_scanning import Scanner
from provenance_log.redaction_words import WordFilter

REDACTOR = Redactor(RedactionSettings(), lambda: b"key")
WORDS = (b"pass", b"key", b"://", b"bearer ", b"cookie", b"token")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

characters = st.characters(exclude_categories=["Cs"])
texts = st.one_of(
    st.text(characters, max_size=20),
    st.sampled_from(["", "null", "password=hunter22x", "a" * 30, "%41", "\\u0041", "sk-ant-" * 9]),
)
numbers = st.one_of(st.integers(), st.floats(), st.just(2**53), st.just(-1))
scalars = st.one_of(st.none(), st.booleans(), texts, numbers, st.binary(max_size=3))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
members: dict[str, st.SearchStrategy[Any]] = {
    "timestamp": st.sampled_from(["2026-01-10T15:30:15.5+01:00", None, 3]),
    "type": st.sampled_from([*ACTION_TYPES, "other", "", None]),
    "tool": texts,
    "status": st.sampled_from([*STATUSES, "other"]),
    "duration_ms": st.sampled_from([0, 12, -1, 2**31, 1.5, True, None]),
    "context": st.dictionaries(texts, values, max_size=3),
    "details": st.dictionaries(texts, values, max_size=3),
    "files_affected": st.lists(texts, max_size=3) | st.just([1]) | st.just(("a",)),
    "read_only": st.booleans(),
    "error": st.dictionaries(texts, scalars, max_size=2) | scalars,
    "entity_links": st.lists(st.dictionaries(texts, scalars, max_size=2), max_size=2),
    "event_type": st.sampled_from(["tool_call", "", 1]),
    "event_name": texts,
    "database_event_id": st.sampled_from(["e1", None]),
    "own": values,
    "prev": st.just("x"),
}


@st.composite
def actions(draw: st.DrawFn) -> dict[str, Any]:
    usual = {"type": "read", "tool": "Read", "status": "success"}
    rare = {key: draw(members[key]) for key in draw(st.lists(st.sampled_from([*members])))}
    action = {**usual, **rare}
    keys = [*action] if draw(st.booleans()) else [key for key in members if key in action]
    return {key: action[key] for key in keys}


def line_or_reason(action: Mapping[str, Any]) -> tuple[bytes, Any] | str:
    try:
        with (
            mock.patch.object(preparing, "now_text", return_value=b"2026-01-10T15:30:15.000001Z"),
            mock.patch.object(preparing, "new_event_id", return_value=b"0" * 36),
        ):
            prepared = prepare(action, REDACTOR, Path("/nowhere"))
    except LineInvalid as error:
        return f"{error.reason}: {error}"
    return prepared.body.line(7, "f" * 64), prepared[2:]


@given(actions())
def test_a_plain_action_gives_the_line_that_the_long_way_gives(action: dict[str, Any]) -> None:
    quick = line_or_reason(action)
    with mock.patch.object(preparing, "is_plain", return_value=False):
        slow = line_or_reason(action)

    assert quick == slow
    if not isinstance(quick, str):
        decode(quick[0])


def test_an_ordinary_action_goes_the_short_way() -> None:
    action = {"type": "read", "tool": "Read", "status": "success", "files_affected": ["a/b.py"]}
    with mock.patch.object(preparing, "_prepare_any", side_effect=AssertionError):
        assert json.loads(prepare(action, REDACTOR, Path()).body.line(1, "p"))["tool"] == "Read"


@given(st.lists(st.sampled_from([*WORDS, b"x", b"pas", b"ke", b"y", b"\xff", b"PASS"])))
def test_a_word_that_is_there_is_never_ruled_out(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    if any(word in data.lower() for word in WORDS):
        assert not WordFilter(WORDS).rules_out(data)


@pytest.mark.parametrize("word", WORDS)
def test_each_word_is_found_and_nothing_in_its_absence(word: bytes) -> None:
    words = WordFilter(WORDS)
    assert words.rules_out(b"")
    assert words.rules_out(b'{"tool":"Read","files":["src/growth_media.py"]}')
    assert [words.rules_out(text) for text in (word, word.upper(), b"  " + word)] == [False] * 3


def test_a_word_too_short_to_be_known_by_its_letters_rules_nothing_out() -> None:
    assert not WordFilter([b"pw", *WORDS]).rules_out(b"quiet")


SCANNERS = (
    Scanner(),
    Scanner(excluded_rules=["github-token", "connection-string"], secret_names=["PIN code"]),
    Scanner(secret_names=["pw"]),
)
for _scanner in SCANNERS:
    for _ in range(50):
        _scanner.finds_nothing(b"{}")


@given(st.recursive(texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_nothing_is_found_quickly_only_where_nothing_is_found_at_all(value: object) -> None:
    data = orjson.dumps(value)
    for scanner in (*SCANNERS, Scanner()):  # those that have looked often, and one that has not
        if scanner.finds_nothing(data):
            assert scanner.candidates(data) == NOTHING


def test_no_secret_goes_the_short_way() -> None:
    for sample in SAMPLES:
        assert not REDACTOR.finds_nothing(orjson.dumps({"details": {"output": sample.text}}))


def test_every_event_has_an_id_of_its_own_in_the_form_of_a_random_uuid() -> None:
    ids = [stamping.new_event_id().decode() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(map(UUID.fullmatch, ids))
    for place in range(36):  # every digit is drawn, but for the version and the hyphens
        digits = {text[place] for text in ids}
        assert len(digits) == (1 if place in {8, 13, 14, 18, 23} else 4 if place == 19 else 16)


def test_a_forked_child_draws_other_ids_than_its_parent() -> None:
    stamping.new_event_id()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, b"".join(stamping.new_event_id() for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    drawn = os.read(read_end, 36 * 100).decode()
    os.close(read_end)
    os.close(write_end)
    ids = {drawn[start : start + 36] for start in range(0, len(drawn), 36)}
    assert len(ids) == 100
    assert ids.isdisjoint(stamping.new_event_id().decode() for _ in range(100))


def test_the_time_is_that_of_the_clock_in_the_form_of_a_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter(
        [1_700_000_000_999_999_999, 1_700_000_001_000_000_999, 1_700_000_000_000_001_000]
    )
    monkeypatch.setattr("time.time_ns", lambda: next(moments))
    assert [stamping.now_text() for _ in range(3)] == [
        b"2023-11-14T22:13:20.999999Z",
        b"2023-11-14T22:13:21.000000Z",
        b"2023-11-14T22:13:20.000001Z",
    ]
