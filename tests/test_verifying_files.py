"""The files that verify opens: logs, the blobs beside them, and manifests with an anchor."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from log_cases import action, line

from provenance_log.anchors import Anchor, anchor_of_manifest
from provenance_log.appender import Appender
from provenance_log.errors import ProvlogError
from provenance_log.format import GENESIS_PREV
from provenance_log.verifying import (
    EXIT_DAMAGED,
    EXIT_TAMPERED,
    EXIT_UNREADABLE,
    verify_log,
)
from provenance_log.verifying_levels import Level

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "session" / "actions.jsonl"
    path.parent.mkdir()
    return path


def level_of_blobs(log: Path) -> Level:
    (found,) = (level for level in verify_log(log).levels if level.name == "blobs")
    return found


@pytest.fixture
def with_blob(log: Path) -> Path:
    """The blob of a log with one payload that is too large for a line."""
    appender = Appender(log)
    appender.append(action(details={"output_data": "x" * 2_000_000}))
    appender.close()
    (blob,) = (log.parent / "blobs").iterdir()
    return blob


def test_blob_that_is_there_and_unchanged_is_ok(log: Path, with_blob: Path) -> None:
    assert with_blob.stat().st_size == 2_000_000
    report = verify_log(log)
    assert (report.verdict, level_of_blobs(log).text) == ("OK", "1 reference")


def test_changed_blob_is_tampering(log: Path, with_blob: Path) -> None:
    for content in (b"y" + b"x" * 1_999_999, b"x" * 1_999_999, b""):
        with_blob.write_bytes(content)
        report = verify_log(log)
        assert (report.verdict, report.exit_code) == ("TAMPERED", EXIT_TAMPERED)
        assert (level_of_blobs(log).line, level_of_blobs(log).offset) == (1, 0)
        assert with_blob.name in level_of_blobs(log).text


def test_reference_with_another_size_than_its_blob_is_tampering(log: Path) -> None:
    (log.parent / "blobs").mkdir()
    digest = hashlib.sha256(b"abc").hexdigest()
    (log.parent / "blobs" / digest).write_bytes(b"abc")

    for size_bytes, verdict in ((3, "OK"), (4, "TAMPERED")):
        log.write_bytes(line(details={"a": {"blob": digest, "bytes": size_bytes}}) + b"\n")
        assert verify_log(log).verdict == verdict
    assert "has 3 bytes, not 4" in level_of_blobs(log).text


def test_missing_blob_is_damage(log: Path, with_blob: Path) -> None:
    with_blob.unlink()
    report = verify_log(log)
    assert (report.verdict, report.exit_code) == ("BLOBS-MISSING(1)", EXIT_DAMAGED)


def test_blob_behind_a_symlink_is_not_followed(log: Path, with_blob: Path) -> None:
    """A link may lead anywhere, to a device that never ends for example."""
    elsewhere = with_blob.rename(log.parent / "elsewhere")
    with_blob.symlink_to(elsewhere)
    assert verify_log(log).exit_code == EXIT_UNREADABLE

    with_blob.unlink()
    elsewhere.rename(with_blob)
    directory = with_blob.parent.rename(log.parent / "moved")
    with_blob.parent.symlink_to(directory)
    report = verify_log(log)
    assert (report.verdict, report.exit_code) == ("UNKNOWN", EXIT_UNREADABLE)
    assert "symlink" in level_of_blobs(log).text


def test_data_that_only_looks_like_a_reference_is_no_blob(log: Path) -> None:
    looking_alike = {
        "a": {"blob": "../../secret", "bytes": 3},
        "b": {"blob": "A" * 64, "bytes": 3},
        "c": {"blob": "1" * 64, "bytes": True},
        "d": {"blob": 1, "bytes": 3},
        "e": {"deeper": {"blob": "1" * 64, "bytes": 3}},
    }
    log.write_bytes(line(details=looking_alike) + b"\n")
    assert (verify_log(log).verdict, level_of_blobs(log).text) == ("OK", "0 references")


@pytest.mark.parametrize("kind", ["missing", "directory", "symlink", "pipe"])
def test_log_that_is_no_plain_file_is_unknown(log: Path, kind: str) -> None:
    if kind == "directory":
        log.mkdir()
    elif kind == "symlink":
        log.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(log)
    report = verify_log(log)

    assert (report.verdict, report.exit_code) == ("UNKNOWN", EXIT_UNREADABLE)
    assert [level.state for level in report.levels] == ["unreadable", *["unknown"] * 5]


def test_verify_writes_nothing_and_needs_no_leave_to_write(log: Path, with_blob: Path) -> None:
    """E1: it also works where nothing can be written."""
    for path in (log, with_blob, with_blob.parent, log.parent):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in log.parent.rglob("*")}

    assert verify_log(log, Anchor(GENESIS_PREV, 0, 0)).verdict == "OK"

    after = {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in log.parent.rglob("*")}
    assert after == before
    for path in (log.parent, with_blob.parent):
        path.chmod(0o700)


def test_anchor_is_read_from_the_block_that_this_program_writes() -> None:
    head = "0123456789abcdef" * 4
    for shown in (head, f'"{head}"'):
        manifest = (
            f"goals:\n- log\nlog:\n  lines: 3\n  bytes: 99\n  head: {shown}\n  unchained: 0\n"
        )
        for content in (manifest, manifest.replace("\n", "\r\n")):
            assert anchor_of_manifest(content.encode()) == Anchor(head, 3, 99)
    assert anchor_of_manifest(b"") is None
    assert anchor_of_manifest(b"session:\n  log:\n    lines: 3\n") is None


@pytest.mark.parametrize(
    "content",
    [
        "log:\n  lines: 3\n  bytes: 99\n",
        "log:\n  lines: null\n  bytes: 99\n  head: null\n",
        f"log:\n  lines: 3\n  lines: 4\n  bytes: 99\n  head: {'a' * 64}\n",
        f"log:\n  lines: {'a' * 64}\n  bytes: 99\n  head: {'a' * 64}\n",
        f"log:\n  lines: {'9' * 16}\n  bytes: 99\n  head: {'a' * 64}\n",
        f"log:\n  lines: 3\n  bytes: 99\n  head: {'a' * 64}\nlog:\n  lines: 3\n",
        "log:\n" + "#" * 5_000_000,
    ],
)
def test_block_that_is_no_anchor_is_refused_and_not_passed_over(content: str) -> None:
    """S4: keys that are there twice, and what is too large."""
    with pytest.raises(ProvlogError):
        anchor_of_manifest(content.encode())
