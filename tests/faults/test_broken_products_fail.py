"""The tests of field failures fail where the product does what those others did."""

import subprocess
import sys
from pathlib import Path

import pytest

DOES_NOT_SEAL = """
from provenance_log import appender, reader

whole = reader.read_tail

def unsealed(fd):
    tail = whole(fd)
    return reader.Tail(tail.size_bytes, tail.prev, tail.action_id, is_torn=False)

appender.read_tail = unsealed
"""
LEAVES_A_PREFIX = """
from provenance_log import files

files._cut_back = lambda *_arguments: True
"""
STOPS_AT_A_BAD_LINE = """
from projections import following

whole = following.decode_lines

def first(lines, *rest):
    rows, refused = whole(lines, *rest)
    last = min((row[2] for row in refused), default=10**9)
    return [row for row in rows if row[2] < last], refused

following.decode_lines = first
"""
BROKEN = [
    (DOES_NOT_SEAL, "appending", "cut_by_a_kill or without_its_newline or other_hands", 3),
    (LEAVES_A_PREFIX, "appending", "full_disk_leaves", 1),
    (STOPS_AT_A_BAD_LINE, "reading", "nul_bytes_is_lost or malformed_line", 2),
]


@pytest.mark.parametrize(
    ("fault", "group", "chosen", "count"), BROKEN, ids=["unsealed", "prefix", "stops"]
)
def test_product_that_is_broken_fails(
    fault: str, group: str, chosen: str, count: int, tmp_path: Path
) -> None:
    """A2, A5, B3: an attack that can't fail would show nothing."""
    (tmp_path / "broken_product.py").write_text(fault)
    tests = Path(__file__).with_name(f"test_field_failures_{group}.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "broken_product", "-k", chosen]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tests)],
        cwd=Path(__file__).resolve().parents[2],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if " skipped" in done.stdout:
        pytest.skip("mounting needs root")
    assert f"{count} failed" in done.stdout, done.stdout
