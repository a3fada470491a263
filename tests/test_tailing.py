"""Tailing: every line once and in order, whatever happens to the log meanwhile."""

from __future__ import annotations

import os
from dataclasses import asdict
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import action, line
from tailing_cases import LINES, add, directory_of, shown

from provenance_log import tailing
from provenance_log.appender import Appender
from provenance_log.recent import line_number_at
from provenance_log.store import SessionDirectory, Store
from provenance_log.tailing import LogTail, StoreTail, TailedLine, TailNotice, TailPosition

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "actions.jsonl"


def replace_by_rename(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.rename(path)


OTHER = [line(number, tool="Other") + b"\n" for number in range(1, 10)]


def test_lines_come_once_as_they_are_appended_and_positions_are_those_behind_them(
    log: Path,
) -> None:
    tail = LogTail("s", log)
    assert shown(tail.poll()) == []
    add(log, *LINES[:2])
    assert shown(tail.poll()) == [1, 2]
    assert shown(tail.poll()) == []
    add(log, LINES[2])
    (item,) = tail.poll()

    offset = len(LINES[0] + LINES[1])
    assert item == TailedLine("s", offset, 3, LINES[2][:-1])
    assert tail.position.offset == log.stat().st_size
    assert tail.position.line_count == 3


def test_partial_line_is_held_back_until_it_is_whole(log: Path) -> None:
    """B1: only a newline makes a line."""
    tail = LogTail("s", log)
    add(log, LINES[0], LINES[1][:7])
    assert shown(tail.poll()) == [1]
    add(log, LINES[1][7:-1])
    assert shown(tail.poll()) == []
    add(log, b"\n", LINES[2])
    assert shown(tail.poll()) == [2, 3]


@given(st.lists(st.integers(0, sum(map(len, LINES))), max_size=12))
def test_however_a_log_grows_every_line_comes_once(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    """B1, for every way in which the bytes may arrive."""
    content = b"".join(LINES)
    ends = [*sorted(cuts), len(content)]
    log = tmp_path_factory.mktemp("grown") / "actions.jsonl"
    tail = LogTail("s", log)
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        add(log, content[start:end])
        found += shown(tail.poll())

    assert found == list(range(1, 10))


def rewrite(path: Path, content: bytes) -> None:
    """Write in place, at another time: within one tick of the clock it would not show."""
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


def put_symlink(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("aside")))


CHANGES: dict[str, tuple[Callable[[Path], object], list[int | str]]] = {
    "cut to two lines": (
        lambda log: os.truncate(log, len(LINES[0] + LINES[1])),
        ["truncated", 1, 2],
    ),
    "cut inside the last line": (
        lambda log: os.truncate(log, log.stat().st_size - 3),
        ["truncated", 1, 2, 3],
    ),
    "emptied": (lambda log: log.write_bytes(b""), ["truncated"]),
    "cut and grown longer with other lines": (
        lambda log: log.write_bytes(b"".join(OTHER)),
        ["rewritten", *range(1, 10)],
    ),
    "cut and grown as long with another line": (
        lambda log: rewrite(log, b"".join(LINES[:4]).replace(b'"number":4', b'"number":5')),
        ["rewritten", 1, 2, 3, 4],
    ),
    "replaced by a longer log": (
        lambda log: replace_by_rename(log, b"".join(OTHER)),
        ["replaced", *range(1, 10)],
    ),
    "replaced by a shorter log": (
        lambda log: replace_by_rename(log, OTHER[0]),
        ["replaced", 1],
    ),
    "replaced by its own copy": (lambda log: replace_by_rename(log, log.read_bytes()), []),
    "replaced by its own copy and one line more": (
        lambda log: replace_by_rename(log, b"".join(LINES[:5])),
        [5],
    ),
    "touched": (os.utime, []),
    "gone": (lambda log: log.unlink(), ["gone"]),
    "a symlink": (put_symlink, ["unreadable"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_of_a_log_is_told_and_its_new_content_read(log: Path, name: str) -> None:
    """B4: truncated, replaced or rewritten is reported once; what is the same is not read again."""
    change, expected = CHANGES[name]
    add(log, *LINES[:4])
    tail = LogTail("s", log)
    assert shown(tail.poll()) == [1, 2, 3, 4]
    change(log)

    assert shown(tail.poll()) == expected
    assert shown(tail.poll()) == []


def test_after_every_change_the_tail_goes_on_with_what_is_appended(log: Path) -> None:
    add(log, *LINES[:4])
    tail = LogTail("s", log)
    assert shown(tail.poll()) == [1, 2, 3, 4]
    os.truncate(log, len(LINES[0]))
    add(log, LINES[1])
    assert shown(tail.poll()) == ["truncated", 1, 2]
    log.unlink()
    assert shown(tail.poll()) == ["gone"]
    assert shown(tail.poll()) == []
    add(log, *LINES[:3])
    assert shown(tail.poll()) == [3]
    add(log, LINES[3])
    assert shown(tail.poll()) == [4]


def test_log_that_can_be_read_again_is_read_on(log: Path) -> None:
    add(log, LINES[0])
    tail = LogTail("s", log)
    aside = log.with_name("aside")
    assert shown(tail.poll()) == [1]
    log.rename(aside)
    log.mkdir()
    (notice,) = tail.poll()
    assert notice == TailNotice("s", "unreadable", "can't be read: not a plain file")
    log.rmdir()
    aside.rename(log)
    add(log, LINES[1])
    assert shown(tail.poll()) == [2]


def test_lines_that_are_no_actions_are_handed_out_with_their_place(log: Path) -> None:
    """B3: no line stops the tail, and none is passed over."""
    too_long = b'{"x":"' + b"x" * (17 * 1024 * 1024) + b'"}\n'
    add(log, LINES[0], b"\xff\n", b"\n", too_long, LINES[1])
    tail = LogTail("s", log)
    items = []
    while more := list(tail.poll()):
        items += more

    assert shown(items) == [1, "not_utf8", "empty", "too_long", 2]
    assert [item.line_number for item in items if isinstance(item, TailedLine)] == [1, 2, 3, 4, 5]
    assert [
        line_number_at(log, item.offset) for item in items[:4] if isinstance(item, TailedLine)
    ] == [1, 2, 3, 4]
    assert line_number_at(log, log.stat().st_size) is None


def test_position_is_resumed_by_another_tail_also_from_the_middle_of_a_look(log: Path) -> None:
    add(log, *LINES[:4])
    first = LogTail("s", log)
    look = first.poll()
    assert shown([next(look), next(look)]) == [1, 2]
    del look
    saved = asdict(first.position)

    assert shown(first.poll()) == [3, 4]
    assert shown(LogTail("s", log, TailPosition(**saved)).poll()) == [3, 4]
    log.write_bytes(b"".join(OTHER))
    assert shown(LogTail("s", log, TailPosition(**saved)).poll())[:2] == ["rewritten", 1]


def test_a_busy_log_does_not_keep_another_waiting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B9: each log hands out a bounded piece, then it is the turn of the next."""
    monkeypatch.setattr(tailing, "_TURN_BYTES", 2 * max(map(len, LINES)))
    directory_of(store, "a", *LINES)
    directory_of(store, "b", *LINES[:1])
    tail = StoreTail(store)

    rounds: list[list[str]] = []
    while not rounds or tail.has_more:
        rounds.append([item.log for item in tail.poll()])

    assert rounds[0] == ["a", "a", "b"]
    assert [name for names in rounds for name in names].count("a") == 9


def test_new_session_is_followed_from_its_first_line(store: Store) -> None:
    directory_of(store, "a", *LINES[:2])
    tail = StoreTail(store)
    assert shown(tail.poll()) == [1, 2]
    new = directory_of(store, "b")
    assert shown(tail.poll()) == []
    add(new.log, *LINES[:3])

    assert [(item.log, *shown([item])) for item in tail.poll()] == [("b", 1), ("b", 2), ("b", 3)]
    assert {name: at.line_count for name, at in tail.positions.items()} == {"a": 2, "b": 3}


def test_session_that_is_made_without_a_trace_on_its_parent_is_found_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B6: the time of a directory may stay the same within a tick of the clock."""
    tail = StoreTail(store)
    assert shown(tail.poll()) == []
    directory_of(store, "a", LINES[0])
    tail._seen = tailing._signature_of(store.sessions_dir.stat())

    rounds = 1
    while not (found := shown(tail.poll())):
        rounds += 1
    assert found == [1]
    assert rounds <= 10


def test_positions_of_a_store_are_resumed_and_only_what_is_new_is_read(store: Store) -> None:
    a = directory_of(store, "a", *LINES[:2])
    directory_of(store, "b", *LINES[:1])
    first = StoreTail(store)
    assert shown(first.poll()) == [1, 2, 1]
    add(a.log, LINES[2])
    directory_of(store, "c", *LINES[:1])

    second = StoreTail(store, positions=first.positions)
    assert second.positions == first.positions
    assert [(item.log, *shown([item])) for item in second.poll()] == [("a", 3), ("c", 1)]


def test_renamed_directory_is_gone_on_with_and_not_read_again(store: Store) -> None:
    directory = directory_of(store, "a", *LINES[:2])
    tail = StoreTail(store)
    assert shown(tail.poll()) == [1, 2]
    moved = SessionDirectory("z", directory.path.rename(store.sessions_dir / "z"))
    add(moved.log, LINES[2])

    assert shown(tail.poll()) == ["moved", 3]
    assert list(tail.positions) == ["z"]


def test_vanished_store_is_told_once_and_followed_when_it_is_back(store: Store) -> None:
    """B6: a disk that was unmounted for a while."""
    directory = directory_of(store, "a", *LINES[:2])
    tail = StoreTail(store)
    assert shown(tail.poll()) == [1, 2]
    aside = store.sessions_dir.rename(store.root / "aside")
    assert shown(tail.poll()) == ["unreadable", "gone"]
    assert shown(tail.poll()) == []
    aside.rename(store.sessions_dir)
    add(directory.log, LINES[2])
    directory_of(store, "b", LINES[0])

    assert shown(tail.poll()) == [3, 1]


def test_what_several_appenders_write_at_once_is_followed_whole_and_in_order(store: Store) -> None:
    """B1: lines come as they stand in the log, however reading and writing interleave."""
    logs = [directory_of(store, name).log for name in ("a", "b")]

    def append(log: Path) -> None:
        appender = Appender(log)
        for _ in range(150):
            appender.append(action(details={"text": "x" * 5000}))
        appender.close()

    writers = [Thread(target=append, args=(log,)) for log in logs * 2]
    for writer in writers:
        writer.start()
    found: dict[str, list[int | str]] = {"a": [], "b": []}
    tail = StoreTail(store)
    for item in tail.follow(lambda: sum(map(len, found.values())) == 600, poll_s=0.001):
        found[item.log] += shown([item])
    for writer in writers:
        writer.join()

    assert found == {"a": list(range(1, 301)), "b": list(range(1, 301))}
    assert list(tail.poll()) == []


def test_follow_ends_when_it_is_told_to_and_sees_what_an_appender_writes(store: Store) -> None:
    directory = directory_of(store, "a")
    appender = Appender(directory.log)
    found: list[int | str] = []

    def is_over() -> bool:
        if len(found) == 5:
            appender.close()
            return True
        appender.append(action(tool=f"t{len(found)}"))
        return False

    for item in StoreTail(store).follow(is_over, poll_s=0):
        found += shown([item])
    assert found == [1, 2, 3, 4, 5]
