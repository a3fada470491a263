"""Damage as data: what is done to a log of six lines, what a reader then finds, how it goes on.

Each case names the lines that stay good, the bad ones with their reason, and those whose chain is
broken, as they are after ten more appends. The field reports that a case stands for are those of
other agents' transcript writers, by project and issue number.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import chain, check_goes_on, read_all

from projections.database import connect
from projections.projector import catch_up
from provenance_log.format import READ_LINE_BYTES_MAX
from provenance_log.store import Store

LINES = chain(6)
Lines = list[bytes]


@dataclass(frozen=True)
class Damage:
    do: Callable[[Lines], bytes]
    good: tuple[int, ...]
    """Numbers of the original lines that are read unchanged, in the order of the log."""
    bad: dict[int, str] = field(default_factory=dict)
    """Line number in the damaged log → reason."""
    unchained: tuple[int, ...] = ()
    edited: int = 0
    """Good lines that are not as they were written."""


def whole(lines: Lines) -> bytes:
    return b"".join(lines)


def middle(count: int) -> Damage:
    """NUL bytes before a line: a block that was never written, with the next append behind it."""
    return Damage(
        lambda lines: whole(lines[:3]) + b"\x00" * count + whole(lines[3:]),
        (1, 2, 3, 5, 6),
        {4: "control_byte"},
        (5,),
    )


def tail(count: int) -> Damage:
    return Damage(
        lambda lines: whole(lines) + b"\x00" * count, (1, 2, 3, 4, 5, 6), {7: "control_byte"}
    )


def overwritten(lines: Lines) -> bytes:
    content = bytearray(whole(lines))
    start = len(whole(lines[:2])) + 40
    content[start : start + 200] = bytes(200)  # the rest of line 3, its newline, part of line 4
    return bytes(content)


def noise(lines: Lines) -> bytes:
    block = random.Random(1).randbytes(5_000).replace(b"\n", b"")
    return whole(lines[:3]) + block + b"\n" + whole(lines[3:])


ALL = (1, 2, 3, 4, 5, 6)
DAMAGES: dict[str, Damage] = {
    "none": Damage(whole, ALL),
    # anthropics/claude-code #81843, #49876, #76059; copilot-cli #2927: NUL runs after a power loss
    **{f"{count} NUL bytes at the tail": tail(count) for count in (200, 700, 9_216, 143_360)},
    **{f"{count} NUL bytes in the middle": middle(count) for count in (200, 700, 9_216, 143_360)},
    "NUL bytes over a newline": Damage(overwritten, (1, 2, 5, 6), {3: "control_byte"}, (4,)),
    # anthropics/claude-code #81843 (21 of 30 bad lines), #52387; copilot-cli #4098: a splice
    "two records spliced": Damage(
        lambda lines: whole(lines[:2]) + lines[2][:50] + whole(lines[3:]),
        (1, 2, 5, 6),
        {3: "not_json"},
        (4,),
    ),
    # anthropics/claude-code #81843 (3 of 30), Runfusion/Fusion #3569: no newline between records
    "a missing newline": Damage(
        lambda lines: whole(lines[:3])[:-1] + whole(lines[3:]), (1, 2, 5, 6), {3: "not_json"}, (4,)
    ),
    "a torn tail": Damage(lambda lines: whole(lines)[:-40], (1, 2, 3, 4, 5), {6: "not_json"}),
    "a last line without its newline": Damage(lambda lines: whole(lines)[:-1], ALL),
    "cut down to nothing": Damage(lambda _: b"", ()),
    "cut at a line": Damage(lambda lines: whole(lines[:4]), (1, 2, 3, 4)),
    "CRLF throughout": Damage(
        lambda lines: whole(lines).replace(b"\n", b"\r\n"), (), {}, (2, 3, 4, 5, 6), edited=6
    ),
    "one CRLF": Damage(
        lambda lines: whole(lines[:2]) + lines[2][:-1] + b"\r\n" + whole(lines[3:]),
        (1, 2, 4, 5, 6),
        {},
        (4,),
        edited=1,
    ),
    "a byte order mark": Damage(
        lambda lines: b"\xef\xbb\xbf" + whole(lines), (2, 3, 4, 5, 6), {1: "not_json"}, (2,)
    ),
    "blank lines": Damage(
        lambda lines: whole(lines[:2]) + b"\n \t\r\n" + whole(lines[2:]),
        ALL,
        {3: "empty", 4: "empty"},
        (5,),
    ),
    "blank lines at the end": Damage(
        lambda lines: whole(lines) + b"\n\n", ALL, {7: "empty", 8: "empty"}
    ),
    "a byte that is not UTF-8": Damage(
        lambda lines: whole(lines[:2]) + lines[2].replace(b"Read", b"R\xffad") + whole(lines[3:]),
        (1, 2, 4, 5, 6),
        {3: "not_utf8"},
        (4,),
    ),
    "a line twice": Damage(
        lambda lines: whole(lines[:3]) + whole(lines[2:]), (1, 2, 3, 3, 4, 5, 6), {}, (4,)
    ),
    "two lines swapped": Damage(
        lambda lines: whole([lines[n] for n in (0, 1, 3, 2, 4, 5)]),
        (1, 2, 4, 3, 5, 6),
        {},
        (3, 4, 5),
    ),
    "the last two lines swapped": Damage(
        lambda lines: whole([lines[n] for n in (0, 1, 2, 3, 5, 4)]), (1, 2, 3, 4, 6, 5), {}, (5, 6)
    ),
    "a line left out": Damage(
        lambda lines: whole(lines[:2] + lines[3:]), (1, 2, 4, 5, 6), {}, (3,)
    ),
    "a line edited": Damage(
        lambda lines: whole(lines).replace(b'"number":3', b'"number":9'),
        (1, 2, 4, 5, 6),
        {},
        (4,),
        edited=1,
    ),
    # The chain can't show this one: it takes a hash kept elsewhere, as a committed manifest does.
    "the last line edited": Damage(
        lambda lines: whole(lines).replace(b'"number":6', b'"number":9'),
        (1, 2, 3, 4, 5),
        edited=1,
    ),
    "binary noise": Damage(noise, ALL, {4: "not_utf8"}, (5,)),
    "a line beyond the reader's limit": Damage(
        lambda lines: (
            whole(lines[:3]) + b"x" * (READ_LINE_BYTES_MAX + 1) + b"\n" + whole(lines[3:])
        ),
        ALL,
        {4: "too_long"},
        (5,),
    ),
    "a line nested 100,000 deep": Damage(
        lambda lines: whole(lines[:3]) + b"[" * 100_000 + b"\n" + whole(lines[3:]),
        ALL,
        {4: "too_deep"},
        (5,),
    ),
    "a foreign line": Damage(
        lambda lines: whole(lines[:3]) + b'{"hello":"world"}\n' + whole(lines[3:]),
        ALL,
        {4: "missing_key"},
        (5,),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_costs_only_the_lines_it_hit_and_the_log_goes_on(store: Store, name: str) -> None:
    """A5, A6, B1, B3: found, located, and never more lost than was hit; the tables agree."""
    damage = DAMAGES[name]
    directory = store.sessions_dir / "2026-01-10-14-30"
    directory.mkdir()
    log = directory / "actions.jsonl"
    damaged = damage.do(list(LINES))
    log.write_bytes(damaged)

    reading = check_goes_on(log)

    assert log.read_bytes().startswith(damaged)  # nothing is ever cut or rewritten
    before = reading.good[:-10]
    unchanged = [LINES.index(content + b"\n") + 1 for content in before if content + b"\n" in LINES]
    assert unchanged == list(damage.good)
    assert len(before) - len(unchanged) == damage.edited
    assert reading.bad == list(damage.bad.items())
    assert reading.unchained == list(damage.unchained)
    new = [value["action_id"] for value in reading.values[-10:]]
    old = [value["action_id"] for value in reading.values[:-10]]
    assert new == list(range(max(old, default=0) + 1, max(old, default=0) + 11))

    report = catch_up(store)
    assert (report.lines, report.problems) == (len(reading.good) + len(reading.bad), ())
    with connect(store.database, read_only=True) as connection:
        chained = dict(
            connection.execute("SELECT line_number, chained FROM provenance_events ORDER BY ALL")
        )
        quarantine = connection.execute(
            "SELECT line_number, reason FROM provenance_quarantine ORDER BY ALL"
        )
    assert len(chained) == len(reading.good)
    assert [number for number, is_chained in chained.items() if not is_chained] == reading.unchained
    assert quarantine == reading.bad


@given(st.data())
def test_always_a_damaged_log_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A5, A6, B1: any bytes in any place, and every line that was not touched is still read."""
    log = tmp_path_factory.mktemp("any") / "actions.jsonl"
    content = b"".join(LINES)
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 300)))
    log.write_bytes(content[:start] + data.draw(st.binary(max_size=20)) + content[end:])

    check_goes_on(log)

    offset = 0
    good = read_all(log).good
    for text in LINES:
        if offset + len(text) <= start or offset > end:
            assert text[:-1] in good
        offset += len(text)
