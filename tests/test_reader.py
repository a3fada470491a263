"""The reader: bytes and a position in, complete lines and a position out."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import action, chain, line, raw_lines

from provenance_log.appender import Appender
from provenance_log.errors import LineInvalid, LogUnsafe
from provenance_log.format import GENESIS_PREV, READ_LINE_BYTES_MAX, decode, session_id_of_hash
from provenance_log.reader import (
    START,
    Chunk,
    RawLine,
    ReadPosition,
    Tail,
    first_line,
    is_chained,
    open_for_reading,
    read_chunk,
    read_log,
    read_tail,
    session_id_of_log,
)

# Every byte that some other reader takes for the end of a line, and none of ours but \n.
CONTENTS = st.lists(
    st.sampled_from([b"\n", b"\n", b"a", b"\r", b"\x00", "\u2028\u0085\ufeff".encode(), b"\xff"])
    | st.binary(max_size=5),
    max_size=40,
).map(b"".join)


@contextmanager
def opened(path: Path, content: bytes) -> Iterator[int]:
    path.write_bytes(content)
    fd = open_for_reading(path)
    try:
        yield fd
    finally:
        os.close(fd)


def expected_lines(content: bytes) -> list[RawLine]:
    """What the reader must find, told in the plainest way."""
    lines: list[RawLine] = []
    offset, prev = 0, GENESIS_PREV
    for number, text in enumerate(content.split(b"\n")[:-1], start=1):
        digest = hashlib.sha256(text).hexdigest()
        lines.append(RawLine(text, offset, number, len(text), digest, prev))
        offset, prev = offset + len(text) + 1, digest
    return lines


def read_in_chunks(fd: int, start: ReadPosition, bytes_max: int) -> tuple[list[RawLine], Chunk]:
    lines: list[RawLine] = []
    while True:
        chunk = read_chunk(fd, start, bytes_max=bytes_max)
        lines += chunk.lines
        start = chunk.end
        if chunk.at_end:
            return lines, chunk
        assert chunk.lines


@given(content=CONTENTS, bytes_max=st.integers(1, 60), data=st.data())
def test_any_chunk_size_and_any_restart_give_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, bytes_max: int, data: st.DataObject
) -> None:
    """B1: framing is by bytes, only a newline commits, and a position says all there is to know."""
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    expected = expected_lines(content)
    with opened(path, content) as fd:
        lines, last = read_in_chunks(fd, START, bytes_max)
        assert lines == expected
        committed = content.rfind(b"\n") + 1
        head = expected[-1].hash if expected else GENESIS_PREV
        assert last.end == ReadPosition(committed, len(expected), head)
        assert last.tail_bytes == len(content) - committed

        split = data.draw(st.integers(0, len(expected)))
        if split:
            before = expected[split - 1]
            position = ReadPosition(before.offset + before.length + 1, split, before.hash)
        else:
            position = START
        assert read_in_chunks(fd, position, bytes_max)[0] == expected[split:]


@given(content=CONTENTS, cut=st.integers(0, 200))
def test_a_log_read_while_it_grows_gives_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int
) -> None:
    """B1: an unterminated tail is not there yet; nothing of it is skipped or read twice."""
    path = tmp_path_factory.getbasetemp() / "growing.jsonl"
    with opened(path, content[:cut]) as fd:
        lines, last = read_in_chunks(fd, START, 16)
        with path.open("ab") as log:
            log.write(content[cut:])
        lines += read_in_chunks(fd, last.end, 16)[0]

    assert lines == expected_lines(content)


def test_reading_a_log_yields_one_empty_chunk_when_there_is_nothing_new(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo")

    (chunk,) = read_log(log)
    assert [raw.content for raw in chunk.lines] == [b"one"]
    assert (chunk.at_end, chunk.tail_bytes) == (True, 3)
    (again,) = read_log(log, chunk.end)
    assert (again.lines, again.end, again.tail_bytes) == ((), chunk.end, 3)


def test_a_reader_beyond_the_end_of_a_truncated_log_finds_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "log", b"one\n") as fd:
        chunk = read_chunk(fd, ReadPosition(1_000, 10, "ab"))

    assert chunk == Chunk((), ReadPosition(1_000, 10, "ab"), at_end=True, tail_bytes=0)


@pytest.mark.parametrize("has_newline", [True, False])
def test_a_line_of_100_mb_costs_no_more_memory_than_the_limit_of_a_line(
    tmp_path: Path, has_newline: bool
) -> None:
    """B11, F42: with its newline it is a line without content, without one it is a tail."""
    log = tmp_path / "log"
    log.write_bytes(line() + b"\n")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size + 100_000_000)  # a hole, which reads as NUL bytes
        file.seek(0, os.SEEK_END)
        if has_newline:
            file.write(b"\n" + line(2) + b"\n")
    script = """if True:
        import resource, sys
        from pathlib import Path
        from provenance_log.appender import Appender
        from provenance_log.reader import read_log
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for chunk in read_log(Path(sys.argv[1])):
            for raw in chunk.lines:
                print(raw.line_number, raw.length, raw.content is None)
            tail_bytes = chunk.tail_bytes
        print("tail", tail_bytes)
        action = {"type": "read", "tool": "Read", "status": "success"}
        print("next", Appender(Path(sys.argv[1])).append(action).action_id)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", script, str(log)], capture_output=True, text=True, check=True
    )

    *found, grown_mib = done.stdout.splitlines()
    first = f"1 {len(line())} False"
    if has_newline:
        assert found == [first, "2 100000000 True", f"3 {len(line(2))} False", "tail 0", "next 3"]
    else:
        assert found == [first, "tail 100000000", "next 2"]
    assert int(grown_mib) < 64


