"""One append: the line it makes, and the events that are there already."""

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import TIME, action, check_goes_on, line, numbers_of, read_all

from provenance_log.appender import Appended, Appender
from provenance_log.errors import (
    IdConflict,
    LineInvalid,
    WrongExpectedActionId,
)
from provenance_log.format import COLUMN_INTEGER_MAX, GENESIS_PREV, line_hash


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "actions.jsonl"


@pytest.fixture
def appender(log: Path) -> Iterator[Appender]:
    made = Appender(log)
    yield made
    made.close()


def test_an_append_is_one_chained_line_where_it_says(log: Path, appender: Appender) -> None:
    """A1, A6: the acknowledgement is the line's own place, number and hash."""
    placed = [appender.append(action(details={"n": n})) for n in range(3)]

    lines = log.read_bytes().splitlines(keepends=True)
    offset = 0
    prev = GENESIS_PREV
    for number, (content, item) in enumerate(zip(lines, placed, strict=True), start=1):
        digest = line_hash(content[:-1])
        assert item == Appended(number, offset, len(content) - 1, digest, "process")
        assert json.loads(content)["prev"] == prev
        offset, prev = offset + len(content), digest


def test_the_time_is_stamped_or_brought_to_its_canonical_form(
    log: Path, appender: Appender
) -> None:
    appender.append(action(timestamp="2026-01-10T15:30:15+01:00"))
    appender.append(action())
    appender.append(action(timestamp=None))

    first, *stamped = [value["timestamp"] for value in read_all(log).values]
    assert first == TIME
    assert all(len(text) == len(TIME) and text > TIME for text in stamped)


def test_an_event_without_an_id_gets_a_random_one(log: Path, appender: Appender) -> None:
    for _ in range(200):
        appender.append(action())

    ids = [value["database_event_id"] for value in read_all(log).values]
    assert len(set(ids)) == 200
    assert [str(uuid.UUID(text)) for text in ids] == ids
    assert {(uuid.UUID(text).version, uuid.UUID(text).variant) for text in ids} == {
        (4, uuid.RFC_4122)
    }


def test_an_action_that_breaks_the_schema_writes_nothing(log: Path, appender: Appender) -> None:
    """A2."""
    appender.append(action())
    before = log.read_bytes()

    for bad in (action(type="ponder"), action(timestamp="now"), action(details=[]), {}):
        with pytest.raises(LineInvalid):
            appender.append(bad)
        with pytest.raises(LineInvalid):
            appender.append_many([action(), bad, action()])

    assert log.read_bytes() == before
    check_goes_on(log)


def test_an_unknown_durability_is_refused_and_not_taken_for_the_weaker_one(
    log: Path, appender: Appender
) -> None:
    with pytest.raises(ValueError, match="durability is one of"):
        Appender(log, durability="fsync")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="durability is one of"):
        appender.append(action(), durability="Disk")  # type: ignore[arg-type]

    assert not log.exists()


