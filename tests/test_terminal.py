"""Text, tables and figures as people see them."""

import io
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance_log.terminal import (
    count,
    display_width,
    duration,
    elide,
    escape,
    progress,
    size,
    table,
)

HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
HIDDEN_ELSEWHERE = "\u034f\u115f\u1160\u17b4\u180b\u3164\uffa0\ufe00\U000e0100\U000e01ef"

# Texts with many of the characters that matter.
nasty_text = st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\x7f\u202e\u200b\n漢…é")))


def test_every_control_and_invisible_character_becomes_an_escape() -> None:
    """S1, over all of Unicode as this Python knows it."""
    everything = map(chr, range(sys.maxunicode + 1))
    hidden = [c for c in everything if unicodedata.category(c) in HIDDEN_CATEGORIES]
    for character in (*hidden, *HIDDEN_ELSEWHERE):
        shown = escape(character)
        assert shown.isascii(), f"U+{ord(character):04X} shows as {shown!r}"
        assert shown.isprintable()
        assert shown.startswith("\\")


@given(nasty_text)
def test_escaped_text_can_be_printed_and_acts_on_nothing(text: str) -> None:
    """S1: no character of the result is a control character, and it encodes."""
    shown = escape(text)
    assert {unicodedata.category(c) for c in shown} & HIDDEN_CATEGORIES == set()
    shown.encode("utf-8")
    assert escape(shown) == shown


@given(st.text(st.characters(categories=("L", "N", "P", "S"), max_codepoint=0x10FF)))
def test_visible_text_is_unchanged(text: str) -> None:
    assert escape(text.replace("\u115f", "").replace("\u1160", "")) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("naïve 漢字 ❤️", "naïve 漢字 ❤️"),
        ("C:\\temp", "C:\\temp"),
    ],
)
def test_escape_examples(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_characters_to_keep_are_kept() -> None:
    assert escape("one\ntwo\x1b", keep="\n") == "one\ntwo\\x1b"


def test_table_aligns_text_left_and_numbers_right() -> None:
    rows = [("Read", 7, "1.2 s"), ("mcp__x", 1200, None), ("漢字", None, "340 ms")]

    assert table(("tool", "calls", "mean"), rows, width=80).splitlines() == [
        "tool    calls    mean",
        "Read        7   1.2 s",
        "mcp__x   1200",
        "漢字           340 ms",
    ]


def test_table_narrows_its_widest_text_column_first() -> None:
    rows = [("short", "a long description of what happened", 12)]

    assert table(("name", "text", "n"), rows, width=26).splitlines() == [
        "name   text              n",
        "short  a long descrip…  12",
    ]


def test_table_without_rows_is_its_header() -> None:
    assert table(("a", "b"), [], width=80) == "a  b"


def test_table_into_a_pipe_loses_nothing() -> None:
    text = "x" * 5_000
    assert text in table(("text",), [(text,)])


@given(
    st.lists(st.tuples(nasty_text, st.integers(0, 999), nasty_text), max_size=5),
    st.integers(40, 120),
)
def test_no_line_of_a_table_is_wider_than_the_terminal(
    rows: list[tuple[str, int, str]], width: int
) -> None:
    """S1: a cell can neither add a line nor push one out of the terminal."""
    lines = table(("one", "two", "three"), rows, width=width).splitlines()

    assert len(lines) == len(rows) + 1
    assert max(map(display_width, lines)) <= width


@given(nasty_text, st.integers(1, 40))
def test_elided_text_fits_and_is_a_beginning(text: str, width: int) -> None:
    shown = escape(text)
    cut = elide(shown, width)

    assert display_width(cut) <= width
    assert cut == shown or (cut.endswith("…") and shown.startswith(cut[:-1]))


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (None, ""),
        (0, "0 ms"),
        (999, "999 ms"),
        (999.6, "1.0 s"),
        (1_234, "1.2 s"),
        (59_949, "59.9 s"),
        (59_960, "1 m 00 s"),
        (184_000, "3 m 04 s"),
        (3_599_600, "1 h 00 m"),
        (7_500_000, "2 h 05 m"),
        (86_399_999, "1 d 00 h"),
        (273_600_000, "3 d 04 h"),
    ],
)
def test_duration(ms: float | None, shown: str) -> None:
    assert duration(ms) == shown


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (53_100_000, "53.1 MB"),
        (10**18, "1,000.0 PB"),
    ],
)
def test_size(size_bytes: int | None, shown: str) -> None:
    assert size(size_bytes) == shown


def test_count_sets_thousands_apart() -> None:
    assert (count(64_000), count(0), count(None)) == ("64,000", "0", "")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())

    with progress("rebuilding") as advance:
        advance(1, 4)
        advance(4, 4)

    assert "rebuilding" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_progress_writes_nothing_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())

    with progress("rebuilding") as advance:
        advance(1, 4)

    assert file.getvalue() == ""


def test_table_fits_the_terminal_it_is_printed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "20")

    assert display_width(table(("text",), [("x" * 50,)]).splitlines()[1]) == 20
