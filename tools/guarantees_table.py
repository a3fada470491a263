"""Write the last part of docs/guarantees.md: which tests attack which invariant.

`make docs` writes it; tests/test_guarantees.py fails while it differs from what this gives.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENT = REPOSITORY / "docs" / "guarantees.md"
HEADING = "## Tests\n\nMade by `make docs` from the docstrings of the tests.\n\n"
_ID = re.compile(r"\b[A-ES]\d{1,2}\b")
_ROW = re.compile(r"^\| ([A-ES]\d{1,2}) \|", re.MULTILINE)


def main() -> None:
    """Write the document with its table."""
    text, _, _ = DOCUMENT.read_text("utf-8").partition(HEADING)
    DOCUMENT.write_text(text + HEADING + table(text), "utf-8")


def invariants(text: str) -> list[str]:
    """Return the invariants that the document states, in its order."""
    return _ROW.findall(text)


def cited(docstring: str | None) -> list[str]:
    """Return what may be an invariant in the docstring of a test."""
    return _ID.findall(docstring or "")


def all_tests() -> Iterator[tuple[Path, str, str | None]]:
    """Yield every test with its file and its docstring, in a fixed order."""
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield path, node.name, ast.get_docstring(node)


def promises(text: str) -> dict[str, list[str]]:
    """Return the invariants behind each promise of the document."""
    parts = re.split(r"^### (G\d+) ", text, flags=re.MULTILINE)[1:]
    return {
        number: _ID.findall(part.partition("Invariants:")[2].partition("\n")[0])
        for number, part in zip(parts[::2], parts[1::2], strict=True)
    }


def citations() -> dict[str, dict[bool, Counter[str]]]:
    """Count the tests of each file that cite an invariant, those of the fault suite apart."""
    found: dict[str, dict[bool, Counter[str]]] = {}
    for path, _, docstring in all_tests():
        for invariant in set(cited(docstring)):
            kinds = found.setdefault(invariant, {True: Counter(), False: Counter()})
            kinds[path.parent.name == "faults"][path.name] += 1
    return found


def table(text: str) -> str:
    """Return the table of the invariants that the document states, with the tests that cite it."""
    behind = promises(text)
    cited_by = citations()
    heads = ("invariant", "promise", "fault suite, tests per file", "default suite")
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|"]
    for name in invariants(text):
        counts = cited_by.get(name, {True: Counter(), False: Counter()})
        cells = [", ".join(number for number, names in behind.items() if name in names)]
        cells += [_listed(counts[True]), _listed(counts[False])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"`{file}` {count}" for file, count in counts.items())


if __name__ == "__main__":
    main()
