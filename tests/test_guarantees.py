"""docs/guarantees.md: every promise has its invariants, every invariant its tests, and back."""

import re

import guarantees_table
import pytest
from guarantees_table import DOCUMENT, HEADING, all_tests, citations, cited, invariants, promises

TEXT = DOCUMENT.read_text("utf-8")


def test_every_promise_has_a_level_and_invariants_that_are_stated() -> None:
    parts = re.split(r"^### ", TEXT.partition("\n## Invariants")[0], flags=re.MULTILINE)[1:]
    assert [part.split()[0] for part in parts] == [f"G{n}" for n in range(1, 1 + len(parts))]
    assert [part for part in parts if "\nLevel: " not in part and " Level: " not in part] == []
    behind = promises(TEXT)
    assert [number for number, names in behind.items() if not names] == []
    assert {name for names in behind.values() for name in names} == set(invariants(TEXT))


def test_every_invariant_is_cited_by_a_test() -> None:
    found = citations()  # reads every test
    assert [name for name in invariants(TEXT) if name not in found] == []


def test_every_test_of_the_fault_suite_cites_an_invariant() -> None:
    known = set(invariants(TEXT))
    wrong = [
        f"{path.name}::{name}"
        for path, name, docstring in all_tests()
        if path.parent.name == "faults" and not known & set(cited(docstring))
    ]
    assert wrong == []


def test_no_test_cites_an_invariant_that_is_not_stated() -> None:
    known = set(invariants(TEXT))
    wrong = [
        f"{path.name}::{name}: {found}"
        for path, name, docstring in all_tests()
        for found in cited(docstring)
        if found not in known
    ]
    assert wrong == []


def test_the_table_of_tests_is_up_to_date() -> None:
    text, heading, found = TEXT.partition(HEADING)
    assert heading
    assert found == guarantees_table.table(text), "run `make docs`"


@pytest.mark.parametrize("name", ["A1", "C2"])
def test_an_invariant_without_tests_would_be_seen(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    others = [item for item in all_tests() if name not in cited(item[2])]
    monkeypatch.setattr(guarantees_table, "all_tests", lambda: iter(others))
    assert name not in citations()
