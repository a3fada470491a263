"""Fuzzing with coverage guidance, and that each of its targets can find a broken product."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attacks import fuzz, fuzz_targets
from attacks.effort import Effort
from attacks.fuzz_seeds import SEEDS

from faults.conftest import Score
from projections.batch import decode_lines
from provenance_log import reader, strict_json

SEED = 20260110
INPUTS = 100_000
TOOLS = Path(fuzz.__file__).resolve().parent.parent

needs_atheris = pytest.mark.skipif(
    not fuzz.is_available(), reason="atheris is not installed: pip install 'provenance-log[fuzz]'"
)


@needs_atheris
@pytest.mark.parametrize("target", fuzz.SHARES)
def test_no_input_of_a_target_breaks_a_promise(tmp_path: Path, score: Score, target: str) -> None:
    """A2, A3, A8, A11, B1, B3, D5, F21, F42, F43, F45: see the docstrings of the targets."""
    count = int(INPUTS * fuzz.SHARES[target])
    row = fuzz.fuzz_target(Effort(tmp_path, SEED), target, count)
    assert row.violations or row.runs >= count
    score([row])


BROKEN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from attacks import fuzz_child
from provenance_log import reader

whole = reader._split
reader._split = lambda data, start: whole(data, start)[: 1 if b"\\xff" in data else None]
fuzz_child.main()
"""


@needs_atheris
def test_run_ends_with_the_input_that_broke_a_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B1: a reader that loses lines, in the process that libFuzzer ends."""
    child = tmp_path / "broken.py"
    child.write_text(BROKEN.replace("sys.argv.pop(1)", repr(str(TOOLS))))
    monkeypatch.setattr(fuzz, "_CHILD", child)
    row = fuzz.fuzz_target(Effort(tmp_path, SEED), "reader", 50_000)

    (violation,) = row.violations
    assert "other lines than the bytes have; input " in violation
    assert "ff" in violation.partition("; input ")[2]


def lose_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reader._split
    monkeypatch.setattr(reader, "_split", lambda data, start: whole(data, start)[:1])


def accept_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "_check_numbers", lambda _line: None)
    monkeypatch.setattr(fuzz_targets, "_BATCH", 1)


def redact_the_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    def mark(_self: object, action: dict[str, Any]) -> dict[str, Any]:
        return {**action, "details": {"mark": [action["details"]]}}

    monkeypatch.setattr("provenance_log.redact.Redactor.redact", mark)


def lose_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(*arguments: Any) -> tuple[list[Any], list[Any]]:
        return decode_lines(*arguments)[0], []

    monkeypatch.setattr("projections.following.decode_lines", lossy)
    monkeypatch.setattr(fuzz_targets, "_LOGS_PER_DATABASE", 5)


def give_new_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = "provenance_log.claude_code.actions.ActionWriter"
    monkeypatch.setattr(f"{writer}.id_of", lambda *_arguments: str(uuid.uuid4()))


def record_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "provenance_log.claude_code.arriving"
    monkeypatch.setattr(f"{module}.record_or_spool", lambda *_arguments: None)


@pytest.mark.parametrize(
    ("target", "break_product"),
    [
        ("reader", lose_a_line),
        ("decoder", accept_any_number),
        ("redaction", redact_the_marks),
        ("projector", lose_what_is_refused),
        ("importer", give_new_ids),
        ("hook", record_nothing),
    ],
)
def test_target_finds_a_product_that_is_broken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    break_product: Callable[[pytest.MonkeyPatch], None],
) -> None:
    """A3, A8, A11, B1, B3, D5: with the seeds alone, and numbers that no two parsers agree on."""
    break_product(monkeypatch)
    monkeypatch.setenv("CLAUDE_PROJECT_DIR", "")  # a target sets it, and it is restored
    test_one = fuzz_targets.TARGETS[target](tmp_path)
    inexact = SEEDS["decoder"]()[1].replace(b'"details":{', b'"details":{"a":9007199254740993,')
    with pytest.raises(fuzz_targets.Violated):
        any(map(test_one, (*SEEDS[target](), inexact)))