def test_a_relative_path_means_the_directory_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent changes its working directory; its log stays where it was."""
    monkeypatch.chdir(tmp_path)
    appender = Appender(Path("actions.jsonl"))
    appender.append(action())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    appender.append(action())

    assert numbers_of(tmp_path / "actions.jsonl") == [1, 2]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_full_log_refuses_and_stays_as_it_is(log: Path, appender: Appender) -> None:
    last = line(COLUMN_INTEGER_MAX - 1)
    log.write_bytes(last + b"\n")

    with pytest.raises(LineInvalid, match="all the actions"):
        appender.append_many([action(), action()])
    assert appender.append(action()).action_id == COLUMN_INTEGER_MAX
    with pytest.raises(LineInvalid, match="all the actions"):
        appender.append(action())

    assert len(read_all(log).good) == 2


def test_the_same_event_again_is_the_first_ones_position(log: Path, appender: Appender) -> None:
    """A7, from the same appender, from another, and with another stamp."""
    event = action(database_event_id="e1", details={"a": [1, None], "b": "é"}, error=None)
    first = appender.append(event)
    appender.append(action())
    before = log.read_bytes()

    for other in (appender, Appender(log)):
        again = other.append(dict(reversed(event.items())))
        assert again == Appended(
            first.action_id, first.offset, first.length, first.hash, "process", was_there=True
        )
        assert other.has_event("e1")
        assert not other.has_event("e2")
    assert log.read_bytes() == before


def test_the_same_event_id_with_other_content_is_refused(log: Path, appender: Appender) -> None:
    """A7."""
    event = action(database_event_id="e1", timestamp=TIME, details={"a": 1})
    first = appender.append(event)
    before = log.read_bytes()

    for changes in (
        {"details": {"a": 2}},
        {"details": None},
        {"timestamp": "2026-01-10T14:30:15.000001Z"},
        {"x": 1},
        {"details": {"a": "1"}},
    ):
        with pytest.raises(IdConflict, match="e1") as raised:
            appender.append({**event, **changes})
        assert (raised.value.path, raised.value.offset) == (log, first.offset)
    with pytest.raises(IdConflict, match="twice"):
        appender.append_many([action(database_event_id="e2"), action(database_event_id="e2")])
    assert log.read_bytes() == before


def test_an_event_is_the_same_however_its_values_were_given(log: Path, appender: Appender) -> None:
    """A7: what counts is what would be written, also for lossy values and for blobs."""
    events = [
        action(database_event_id="lossy", details={"n": float("nan"), "s": {"b", "a"}}),
        action(database_event_id="large", details={"text": "x" * 2_000_000, "n": 1}),
        action(database_event_id="time", timestamp="2026-01-10T15:30:15.5+01:00"),
        action(database_event_id="tuple", files_affected=("a", "b")),
    ]
    first = appender.append_many(events)

    again = Appender(log).append_many(events)

    assert [item.was_there for item in again] == [True] * 4
    assert [item.action_id for item in again] == [item.action_id for item in first]


def test_a_batch_writes_what_is_new_and_finds_what_is_there(log: Path, appender: Appender) -> None:
    """A7: re-importing adds only what is new."""
    known = appender.append_many([action(database_event_id=f"e{n}") for n in (1, 3)])

    placed = appender.append_many([action(database_event_id=f"e{n}") for n in (1, 2, 3, 4)])

    assert [item.was_there for item in placed] == [True, False, True, False]
    assert [item.action_id for item in placed] == [1, 3, 2, 4]
    assert placed[2].offset == known[1].offset
    assert numbers_of(log) == [1, 2, 3, 4]


def test_an_event_that_moved_behind_the_appenders_back_is_found_again(
    log: Path, appender: Appender
) -> None:
    """A7, F31: truncated and grown again beyond the old size, in the same file."""
    events = [action(database_event_id=f"e{n}", timestamp=TIME) for n in range(5)]
    appender.append_many(events)
    with log.open("r+b") as file:
        lines = file.read().splitlines(keepends=True)
        file.seek(0)
        file.write(b"a longer first line\n" + b"".join(lines[2:]) + lines[1] * 2)

    placed = appender.append_many(events)

    assert [item.was_there for item in placed] == [False, True, True, True, True]
    check_goes_on(log)


def test_a_bad_line_with_an_events_id_is_not_that_event(log: Path, appender: Appender) -> None:
    """A1, A7: only an action counts, and a retry of it still writes once."""
    event = action(database_event_id="e1", timestamp=TIME)
    bad = line(1, database_event_id="e1").replace(b'"success"', b"12")
    log.write_bytes(bad + b"\n")

    placed = [appender.append(event) for _ in range(3)]

    assert [item.was_there for item in placed] == [False, True, True]


def test_an_append_happens_only_at_the_number_that_was_expected(
    log: Path, appender: Appender
) -> None:
    """A7."""
    appender.append(action(), expected_action_id=1)
    before = log.read_bytes()

    for wrong in (0, 1, 3):
        with pytest.raises(WrongExpectedActionId, match=f"the next action is 2, not {wrong}"):
            appender.append(action(), expected_action_id=wrong)
    assert log.read_bytes() == before
    assert appender.append(action(), expected_action_id=2).action_id == 2


def test_of_many_who_expect_the_same_number_one_appends(log: Path) -> None:
    """A7: optimistic concurrency."""
    appenders = [Appender(log) for _ in range(8)]

    def attempt(appender: Appender) -> bool:
        try:
            appender.append(action(), expected_action_id=1)
        except WrongExpectedActionId:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, appenders)) == 1
    assert numbers_of(log) == [1]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4, unique=True), max_size=8))
def test_always_each_event_is_there_once_whatever_the_batches(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    """A1, A6, A7."""
    log = tmp_path_factory.mktemp("always") / "actions.jsonl"
    for number, batch in enumerate(batches):
        appender = Appender(log)
        events = [
            action(database_event_id=f"e{n}", timestamp=TIME, details={"n": n}) for n in batch
        ]
        if number % 3 == 2 and log.exists():
            os.truncate(log, max(0, log.stat().st_size - 1))
        for item, event in zip(appender.append_many(events), events, strict=True):
            at = log.read_bytes()[item.offset : item.offset + item.length + 1]
            assert at.endswith(b"\n")
            assert json.loads(at)["database_event_id"] == event["database_event_id"]
        appender.close()

    if not log.exists():
        return
    if not log.read_bytes().endswith(b"\n"):
        Appender(log).append(action(database_event_id="end"))
    reading = read_all(log)
    ids = [value["database_event_id"] for value in reading.values]
    assert len(set(ids)) == len(ids)
    assert {f"e{n}" for batch in batches for n in batch} == set(ids) - {"end"}
    assert (reading.bad, reading.unchained) == ([], [])
    assert numbers_of(log) == list(range(1, len(ids) + 1))
