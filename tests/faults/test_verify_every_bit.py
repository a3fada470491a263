"""Every single change of one bit, line or length in a log of 8 KiB is found, and its place named.

Exhaustive where tests/test_verifying.py samples: 65,536 flipped bits, every line lost, doubled
and swapped with every other, every cut, and a chain computed anew (invariants E2, E4; F70, F71).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import orjson
import pytest
from log_cases import line

from provenance_log.anchors import Anchor
from provenance_log.format import GENESIS_PREV, line_hash
from provenance_log.verifying import (
    EXIT_DAMAGED,
    EXIT_OK,
    EXIT_TAMPERED,
    NOT_PROVED_END,
    Report,
    verify_log,
)

SIZE_BYTES = 8192
LINE_COUNT = 30


def session_of_8_kib() -> list[bytes]:
    """Chained lines with a text each, of which the last fills up the size."""
    lines: list[bytes] = []
    prev = GENESIS_PREV
    for number in range(1, LINE_COUNT + 1):
        content = line(number, prev, details={"input_params": {"command": f"step {number}"}})
        if number == LINE_COUNT:
            missing = SIZE_BYTES - sum(map(len, lines)) - len(content) - 1
            command = f"step {number}".ljust(missing + len(f"step {number}"), "x")
            content = line(number, prev, details={"input_params": {"command": command}})
        lines.append(content + b"\n")
        prev = line_hash(content)
    return lines


LINES = session_of_8_kib()
CONTENT = b"".join(LINES)
ANCHOR = Anchor(line_hash(LINES[-1][:-1]), len(LINES), len(CONTENT))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "session" / "actions.jsonl"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def test_the_session_has_8_kib_and_is_ok_before_it_is_changed(log: Path) -> None:
    """E2."""
    assert len(CONTENT) == SIZE_BYTES
    assert (verify_log(log, ANCHOR).verdict, len(LINES)) == ("OK", LINE_COUNT)


def misplaced(report: Report, first_changed: int) -> str | None:
    """What is wrong with a report on a log whose first changed line is this one."""
    bad = report.first_bad
    if bad is None or report.exit_code not in {EXIT_TAMPERED, EXIT_DAMAGED}:
        return f"not detected: {report.verdict}"
    # A change of a line may show in the link of the line after it, and there only.
    if bad.line not in {first_changed, first_changed + 1}:
        return f"line {bad.line} instead of {first_changed}"
    return None


def test_each_of_65_536_flipped_bits_is_detected_and_located(log: Path) -> None:
    """E2."""
    missed = []
    run_count = 0
    fd = os.open(log, os.O_WRONLY)
    for position, value in enumerate(CONTENT):
        changed_line = CONTENT.count(b"\n", 0, position) + 1
        for bit in range(8):
            os.pwrite(fd, bytes([value ^ 1 << bit]), position)
            run_count += 1
            wrong = misplaced(verify_log(log, ANCHOR), changed_line)
            if wrong is not None:
                missed.append((position, bit, wrong))
        os.pwrite(fd, bytes([value]), position)
    os.close(fd)

    assert (missed, run_count) == ([], 65_536)
    assert log.read_bytes() == CONTENT


def edits() -> Iterator[tuple[str, list[bytes], int]]:
    """Every edit of whole lines: its name, the lines after it, the first line that is changed."""
    for index in range(LINE_COUNT):
        yield f"{index + 1} deleted", LINES[:index] + LINES[index + 1 :], index + 1
        yield f"{index + 1} doubled", LINES[: index + 1] + LINES[index:], index + 2
    for first, second in combinations(range(LINE_COUNT), 2):
        swapped = list(LINES)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        yield f"{first + 1} and {second + 1} swapped", swapped, first + 1


def test_each_line_deleted_doubled_and_swapped_is_detected_and_located(log: Path) -> None:
    """E2."""
    missed = []
    names = []
    for name, lines, first_changed in edits():
        log.write_bytes(b"".join(lines))
        names.append(name)
        wrong = misplaced(verify_log(log, ANCHOR), first_changed)
        if wrong is not None:
            missed.append((name, wrong))

    assert missed == []
    assert len(names) == 2 * LINE_COUNT + LINE_COUNT * (LINE_COUNT - 1) // 2


def test_each_truncation_is_detected_with_an_anchor_and_said_not_to_be_proved_without(
    log: Path,
) -> None:
    """E2, E4."""
    missed = []
    for size_bytes in range(SIZE_BYTES):
        log.write_bytes(CONTENT[:size_bytes])
        report = verify_log(log, ANCHOR)
        bad = report.first_bad
        expected_line = CONTENT.count(b"\n", 0, size_bytes) + 1
        if (report.verdict, bad and bad.line) != ("TRUNCATED-vs-anchor", expected_line):
            missed.append((size_bytes, report.verdict))
        alone = verify_log(log)
        if alone.exit_code != EXIT_OK or NOT_PROVED_END not in alone.not_proved:
            missed.append((size_bytes, alone.verdict))

    assert missed == []


def recomputed(lines: Sequence[bytes], changed: int) -> bytes:
    """The lines with one of them changed, and a chain that is right again."""
    made: list[bytes] = []
    prev = GENESIS_PREV
    for number, content in enumerate(lines, start=1):
        value = orjson.loads(content) | {"prev": prev}
        if number == changed:
            value["tool"] = "Forged"
        made.append(orjson.dumps(value) + b"\n")
        prev = line_hash(made[-1][:-1])
    return b"".join(made)


def test_each_chain_computed_anew_is_detected_with_an_anchor_and_said_not_to_be_proved_without(
    log: Path,
) -> None:
    """E2, E4: only the anchored line itself can tell: that is where the place is."""
    for number in range(1, LINE_COUNT + 1):
        log.write_bytes(recomputed(LINES, number))

        anchored, alone = verify_log(log, ANCHOR), verify_log(log)
        assert anchored.verdict == "TAMPERED"
        assert anchored.first_bad is not None
        assert anchored.first_bad.line == LINE_COUNT
        assert (alone.verdict, NOT_PROVED_END in alone.not_proved) == ("OK", True)
