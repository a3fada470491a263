"""Every cut and bit of a small log, and lines for three parsers; and that each attack can fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attacks import poison_lines, poison_logs
from attacks.effort import Effort
from attacks.scoring import Attacked

from faults.conftest import Score
from projections.batch import decode_lines
from provenance_log import strict_json
from provenance_log.reader import Tail

SEED = 20260110


def test_every_cut_of_a_log_of_8_kib_is_sealed_and_costs_nothing_else(
    tmp_path: Path, score: Score
) -> None:
    """A5, B1, F03: 8,193 cuts, each with an append after it."""
    rows = poison_logs.cuts_then_append(Effort(tmp_path, SEED))
    assert [row.runs for row in rows] == [8_193]
    score(rows)


def test_every_flipped_bit_is_classified_the_same_by_all_who_read(
    tmp_path: Path, score: Score
) -> None:
    """B1, B3, F70: 65,536 bits, before the reader, `verify`, the projector and Python."""
    rows = poison_logs.flipped_bits(Effort(tmp_path, SEED))
    assert [row.runs for row in rows] == [65_536]
    score(rows)


def test_flipped_bits_in_thousands_of_sessions_are_in_the_tables_as_the_reader_has_them(
    tmp_path: Path, score: Score
) -> None:
    """B3, F54: one bit of every byte, a session each."""
    rows = poison_logs.flips_projected(Effort(tmp_path, SEED))
    assert [row.runs for row in rows] == [8_192]
    score(rows)


def test_lines_that_are_accepted_are_one_value_to_python_duckdb_and_jq(
    tmp_path: Path, score: Score
) -> None:
    """A3, B3, F43: generated lines, half of them hostile."""
    score(poison_lines.parsers(Effort(tmp_path, SEED, times=8)))


def accept_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "_check_numbers", lambda _line: None)


def do_not_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "provenance_log.appender"
    monkeypatch.setattr(f"{module}.read_tail", lambda _fd: Tail(0, "0" * 64, 0, is_torn=False))


def lose_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(*arguments: Any) -> tuple[list[Any], list[Any]]:
        rows, refused = decode_lines(*arguments)
        return rows, refused[1:]

    monkeypatch.setattr("projections.following.decode_lines", lossy)
    monkeypatch.setattr("attacks.poison_logs.decode_lines", lossy)


@pytest.mark.parametrize(
    ("attack", "break_product", "times"),
    [
        (poison_logs.cuts_then_append, do_not_seal, 20),
        (poison_logs.flipped_bits, lose_rows, 200),
        (poison_logs.flips_projected, lose_rows, 60),
        (poison_lines.parsers, accept_any_number, 1),
    ],
)
def test_attack_finds_a_product_that_is_broken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attack: Callable[[Effort], list[Attacked]],
    break_product: Callable[[pytest.MonkeyPatch], None],
    times: int,
) -> None:
    """A3, A5, B3: an attack that can't fail would show nothing."""
    break_product(monkeypatch)
    (row,) = attack(Effort(tmp_path, SEED, times=times))
    assert row.violations
