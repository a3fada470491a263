"""The last lines of logs: the right ones, in order, without reading what is not needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_cases import line
from looking_cases import make_store
from tailing_cases import LINES, directory_of, shown

from provenance_log import recent
from provenance_log.recent import Recent, recent_lines, spans_backwards
from provenance_log.store import SessionDirectory, Store
from provenance_log.tailing import START

if TYPE_CHECKING:
    from pathlib import Path

_BEFORE, _AFTER = (LINES[0].replace(b"15.000000Z", b"1|.000000Z")).split(b"|.")


@pytest.mark.parametrize("torn", [b"", b'{"torn', b"x" * 70_000])
@pytest.mark.parametrize("block_bytes", [1, 7, 64, 100_000])
def test_lines_backwards_are_those_forwards_and_a_torn_tail_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bytes, block_bytes: int
) -> None:
    log = tmp_path / "actions.jsonl"
    monkeypatch.setattr(recent, "_BACKWARD_BYTES", block_bytes)
    lines = [b"", b"a", b"", b"bc" * 40, b"d"]
    log.write_bytes(b"\n".join(lines) + b"\n" + torn)
    with log.open("rb") as file:
        spans = list(spans_backwards(file.fileno(), log.stat().st_size))

    content = log.read_bytes()
    assert [content[offset : offset + length] for offset, length in spans] == lines[::-1]


def test_last_lines_are_found_without_reading_the_whole_log(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B11: what is read is proportional to what is shown, not to the log."""
    directory = directory_of(store, "a", LINES[0], b"x" * 50_000_000, b"\n", *LINES[1:])
    read_bytes = []
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        data = pread(fd, length, offset)
        read_bytes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    last = recent_lines([directory], 5)

    assert shown(last.lines()) == [5, 6, 7, 8, 9]
    assert sum(read_bytes) < 1_000_000
    assert last.positions["a"].offset == directory.log.stat().st_size


def test_last_wanted_lines_of_several_logs_are_in_the_order_of_time_and_of_each_log(
    store: Store,
) -> None:
    def at(number: int, second: int) -> bytes:
        moment = f"2026-01-10T14:30:{second:02d}.000000Z"
        return line(number).replace(b"2026-01-10T14:30:15.000000Z", moment.encode()) + b"\n"

    a = directory_of(store, "a", at(1, 1), at(2, 5), at(3, 4), at(4, 9))
    b = directory_of(store, "b", at(11, 2), b"bad\n", at(12, 7))
    by_hand = directory_of(store, "c")

    def found(limit: int | None, even_only: bool = False) -> list[int | str]:
        return shown(
            recent_lines(
                [a, b, by_hand],
                limit,
                lambda action, _: not even_only or action["action_id"] % 2 == 0,
            ).lines()
        )

    assert found(None) == [1, 11, 2, 3, "not_json", 12, 4]
    assert found(3) == ["not_json", 12, 4]
    assert found(0) == []
    assert found(None, even_only=True) == [2, "not_json", 12, 4]
    assert found(2, even_only=True) == [12, 4]


@settings(max_examples=40)
@given(
    logs=st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=4),
    limit=st.integers(0, 12),
)
def test_last_lines_are_the_end_of_all_lines(
    tmp_path_factory: pytest.TempPathFactory, logs: list[list[int]], limit: int
) -> None:
    """For any times, also such that go backwards, whatever was left unread on the way."""
    store = make_store(tmp_path_factory.mktemp("recent"))
    directories = []
    for number, seconds in enumerate(logs):
        lines = [b"%b%d.%b" % (_BEFORE, second, _AFTER) for second in seconds]
        directories.append(directory_of(store, f"s{number}", b"", *lines))
    every, last = recent_lines(directories, None), recent_lines(directories, limit)

    def times(found: Recent) -> list[int]:
        return [place.time_us for place in found.places]

    assert times(last) == times(every)[len(every.places) - min(limit, len(every.places)) :]
    for directory in directories:
        offsets = [p.offset for p in every.places if p.directory == directory]
        assert offsets == sorted(offsets)
        assert len(offsets) == len(directory.log.read_bytes().splitlines())


def test_logs_that_cannot_hold_what_is_wanted_are_not_read(store: Store) -> None:
    old = directory_of(store, "old", *LINES)
    new = directory_of(store, "new", *LINES)
    os.utime(old.log, (1_000, 1_000))
    (directory_of(store, "odd").log).mkdir()
    odd = SessionDirectory("odd", store.sessions_dir / "odd")

    last = recent_lines([old, new, odd], 20, since_us=2_000_000_000)

    assert {item.log for item in last.lines()} == {"new"}
    assert shown(last.notices) == ["unreadable"]
    assert set(last.positions) == {"old", "new"}


def test_logs_written_to_within_one_tick_of_the_clock_are_in_the_order_of_their_lines(
    store: Store,
) -> None:
    early, late = (LINES[0].replace(b"15.000000Z", b"15.00%dZ" % n) for n in (2000, 3000))
    directories = [directory_of(store, "a", early), directory_of(store, "b", late)]
    tick_us = 1_768_055_415_000_000
    for directory, after_us in zip(directories, (1, 0), strict=True):
        os.utime(directory.log, ns=(0, (tick_us + after_us) * 1000))

    assert [item.log for item in recent_lines(directories, 1).lines()] == ["b"]


def test_line_that_is_no_longer_there_when_it_is_its_turn_is_told(store: Store) -> None:
    directory = directory_of(store, "a", *LINES[:3])
    lines = recent_lines([directory], 3).lines()
    assert shown([next(lines)]) == [1]
    os.truncate(directory.log, len(LINES[0]) + 1)

    assert shown(lines) == ["unreadable", "unreadable"]


def test_position_of_a_log_that_holds_no_line_is_its_start(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    torn = directory_of(store, "torn", b'{"half')

    assert recent_lines([torn], 5).positions == {"torn": START}
