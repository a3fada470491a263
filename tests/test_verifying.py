"""Verify finds every change that can be found, names its place, and says what can't be found."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from itertools import combinations
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_cases import TIME, action, chain, line

from provenance_log.anchors import Anchor, anchor_of_hash
from provenance_log.appender import Appender
from provenance_log.format import GENESIS_PREV, READ_LINE_BYTES_MAX, line_hash
from provenance_log.verifying import (
    EXIT_DAMAGED,
    EXIT_OK,
    EXIT_TAMPERED,
    NOT_PROVED_ANCHOR,
    NOT_PROVED_CONTENT,
    NOT_PROVED_END,
    NOT_PROVED_GAP,
    NOT_PROVED_SINCE,
    NOT_PROVED_TRUTH,
    Report,
    verify_log,
)
from provenance_log.verifying_levels import Level

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LINES = chain(6)
CONTENT = b"".join(LINES)
BY_HAND = {"timestamp": TIME, "type": "read", "tool": "Read", "status": "success"}


def anchor_of(content: bytes) -> Anchor:
    """The anchor that a manifest of these bytes, all whole lines, would hold."""
    lines = content.split(b"\n")[:-1]
    return Anchor(line_hash(lines[-1]), len(lines), len(content))


ANCHOR = anchor_of(CONTENT)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "session" / "actions.jsonl"
    path.parent.mkdir()
    return path


def verified(log: Path, content: bytes, anchor: Anchor | None = None) -> Report:
    log.write_bytes(content)
    return verify_log(log, anchor)


def level(report: Report, name: str) -> Level:
    return {found.name: found for found in report.levels}[name]


def states(report: Report) -> list[str]:
    return [found.state for found in report.levels]


def recomputed(lines: Sequence[bytes]) -> list[bytes]:
    """The same actions with a chain that is right again, as a forger would make it."""
    made: list[bytes] = []
    prev = GENESIS_PREV
    for content in lines:
        value = orjson.loads(content) | {"prev": prev}
        made.append(orjson.dumps(value) + b"\n")
        prev = line_hash(made[-1][:-1])
    return made


def by_hand(action_id: int) -> bytes:
    """A line of schema 1.0.0: it names no line before it."""
    return orjson.dumps(BY_HAND | {"action_id": action_id}) + b"\n"


def with_a_gap() -> list[bytes]:
    """Three chained lines, one that was added by hand, and two that are chained to it."""
    lines = [*LINES[:3], by_hand(4)]
    for number in (5, 6):
        lines.append(line(number, line_hash(lines[-1][:-1])) + b"\n")
    return lines


def test_untouched_log_is_ok_with_an_anchor_and_without(log: Path) -> None:
    anchored = verified(log, CONTENT, ANCHOR)

    assert (anchored.verdict, anchored.exit_code) == ("OK", EXIT_OK)
    assert states(anchored) == [*["ok"] * 5, "note"]
    assert anchored.not_proved == (NOT_PROVED_ANCHOR, NOT_PROVED_TRUTH)
    assert anchored.first_bad is None
    assert level(anchored, "anchor").text == f"line 6 is as anchored ({ANCHOR})"
    assert (anchored.line_count, anchored.size_bytes, anchored.head) == (
        *(6, len(CONTENT), ANCHOR.head),
    )

    alone = verified(log, CONTENT)
    assert (alone.verdict, alone.exit_code) == ("OK", EXIT_OK)
    assert states(alone) == ["ok", "ok", "ok", "unknown", "ok", "note"]
    assert alone.not_proved == (NOT_PROVED_END, NOT_PROVED_TRUTH)


def test_every_single_bit_flip_is_detected_and_located(log: Path) -> None:
    """E2: the line named is the flipped one or the next; without an anchor all but the last."""
    verified(log, CONTENT)
    missed = []
    fd = os.open(log, os.O_WRONLY)
    for position in range(len(CONTENT)):
        flipped = CONTENT[:position].count(b"\n") + 1
        for bit in range(8):
            os.pwrite(fd, bytes([CONTENT[position] ^ 1 << bit]), position)
            report = verify_log(log, ANCHOR)
            first = report.first_bad
            if first is None or report.exit_code not in {EXIT_TAMPERED, EXIT_DAMAGED}:
                missed.append((position, bit, "not detected"))
            elif first.line not in {flipped, flipped + 1}:
                missed.append((position, bit, f"line {first.line} instead of {flipped}"))
        os.pwrite(fd, CONTENT[position : position + 1], position)
    os.close(fd)

    assert missed == []
    assert log.read_bytes() == CONTENT


def test_without_an_anchor_only_the_last_line_can_be_flipped_unseen(log: Path) -> None:
    """E2, E4: one bit of each byte; what is not seen is said not to be proved."""
    last_begins = len(CONTENT) - len(LINES[-1])
    unseen = []
    for position in range(len(CONTENT)):
        flipped = bytes([CONTENT[position] ^ 1])
        report = verified(log, CONTENT[:position] + flipped + CONTENT[position + 1 :])
        assert NOT_PROVED_END in report.not_proved
        if report.exit_code == EXIT_OK:
            unseen.append(position)

    assert unseen
    assert min(unseen) >= last_begins


@pytest.mark.parametrize("number", range(1, 7))
def test_deleted_line_is_detected_and_located(log: Path, number: int) -> None:
    content = b"".join(LINES[: number - 1] + LINES[number:])

    report = verified(log, content, ANCHOR)
    assert report.exit_code == EXIT_TAMPERED
    assert report.first_bad is not None
    assert report.first_bad.line == number

    alone = verified(log, content)
    assert level(alone, "chain").line == (None if number == 6 else number)
    assert alone.verdict == ("OK" if number == 6 else "TAMPERED")


@pytest.mark.parametrize("number", range(1, 7))
def test_doubled_line_is_detected_and_located(log: Path, number: int) -> None:
    report = verified(log, b"".join(LINES[:number] + LINES[number - 1 :]))

    assert report.verdict == "TAMPERED"
    assert level(report, "chain").line == number + 1
    offset = sum(map(len, LINES[:number]))
    assert level(report, "chain").offset == offset
    assert report.first_bad == level(report, "chain")


@pytest.mark.parametrize(("first", "second"), list(combinations(range(6), 2)))
def test_swapped_lines_are_detected_and_located(log: Path, first: int, second: int) -> None:
    lines = list(LINES)
    lines[first], lines[second] = lines[second], lines[first]

    report = verified(log, b"".join(lines))

    assert report.verdict == "TAMPERED"
    assert report.first_bad is not None
    assert report.first_bad.line == first + 1


def test_every_truncation_is_detected_with_an_anchor_and_unknown_without(log: Path) -> None:
    """E2, E4: at every byte, so also in the middle of a line and just before a newline."""
    for size_bytes in range(len(CONTENT)):
        cut = CONTENT[:size_bytes]
        report = verified(log, cut, ANCHOR)
        whole = cut.count(b"\n")
        assert (report.verdict, report.exit_code) == ("TRUNCATED-vs-anchor", EXIT_TAMPERED)
        assert level(report, "anchor").line == whole + 1
        assert level(report, "anchor").offset == len(b"".join(LINES[:whole]))
        assert NOT_PROVED_CONTENT in report.not_proved

        alone = verify_log(log)
        torn = size_bytes > 0 and not cut.endswith(b"\n")
        assert alone.verdict == ("OK-unsealed-tail" if torn else "OK")
        assert level(alone, "anchor").state == "unknown"
        assert NOT_PROVED_END in alone.not_proved


def test_chain_computed_anew_is_detected_with_an_anchor_and_unknown_without(log: Path) -> None:
    """E2, E4: a forger who changes one word and all later hashes leaves a chain that is right."""
    for number in range(6):
        lines = list(LINES)
        lines[number] = lines[number].replace(b"Read", b"Bash")
        forged = b"".join(recomputed(lines))
        assert len(forged) == len(CONTENT)

        report = verified(log, forged, ANCHOR)
        assert (report.verdict, report.exit_code) == ("TAMPERED", EXIT_TAMPERED)
        assert level(report, "chain").state == "ok"
        assert level(report, "anchor").line == 6

        alone = verify_log(log)
        assert alone.verdict == "OK"
        assert NOT_PROVED_END in alone.not_proved


def test_line_written_in_another_form_of_the_same_value_is_a_change(log: Path) -> None:
    """E6: the hash is over bytes, so spaces and escapes that mean the same do not pass."""
    for number in range(5):
        lines = list(LINES)
        value = orjson.loads(lines[number])
        lines[number] = orjson.dumps(value).replace(b'"tool":', b'"tool": ') + b"\n"
        assert verified(log, b"".join(lines)).verdict == "TAMPERED"


@settings(max_examples=300)
@given(
    start=st.integers(0, len(CONTENT)),
    removed=st.integers(0, 400),
    added=st.one_of(
        st.binary(max_size=50),
        st.lists(st.sampled_from(LINES), max_size=3).map(b"".join),
    ),
)
def test_any_edit_is_detected_with_an_anchor(
    tmp_path_factory: pytest.TempPathFactory, start: int, removed: int, added: bytes
) -> None:
    edited = CONTENT[:start] + added + CONTENT[start + removed :]
    log = tmp_path_factory.mktemp("edited") / "actions.jsonl"

    report = verified(log, edited, ANCHOR)

    if edited.startswith(CONTENT):
        assert level(report, "anchor").state == "ok"
    else:
        assert report.exit_code in {EXIT_TAMPERED, EXIT_DAMAGED}
        assert level(report, "anchor").state in {"tampered", "truncated"}
        assert report.first_bad is not None
        pairs = enumerate(zip(edited, CONTENT, strict=False))
        same = next((at for at, (a, b) in pairs if a != b), min(len(edited), len(CONTENT)))
        assert (report.first_bad.line or 0) >= CONTENT[:same].count(b"\n") + 1


def test_log_that_has_grown_since_the_anchor_is_ok_and_the_rest_not_anchored(log: Path) -> None:
    report = verified(log, CONTENT, anchor_of(b"".join(LINES[:4])))

    assert (report.verdict, report.exit_code) == ("OK", EXIT_OK)
    assert "line 4 is as anchored" in level(report, "anchor").text
    assert "grown since by 2 lines" in level(report, "anchor").text
    assert report.not_proved == (NOT_PROVED_ANCHOR, NOT_PROVED_SINCE, NOT_PROVED_TRUTH)


def test_hash_alone_is_an_anchor(log: Path) -> None:
    for content in LINES:
        head = anchor_of_hash(line_hash(content[:-1]).upper())
        assert level(verified(log, CONTENT, head), "anchor").state == "ok"

    absent = verified(log, CONTENT, Anchor("1" * 64))
    assert (absent.verdict, absent.exit_code) == ("TRUNCATED-vs-anchor", EXIT_TAMPERED)


def test_anchored_line_at_another_number_or_byte_is_tampering(log: Path) -> None:
    """Two equal lines without `prev` leave every hash right; only number and byte show it."""
    lines = with_a_gap()
    anchor = anchor_of(b"".join(lines))
    doubled = verified(log, b"".join([*lines[:4], lines[3], *lines[4:]]), anchor)

    assert level(doubled, "chain").state == "note"
    assert doubled.verdict == "TAMPERED"
    assert "that line is line 7 now" in level(doubled, "anchor").text


def test_line_lost_before_a_gap_is_tampering_and_no_cut(log: Path) -> None:
    """The log is shorter than the anchor says, but the anchored line is there."""
    lines = with_a_gap()
    report = verified(log, b"".join(lines[:2] + lines[3:]), anchor_of(b"".join(lines)))

    assert level(report, "chain").state == "note"
    assert report.verdict == "TAMPERED"
    assert "that line is line 5 now" in level(report, "anchor").text


def test_edit_before_a_gap_is_seen_by_the_anchor_where_it_changes_the_length(log: Path) -> None:
    """Every hash that is left is right, and so is the number of the anchored line."""
    lines = with_a_gap()
    anchor = anchor_of(b"".join(lines))
    lines[2] = lines[2].replace(b"Read", b"Write")

    report = verified(log, b"".join(lines), anchor)

    assert level(report, "chain").state == "note"
    assert (report.verdict, level(report, "anchor").line) == ("TAMPERED", 6)
    assert "not at its byte" in level(report, "anchor").text


def test_lines_before_a_gap_are_said_not_to_be_held(log: Path) -> None:
    """E4: an edit of equal length just before a line without `prev` leaves no trace at all."""
    lines = with_a_gap()
    anchor = anchor_of(b"".join(lines))
    lines[2] = lines[2].replace(b"Read", b"Bash")

    report = verified(log, b"".join(lines), anchor)

    assert (report.verdict, report.exit_code) == ("OK", EXIT_OK)
    assert NOT_PROVED_GAP in report.not_proved
    assert "it vouches for lines 4 to 6" in level(report, "anchor").text
    assert level(report, "chain").state == "note"
    assert "1 unchained line, first line 4" in level(report, "chain").text


def test_torn_tail_is_normal_and_a_sealed_one_is_in_quarantine(log: Path) -> None:
    torn = verified(log, CONTENT + b'{"timestamp":"2026')
    assert (torn.verdict, torn.exit_code) == ("OK-unsealed-tail", EXIT_OK)
    assert level(torn, "framing").state == "note"
    assert level(torn, "framing").offset == len(CONTENT)

    appender = Appender(log)
    appender.append(action())
    appender.close()
    sealed = verify_log(log)
    assert (sealed.verdict, sealed.exit_code) == ("QUARANTINED(1)", EXIT_DAMAGED)
    assert level(sealed, "schema").line == 7
    assert level(sealed, "schema").offset == len(CONTENT)
    assert "not_json" in level(sealed, "schema").text
    assert level(sealed, "chain").state == "note"


def test_blank_and_endless_lines_are_counted_and_located(log: Path) -> None:
    endless = b"x" * (READ_LINE_BYTES_MAX + 1) + b"\n"
    report = verified(log, CONTENT + b"\n \n" + endless)

    assert (report.verdict, report.exit_code) == ("QUARANTINED(3)", EXIT_DAMAGED)
    assert "9 lines" in level(report, "framing").text
    assert "2 of them blank" in level(report, "framing").text
    assert level(report, "schema").line == 7


def test_log_of_schema_1_0_0_has_no_chain_and_so_no_verdict(log: Path) -> None:
    report = verified(log, b"".join(map(by_hand, range(1, 4))))

    assert (report.verdict, report.exit_code) == ("UNKNOWN", EXIT_OK)
    assert states(report) == ["ok", "ok", "unknown", "unknown", "ok", "note"]
    assert NOT_PROVED_GAP in report.not_proved


def test_unknown_words_and_numbers_that_jump_are_notes(log: Path) -> None:
    strange = orjson.dumps(BY_HAND | {"action_id": 9, "type": "ponder", "status": "odd"})
    report = verified(log, CONTENT + strange + b"\n")

    assert (report.verdict, report.exit_code) == ("OK", EXIT_OK)
    assert level(report, "schema").state == "note"
    assert "2 unknown words, first line 7" in level(report, "schema").text
    assert "1 misplaced number, first line 7" in level(report, "schema").text


def test_memory_does_not_grow_with_the_log(log: Path) -> None:
    """E1: 40 MB of log, of which no more than a few chunks are held at a time."""
    prev = GENESIS_PREV
    with log.open("wb") as file:
        for number in range(1, 401):
            content = line(number, prev, details={"text": "x" * 100_000})
            file.write(content + b"\n")
            prev = hashlib.sha256(content).hexdigest()
    tracemalloc.start()
    report = verify_log(log)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (report.verdict, report.line_count) == ("OK", 400)
    assert peak_bytes < 8_000_000
