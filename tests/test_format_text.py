"""FORMAT.md says what the code does."""

import hashlib
import re
from pathlib import Path

import pytest

from provenance_log import format as format_module
from provenance_log.format import (
    ACTION_TYPES,
    COLUMN_INTEGER_MAX,
    EVENT_TYPES,
    GENESIS_PREV,
    LINE_BYTES_MAX,
    OPTIONAL,
    READ_LINE_BYTES_MAX,
    REASONS,
    REQUIRED,
    SCHEMA_VERSION,
    SESSION_NAMESPACE,
    STATUSES,
    decode,
    encode,
    line_hash,
)
from provenance_log.strict_json import DEPTH_MAX


@pytest.fixture(scope="module")
def format_text() -> str:
    return (Path(format_module.__file__).parent / "FORMAT.md").read_text("utf-8")


def test_the_worked_example_of_the_format_text_is_true(format_text: str) -> None:
    """FORMAT.md shows three lines: each is what the code writes, and each names the one before."""
    example = format_text.split("```jsonl\n")[1].split("```", maxsplit=1)[0].encode()
    hashes = re.findall(r"^\d\. `([0-9a-f]{64})`$", format_text, re.MULTILINE)

    lines = example.splitlines()
    assert [hashlib.sha256(content).hexdigest() for content in lines] == hashes
    prev = GENESIS_PREV
    for number, content in enumerate(lines, start=1):
        value = decode(content)
        assert (value.pop("action_id"), value.pop("prev")) == (number, prev)
        assert encode(value, action_id=number, prev=prev) == content
        prev = line_hash(content)
    assert len(lines) == 3
    session = decode(lines[0])["details"]["session"]
    assert f"`{session['session_id']}`" in format_text
    assert session["schema_version"] == SCHEMA_VERSION


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    table = text.split(heading)[1].split("\n\n")
    rows = next(part for part in table if part.startswith("|")).splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_tables_of_the_format_text_are_those_of_the_code(format_text: str) -> None:
    keys = rows_of(format_text, "## Keys")
    reasons = rows_of(format_text, "The reason of a bad line")

    assert [row[0] for row in keys] == [f"`{key}`" for key in (REQUIRED | OPTIONAL)]
    assert {row[0] for row in keys if row[1] == "yes"} == {f"`{key}`" for key in REQUIRED}
    assert {row[0] for row in reasons} == {f"`{reason}`" for reason in REASONS}
    for number in (LINE_BYTES_MAX, READ_LINE_BYTES_MAX, COLUMN_INTEGER_MAX):
        assert f"{number:,}" in format_text
    for name in (*ACTION_TYPES, *STATUSES, *EVENT_TYPES, str(SESSION_NAMESPACE), SCHEMA_VERSION):
        assert name in format_text
    assert f"depth | {DEPTH_MAX} |" in format_text
