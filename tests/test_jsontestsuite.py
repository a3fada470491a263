"""The 318 documents of JSONTestSuite as lines between good lines, and inside of good lines."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from log_cases import chain, read_all

from projections.database import connect
from projections.projector import catch_up
from provenance_log.format import decode
from provenance_log.store import Store

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from jsontestsuite_table import ACCEPTED, Verdict, table, verdicts, wrapped


@pytest.fixture(scope="module")
def suite(shared_data: Path) -> Path:
    path = shared_data / "jsontestsuite"
    if not path.is_dir():
        pytest.skip(f"no JSONTestSuite at {path}")
    return path


@pytest.fixture(scope="module")
def accepted(suite: Path) -> dict[str, bytes]:
    """Document → the good line that it is inside of."""
    lines: dict[str, bytes] = {}
    for verdict in verdicts(suite):
        line = wrapped((suite / verdict.name).read_bytes())
        if verdict.inside == ACCEPTED and line is not None:
            lines[verdict.name] = line
    return lines


def test_what_must_be_accepted_is_and_what_must_be_refused_is(suite: Path) -> None:
    """F44."""
    found = verdicts(suite)

    assert len(found) == 318
    assert [verdict for verdict in found if not verdict.is_as_expected] == []
    assert not [verdict for verdict in found if ACCEPTED in verdict.alone]  # none is an action
    # Everything that could be tried inside a line was: newlines are within only a few.
    untried = [verdict.name for verdict in found if not verdict.inside]
    assert len(untried) < 12
    assert sum(verdict.inside == ACCEPTED for verdict in found) > 90


def test_the_table_names_every_document_once(suite: Path) -> None:
    found = verdicts(suite)

    text = table(found)

    assert all(text.count(f"| `{verdict.name}` |") == 1 for verdict in found)
    assert text.endswith("not as expected: 0")
    wrong = table([Verdict("n_x.json", (ACCEPTED,), ACCEPTED), Verdict("y_x.json", (), "not_json")])
    assert wrong.endswith("not as expected: 2")


def test_good_lines_between_the_documents_are_all_read_and_projected(
    store: Store, suite: Path
) -> None:
    """B3, F44: no document stops a reader or the projector, and none costs a neighbour."""
    documents = [path.read_bytes() for path in sorted(suite.iterdir())]
    good = chain(len(documents) + 1)
    content = good[0]
    for document, line in zip(documents, good[1:], strict=True):
        inside = wrapped(document)
        content += document + b"\n" + (inside + b"\n" if inside else b"") + line
    directory = store.sessions_dir / "2026-01-10-14-30"
    directory.mkdir()
    (directory / "actions.jsonl").write_bytes(content)

    reading = read_all(directory / "actions.jsonl")
    report = catch_up(store)

    assert set(good) <= {text + b"\n" for text in reading.good}
    assert len(reading.good) + len(reading.bad) == content.count(b"\n") == report.lines
    with connect(store.database, read_only=True) as connection:
        numbers = [
            number
            for (number,) in connection.execute(
                "SELECT details->>'$.number' FROM provenance_events "
                "WHERE (details->'$.number') IS NOT NULL ORDER BY line_number"
            )
        ]
        quarantine = connection.execute(
            "SELECT line_number, reason FROM provenance_quarantine ORDER BY ALL"
        )
    assert numbers == [str(n) for n in range(1, len(good) + 1)]
    assert quarantine == reading.bad  # SQL takes whatever Python takes


def same(one: Any, other: Any) -> bool:
    """Say whether two parsed values are equal, numbers as 64-bit floats, key order apart."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=0, abs_tol=0)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def test_python_and_jq_read_every_accepted_document_alike(
    tmp_path: Path, accepted: dict[str, bytes]
) -> None:
    """A3, T14."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    log = tmp_path / "log"
    log.write_bytes(b"".join(line + b"\n" for line in accepted.values()))

    done = subprocess.run(
        ["jq", "-ca", ".details.value", str(log)], capture_output=True, check=True
    )

    by_jq = dict(zip(accepted, map(json.loads, done.stdout.splitlines()), strict=True))
    different = [
        name
        for name, line in accepted.items()
        if not same(decode(line)["details"]["value"], by_jq[name])
    ]
    assert different == []


def test_python_and_duckdb_read_every_accepted_document_alike(
    store: Store, accepted: dict[str, bytes]
) -> None:
    """A3, T14: what is in the tables is what Python reads, also where a key is there twice."""
    directory = store.sessions_dir / "2026-01-10-14-30"
    directory.mkdir()
    (directory / "actions.jsonl").write_bytes(b"".join(line + b"\n" for line in accepted.values()))
    catch_up(store)

    with connect(store.database, read_only=True) as connection:
        in_tables = connection.execute(
            "SELECT details->'$.value' FROM provenance_events ORDER BY line_number"
        )
    with duckdb.connect() as connection_in_memory:
        of_lines = [
            connection_in_memory.execute(
                "SELECT json(?)->'$.details.value'", [line.decode()]
            ).fetchall()[0][0]
            for line in accepted.values()
        ]

    assert len(in_tables) == len(accepted)
    different = [
        name
        for (name, line), (in_table,), of_line in zip(
            accepted.items(), in_tables, of_lines, strict=True
        )
        for text in (in_table, of_line)
        if not same(decode(line)["details"]["value"], json.loads(text))
    ]
    assert different == []
