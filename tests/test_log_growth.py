"""What is said of a log that grew is what a look at its end from nothing would say."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provenance_log.appender import Appender
from provenance_log.log_growth import tail_after
from provenance_log.reader import Tail, read_tail

ACTION = {"type": "read", "tool": "Read", "status": "success"}
STRANGE = [b"\n", b"x", b"not json\n", b"{}\n", b'{"action_id":99}\n', b"\x00" * 7, b"x" * 70_000]


def grown(log: Path, pieces: list[bytes | None]) -> tuple[int, Tail]:
    """A log with two lines and then these pieces, None for a line; with its end before them."""
    log.unlink(missing_ok=True)
    appender = Appender(log)
    for _ in range(2):
        appender.append(ACTION)
    fd = os.open(log, os.O_RDWR | os.O_APPEND)
    known = read_tail(fd)
    for piece in pieces:
        if piece is None:
            Appender(log).append(ACTION)
        else:
            os.write(fd, piece)
    return fd, known


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.none() | st.sampled_from(STRANGE), max_size=5))
def test_end_of_a_grown_log_is_that_of_a_look_from_nothing(
    tmp_path: Path, pieces: list[bytes | None]
) -> None:
    fd, known = grown(tmp_path / "actions.jsonl", pieces)
    assert tail_after(fd, known, os.fstat(fd).st_size) in (None, read_tail(fd))
    os.close(fd)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_lines_of_others_are_found_without_a_look_from_nothing(tmp_path: Path, count: int) -> None:
    fd, known = grown(tmp_path / "actions.jsonl", [None] * count)
    assert tail_after(fd, known, os.fstat(fd).st_size) == read_tail(fd)
    os.close(fd)


@pytest.mark.parametrize("piece", STRANGE)
def test_anything_strange_needs_a_look_from_nothing(tmp_path: Path, piece: bytes) -> None:
    fd, known = grown(tmp_path / "actions.jsonl", [None, piece])
    assert tail_after(fd, known, os.fstat(fd).st_size) is None
    os.close(fd)


def test_another_log_in_the_place_of_the_known_one_needs_a_look_from_nothing(
    tmp_path: Path,
) -> None:
    fd, known = grown(tmp_path / "actions.jsonl", [])
    os.ftruncate(fd, 0)
    for _ in range(5):
        Appender(tmp_path / "actions.jsonl").append(ACTION)
    os.pwrite(fd, b"X", known.size_bytes - 9)
    stale = known._replace(prev="0" * 64)
    assert tail_after(fd, stale, os.fstat(fd).st_size) in (None, read_tail(fd))
    assert tail_after(fd, known, known.size_bytes) is None
    os.close(fd)