def test_a_line_at_the_limit_has_content_and_one_byte_more_has_not(tmp_path: Path) -> None:
    limit = READ_LINE_BYTES_MAX
    log = tmp_path / "log"
    log.write_bytes(b"a" * limit + b"\n" + b"b" * (limit + 1) + b"\nend\n")

    for bytes_max in (1024 * 1024, 64 * 1024 * 1024):
        lines = [raw for chunk in read_log(log, bytes_max=bytes_max) for raw in chunk.lines]
        assert [raw.content and len(raw.content) for raw in lines] == [limit, None, 3]
        assert [raw.length for raw in lines] == [limit, limit + 1, 3]
        assert lines[1].hash == hashlib.sha256(b"b" * (limit + 1)).hexdigest() == lines[2].prev


def test_a_chained_line_names_the_hash_of_the_line_before_whatever_that_is(tmp_path: Path) -> None:
    """A6."""
    log = tmp_path / "log"
    appender = Appender(log)
    appender.append(action())
    with log.open("ab") as file:
        file.write(b"\nnoise\r\n" + line(9) + b"\n")
    appender.append(action())
    appender.append(action())

    lines = raw_lines(log)
    chained = [
        is_chained(decode(raw.content), raw)
        for raw in lines
        if raw.content and raw.content.startswith(b"{")
    ]
    assert chained == [True, False, True, True]
    assert [raw.content for raw in lines[1:3]] == [b"", b"noise\r"]


def test_the_first_line_is_the_first_that_is_not_blank(tmp_path: Path) -> None:
    filler = b"\n \r\n" * 50_000
    for content, expected in [
        (b"", None),
        (b"\n\n", None),
        (b"torn", None),
        (b"noise\n" + line(), b"noise"),
        (filler + line() + b"\nmore\n", line()),
    ]:
        with opened(tmp_path / "log", content) as fd:
            raw = first_line(fd)
        assert (raw and raw.content) == expected


def test_a_session_whose_first_line_is_too_long_is_named_by_its_hash(tmp_path: Path) -> None:
    with opened(tmp_path / "log", b"x" * (READ_LINE_BYTES_MAX + 1) + b"\n") as fd:
        raw = first_line(fd)

    assert raw is not None
    assert session_id_of_log(raw) == session_id_of_hash(raw.hash)


def test_the_tail_is_what_a_whole_reading_would_say(tmp_path: Path) -> None:
    """A5, A6: for every cut of a log, the same hash and number as read from the start.

    The number of a line that is not chained never lowers the count.
    """
    content = b"".join(chain(3)) + b"\n" + line(40) + b"\n" + line(4) + b"\nnoise}\n\n"
    ends = [i for i, byte in enumerate(content) if byte == 0x0A]
    for cut in range(len(content) + 1):
        torn = bool(cut) and cut - 1 not in ends
        with opened(tmp_path / "log", content[:cut]) as fd:
            tail = read_tail(fd)
        expected = expected_lines(content[:cut] + (b"\n" if torn else b""))
        numbers = [number_of(raw.content or b"") for raw in expected]
        head = expected[-1].hash if expected else GENESIS_PREV
        assert tail == Tail(cut, head, max(numbers, default=0), is_torn=torn)


def number_of(content: bytes) -> int:
    try:
        return int(decode(content)["action_id"])
    except LineInvalid:
        return 0


def test_the_tail_of_a_long_old_log_is_found_across_blocks(tmp_path: Path) -> None:
    lines = [
        b'{"timestamp":"2026-01-10T14:30:15Z","action_id":%d,"type":"read","tool":"%b",'
        b'"status":"success"}' % (number, b"t" * (number % 300 + 1))
        for number in (*range(1, 500), 7, 3)
    ]
    content = b"\n".join(lines) + b"\n"
    with opened(tmp_path / "log", content) as fd:
        tail = read_tail(fd)

    head = hashlib.sha256(lines[-1]).hexdigest()
    assert tail == Tail(len(content), head, 499, is_torn=False)


def test_a_log_that_is_no_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A12, F40: opening a pipe for reading would wait for a writer for ever."""
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()

    for name in ("link", "pipe", "directory"):
        with pytest.raises(LogUnsafe):
            list(read_log(tmp_path / name))
    with pytest.raises(LogUnsafe):
        list(read_log(Path("/dev/zero")))
    with pytest.raises(FileNotFoundError):
        list(read_log(tmp_path / "missing"))
