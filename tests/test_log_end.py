"""What a writer of one line may ask the end of a log, and what it appends for the answer."""

import fcntl
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import read_all

from provenance_log.appender import Appender
from provenance_log.errors import LockHeld
from provenance_log.log_end import WINDOW_BYTES, LogEnd
from provenance_log.reader import lines_backwards, lines_with

ACTION: dict[str, Any] = {"type": "read", "tool": "Read", "status": "success"}


def named(name: str) -> dict[str, Any]:
    return {**ACTION, "event_name": name}


def test_a_plan_sees_the_log_and_what_it_returns_is_appended(tmp_path: Path) -> None:
    appender = Appender(tmp_path / "log")
    appender.append(named("one"))

    def plan(log_end: LogEnd) -> list[dict[str, Any]]:
        return [named("after " + one["event_name"]) for one in log_end.recent()]

    assert [one.action_id for one in appender.append_planned(plan)] == [2]
    assert [one.action_id for one in appender.append_planned(plan, durability="disk")] == [3, 4]
    names = [line["event_name"] for line in read_all(tmp_path / "log").values]
    assert names == ["one", "after one", "after after one", "after one"]
    assert appender.append_planned(lambda _end: []) == []


def test_a_plan_that_fails_leaves_the_log_as_it_was_and_unlocked(tmp_path: Path) -> None:
    """A2."""
    appender = Appender(tmp_path / "log")
    appender.append(ACTION)
    before = (tmp_path / "log").read_bytes()
    with pytest.raises(ZeroDivisionError):
        appender.append_planned(lambda _end: [ACTION, 1 / 0])  # type: ignore[list-item]
    assert (tmp_path / "log").read_bytes() == before
    assert Appender(tmp_path / "log").append_planned(lambda _end: [ACTION], wait_s=0)


def test_a_torn_tail_is_sealed_before_the_plan_looks(tmp_path: Path) -> None:
    """A5: the fragment may be the very line, whole but for its newline."""
    Appender(tmp_path / "log").append(named("whole"))
    content = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(content[:-1])
    seen: list[str] = []

    def plan(log_end: LogEnd) -> list[dict[str, Any]]:
        seen.extend(one["event_name"] for one in log_end.recent())
        return [ACTION]

    Appender(tmp_path / "log").append_planned(plan)
    assert seen == ["whole"]
    assert len(read_all(tmp_path / "log").values) == 2


def test_a_lock_that_stays_held_is_waited_for_as_long_as_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Appender(path).append(ACTION)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = time.monotonic()
        with pytest.raises(LockHeld) as raised:
            Appender(path).append_planned(lambda _end: [ACTION], wait_s=0.1)
        assert time.monotonic() - started >= 0.1
    assert raised.value.message == "another process has held it for 0.1 s"
    assert Appender(path).append_planned(lambda _end: [ACTION], wait_s=0)[0].action_id == 2


def test_recent_lines_end_where_the_window_ends_and_all_lines_do_not(tmp_path: Path) -> None:
    appender = Appender(tmp_path / "log")
    appender.append(named("first"))
    for _ in range(1 + WINDOW_BYTES // 900_000):
        appender.append({**ACTION, "details": {"text": "x" * 900_000}})
    with (tmp_path / "log").open("ab") as file:
        file.write(b"no action: first\n")
    with (tmp_path / "log").open("rb") as file:
        log_end = LogEnd(file.fileno())
        assert list(log_end.recent(b"first")) == []
        assert len(list(log_end.recent())) == WINDOW_BYTES // 900_000
        assert [one["event_name"] for one in log_end.all_with(b"first")] == ["first"]
        assert (log_end.mentions("first"), log_end.mentions("second")) == (True, False)


LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=20)


@given(LINES, st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), st.data())
def test_looking_from_either_end_finds_the_complete_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], tail: bytes, data: st.DataObject
) -> None:
    """B1: framing is by bytes, and a tail without its newline is not there yet."""
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + tail)
    needle = data.draw(st.sampled_from([b"", b"\x00", b"a", *lines]))
    with path.open("rb") as file:
        assert list(lines_backwards(file.fileno(), 10_000)) == lines[::-1]
        assert list(lines_with(file.fileno(), needle)) == [one for one in lines if needle in one]
