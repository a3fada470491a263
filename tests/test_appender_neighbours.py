"""Torn tails, and somebody else at the same file: no neighbour is harmed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_cases import TIME, action, chain, check_goes_on, numbers_of, read_all

from provenance_log.appender import Appender
from provenance_log.format import line_hash

BY_HAND = (
    b'{"timestamp":"2026-01-10T14:30:15Z","action_id":1,"type":"decision","tool":"by hand",'
    b'"status":"success"}'
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "actions.jsonl"


@pytest.fixture
def appender(log: Path) -> Iterator[Appender]:
    made = Appender(log)
    yield made
    made.close()


def test_a_log_cut_at_every_byte_goes_on_with_both_neighbours_intact(tmp_path: Path) -> None:
    """A5, F03: the bug of every transcript writer, at every byte of the last three records."""
    lines = chain(5)
    content = b"".join(lines)
    begin = len(b"".join(lines[:2]))
    ends = [begin + len(b"".join(lines[2:n])) for n in range(2, 6)]
    log = tmp_path / "actions.jsonl"
    for cut in range(begin, len(content) + 1):
        log.write_bytes(content[:cut])
        whole = sum(cut >= end - 1 for end in ends[1:])  # also when only the newline is missing

        appender = Appender(log)
        placed = appender.append(action(tool="next"))
        appender.close()

        reading = read_all(log)
        fragment = [] if cut in ends or cut + 1 in ends else [(3 + whole, "not_json")]
        assert reading.good[:-1] == [text[:-1] for text in lines[: 2 + whole]], cut
        assert reading.bad == fragment, cut
        assert reading.values[-1]["tool"] == "next", cut
        assert numbers_of(log) == list(range(1, 4 + whole)), cut
        assert placed.action_id == 3 + whole, cut
        assert reading.unchained == [], cut
        assert log.read_bytes().startswith(content[:cut]), cut


def test_a_retry_of_a_torn_append_writes_the_event_once(log: Path) -> None:
    """A1, A7, F03: cut anywhere, the same event appended again is there exactly once."""
    Appender(log).append(action(database_event_id="first"))
    event = action(timestamp=TIME, database_event_id="again", details={"x": "é"})
    begin = log.stat().st_size
    Appender(log).append(event)
    content = log.read_bytes()
    for cut in range(begin, len(content) + 1):
        log.write_bytes(content[:cut])

        appender = Appender(log)
        placed = appender.append(event)
        assert placed.was_there == (cut >= len(content) - 1), cut
        assert appender.append(event).was_there
        appender.close()

        reading = read_all(log)
        ids = [value["database_event_id"] for value in reading.values]
        assert ids == ["first", "again"], cut
        at = log.read_bytes()[placed.offset : placed.offset + placed.length]
        assert line_hash(at) == placed.hash, cut
        assert reading.unchained == [], cut


def test_a_tail_that_tears_while_the_appender_is_open_is_sealed(
    log: Path, appender: Appender
) -> None:
    """A5: what is known of the tail is checked before each write."""
    appender.append(action())
    with log.open("ab") as file:
        file.write(b'{"timestamp":"2026')
    appender.append(action())
    os.truncate(log, log.stat().st_size - 1)
    appender.append(action())

    reading = read_all(log)
    assert (numbers_of(log), reading.bad) == ([1, 2, 3], [(2, "not_json")])
    assert reading.unchained == []


def test_a_log_replaced_while_open_is_followed_by_its_name(log: Path, appender: Appender) -> None:
    """A4, F32: an editor saves by rename; the next append goes to the file that is there now."""
    appender.append(action(tool="one"))
    appender.append(action(tool="two"))
    edited = log.with_name("edited")
    edited.write_bytes(log.read_bytes().replace(b"one", b"ONE"))
    edited.rename(log)
    appender.append(action(tool="three"))
    log.unlink()
    appender.append(action(tool="alone"))

    assert [value["tool"] for value in read_all(log).values] == ["alone"]
    assert numbers_of(log) == [1]


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_a_log_truncated_while_open_goes_on_from_what_is_left(
    log: Path, appender: Appender, size: int
) -> None:
    """F30, A5."""
    for _ in range(3):
        appender.append(action(database_event_id=None))
    appender.has_event("x")
    os.truncate(log, size if size >= 0 else log.stat().st_size + size)
    left = read_all(log)

    appender.append(action(tool="next"))

    reading = read_all(log)
    assert reading.good[: len(left.good)] == left.good
    assert reading.values[-1]["tool"] == "next"
    assert numbers_of(log) == list(range(1, len(reading.good) + 1))
    assert reading.unchained == []
    check_goes_on(log)


@pytest.mark.parametrize("text", [BY_HAND + b"\n", BY_HAND, b"noise\n", b"noise", b"\n\n", b"\r\n"])
def test_a_line_added_by_hand_stays_and_is_chained_over(
    log: Path, appender: Appender, text: bytes
) -> None:
    """F15: `echo '{…}' >>`, with or without a newline, while an appender has the log open."""
    appender.append(action())
    appender.append(action())
    with log.open("ab") as file:
        file.write(text)
    placed = appender.append(action())

    assert placed.action_id == 3
    reading = check_goes_on(log)
    assert text in log.read_bytes()
    assert reading.unchained == ([3] if text.startswith(b"{") else [])


@pytest.mark.parametrize("text", [BY_HAND + b"\n", BY_HAND, b"noise"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_line_added_by_hand_at_the_very_moment_costs_no_action(
    log: Path, appender: Appender, monkeypatch: pytest.MonkeyPatch, text: bytes, count: int
) -> None:
    """A1, F15: whoever does not lock may write between our look at the tail and our write."""
    appender.append(action())
    write = os.write

    def after_a_stranger(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        with log.open("ab") as file:
            file.write(text)
        return write(fd, data)

    monkeypatch.setattr(os, "write", after_a_stranger)
    placed = appender.append_many([action(tool=f"ours {n}") for n in range(count)])

    content = log.read_bytes()
    for n, item in enumerate(placed):
        at = content[item.offset : item.offset + item.length]
        assert json.loads(at)["tool"] == f"ours {n}"
        assert content[item.offset - 1 : item.offset] == b"\n"
        assert content[item.offset + item.length :][:1] == b"\n"
        assert line_hash(at) == item.hash
    tools = [value["tool"] for value in read_all(log).values]
    assert sorted(tool for tool in tools if "ours" in tool) == [f"ours {n}" for n in range(count)]
    check_goes_on(log)
