"""Print what becomes of each document of JSONTestSuite as lines of a log, and inside of one.

    python tools/jsontestsuite_table.py ../shared/data/jsontestsuite

A document with newlines is several lines, as a log would see it. Inside, it is the `details.value`
of an otherwise good line; a document that ends with one newline goes there without it, and one
with newlines within can't go there.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from provenance_log.errors import LineInvalid
from provenance_log.format import decode

ACCEPTED = "accepted"
EXPECTED = {"y": "must be accepted", "n": "must be refused", "i": "either"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the reader says of one document."""

    name: str
    alone: tuple[str, ...]
    """`accepted` or the reason of the refusal, for each line that the document is."""
    inside: str
    """The same for the document inside a good line; empty where it has newlines."""

    @property
    def is_as_expected(self) -> bool:
        """Say whether the suite's own expectation is met."""
        expected = {"y": (ACCEPTED, ""), "i": (self.inside,)}.get(self.name[0])
        return self.inside in expected if expected else self.inside != ACCEPTED


def wrapped(document: bytes) -> bytes | None:
    """Return a good line with the document in it; None where that would be several lines."""
    document = document.removesuffix(b"\n")
    if b"\n" in document:
        return None
    start = b'{"timestamp":"2026-01-10T14:30:15.000000Z","action_id":1,"type":"read",'
    return start + b'"tool":"Read","status":"success","details":{"value":%b}}' % document


def verdict_of(line: bytes) -> str:
    """Return `accepted`, or the reason why the line is refused."""
    try:
        decode(line)
    except LineInvalid as error:
        return error.reason
    return ACCEPTED


def verdicts(directory: Path) -> list[Verdict]:
    """Return one verdict per document, in order of names."""
    found: list[Verdict] = []
    for path in sorted(directory.glob("*.json")):
        document = path.read_bytes()
        line = wrapped(document)
        alone = tuple(verdict_of(part) for part in document.split(b"\n"))
        found.append(Verdict(path.name, alone, "" if line is None else verdict_of(line)))
    return found


def table(found: list[Verdict]) -> str:
    """Return the verdicts as a Markdown table, and how many there are of each kind."""
    rows = ["| document | as lines of its own | inside a line |", "|---|---|---|"]
    for verdict in found:
        alone = ", ".join(
            reason if count == 1 else f"{count} × {reason}"
            for reason, count in Counter(verdict.alone).items()
        )
        rows.append(f"| `{verdict.name}` | {alone} | {verdict.inside or 'has newlines'} |")
    counts = Counter((verdict.name[0], verdict.inside or "has newlines") for verdict in found)
    rows.append("")
    for (kind, outcome), count in sorted(counts.items()):
        rows.append(f"{kind}_ ({EXPECTED[kind]}), {outcome}: {count}")
    rows.append(f"not as expected: {sum(not verdict.is_as_expected for verdict in found)}")
    return "\n".join(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(table(verdicts(Path(sys.argv[1]))))
