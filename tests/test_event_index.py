"""Which events a log holds: read once, then only what was added."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_cases import TIME, action, line

from provenance_log.event_index import EventIndex, FoundEvent
from provenance_log.format import decode, line_hash
from provenance_log.reader import ReadPosition, open_for_reading, read_chunk


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "actions.jsonl"
    path.write_bytes(b"")
    return path


@pytest.fixture
def fd(log: Path) -> Iterator[int]:
    opened = open_for_reading(log)
    yield opened
    os.close(opened)


def add(log: Path, *contents: bytes) -> None:
    with log.open("ab") as file:
        file.writelines(content + b"\n" for content in contents)


def test_an_event_is_found_where_it_stands(log: Path, fd: int) -> None:
    first, second = line(1, database_event_id="a"), line(2, database_event_id="b")
    add(log, first, b"noise", second)
    index = EventIndex()
    assert "a" not in index
    index.catch_up(fd)

    offset = len(first) + len(b"\nnoise\n")
    assert index.find(fd, "b") == FoundEvent(decode(second), offset, len(second), line_hash(second))
    assert ("a" in index, "c" in index, index.find(fd, "c")) == (True, False, None)


def test_only_what_was_added_is_read(log: Path, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []

    def counted(fd: int, start: ReadPosition) -> object:
        starts.append(start.offset)
        return read_chunk(fd, start)

    monkeypatch.setattr("provenance_log.event_index.read_chunk", counted)
    index = EventIndex()
    size = 0
    for n in range(4):
        add(log, line(n + 1, database_event_id=f"e{n}"))
        index.catch_up(fd)
        assert starts == [size]
        starts.clear()
        size = log.stat().st_size
    assert all(f"e{n}" in index for n in range(4))


def test_of_an_event_that_is_there_twice_the_first_one_counts(log: Path, fd: int) -> None:
    """A7: a line that somebody copied is not the event."""
    add(log, line(1, database_event_id="a"), line(2, database_event_id="a"))
    index = EventIndex()
    index.catch_up(fd)

    found = index.find(fd, "a")
    assert found is not None
    assert (found.action_id, found.offset) == (1, 0)


def test_an_unterminated_event_is_not_there_yet(log: Path, fd: int) -> None:
    """B1."""
    log.write_bytes(line(1, database_event_id="a"))
    index = EventIndex()
    index.catch_up(fd)
    assert index.find(fd, "a") is None
    add(log, b"")
    index.catch_up(fd)
    assert index.find(fd, "a") is not None


def test_an_id_that_is_no_text_or_in_a_bad_line_is_no_event(log: Path, fd: int) -> None:
    add(
        log,
        b'{"database_event_id":7}',
        b'["database_event_id"]',
        b'{"database_event_id":"a"}',
        b'{"database_event_id":"b"',
        line(1, database_event_id="c"),
    )
    index = EventIndex()
    index.catch_up(fd)

    assert [index.find(fd, name) is not None for name in "abc"] == [False, False, True]


@pytest.mark.parametrize("keep", [0, 1])
def test_a_log_that_shrank_is_read_again(log: Path, fd: int, keep: int) -> None:
    """A7, F30."""
    lines = [line(n, database_event_id=f"e{n}") for n in range(1, 4)]
    add(log, *lines)
    index = EventIndex()
    index.catch_up(fd)
    os.truncate(log, sum(len(content) + 1 for content in lines[:keep]))
    index.catch_up(fd)

    assert [index.find(fd, f"e{n}") is not None for n in (1, 2, 3)] == [keep == 1, False, False]


def test_the_same_content_is_the_same_event_whatever_its_number_and_order() -> None:
    """A7."""
    content = line(3, database_event_id="a", details={"x": 1})
    found = FoundEvent(decode(content), 0, len(content), line_hash(content))
    same = action(timestamp=TIME, database_event_id="a", details={"x": 1})

    assert found.is_same(same, ignore_time=False)
    assert found.is_same(dict(reversed(same.items())), ignore_time=False)
    assert found.is_same({**same, "error": None}, ignore_time=False)
    assert found.is_same({**same, "timestamp": "other"}, ignore_time=True)
    for change in ({"timestamp": "other"}, {"details": {"x": 2}}, {"y": 1}, {"details": None}):
        assert not found.is_same({**same, **change}, ignore_time=False)


def test_an_event_that_changed_places_with_another_is_found_where_it_is(log: Path, fd: int) -> None:
    """A7, F34: lines of one length, swapped in the same file."""
    first, second = line(1, database_event_id="a"), line(2, database_event_id="b")
    add(log, first, second)
    index = EventIndex()
    index.catch_up(fd)
    with log.open("r+b") as file:
        file.write(second + b"\n" + first + b"\n")

    found = index.find(fd, "a")

    assert found is not None
    assert (found.offset, found.value["database_event_id"]) == (len(second) + 1, "a")


def test_log_that_was_cut_and_has_grown_beyond_its_old_length_is_read_again(
    log: Path, fd: int
) -> None:
    """A7: an event that came back with the new lines is not written once more."""
    events = EventIndex()
    add(log, line(1, database_event_id="old"))
    events.catch_up(fd)
    content = b"".join(line(n, database_event_id=f"new-{n}") + b"\n" for n in range(1, 6))
    log.write_bytes(content)

    events.catch_up(fd)

    assert [event for event in ("old", "new-1", "new-5") if event in events] == ["new-1", "new-5"]
