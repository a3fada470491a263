"""Payloads too large for a line: whole, beside it, named by their content."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_cases import action, check_goes_on, raw_lines, read_all

from provenance_log.appender import Appender
from provenance_log.blobs import MOVED_BYTES_MIN, move_large_members, read_blob
from provenance_log.errors import LineInvalid, LogUnsafe, ProvlogError, StoreNotWritable
from provenance_log.format import LINE_BYTES_MAX

MIB = 1024 * 1024


def append(log: Path, **changes: Any) -> dict[str, Any]:
    """Append one action and return the line's value."""
    appender = Appender(log)
    appender.append(action(**changes))
    appender.close()
    assert max(raw.length for raw in raw_lines(log)) <= LINE_BYTES_MAX
    return read_all(log).values[-1]


def blobs_of(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "blobs").iterdir())


@pytest.mark.parametrize(
    ("payload", "media_type"),
    [
        ("é\x00\u2028" * 500_000, "text/plain"),
        ({"stdout": "x" * 2 * MIB, "code": 0}, "application/json"),
        ([{"row": n, "text": "y" * 50} for n in range(30_000)], "application/json"),
    ],
)
def test_an_oversized_payload_is_read_back_equal(
    tmp_path: Path, payload: Any, media_type: str
) -> None:
    """A3."""
    details = append(tmp_path / "log", details={"output_data": payload, "call_id": "c"})["details"]

    reference = details["output_data"]
    content = (tmp_path / "blobs" / reference["blob"]).read_bytes()
    assert reference == {
        "blob": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "media_type": media_type,
    }
    assert details["call_id"] == "c"
    assert read_blob(tmp_path, reference) == payload
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "blobs" / reference["blob"]).stat().st_mode) == 0o600


def test_the_largest_members_move_and_the_small_ones_stay(tmp_path: Path) -> None:
    details = {"a": "a" * 700_000, "b": "b" * 400_000, "c": "c" * 10_000, "d": "d"}

    written = append(tmp_path / "log", details=details)["details"]

    assert written == {**details, "a": written["a"]}
    assert blobs_of(tmp_path) == [written["a"]["blob"]]


def test_the_same_payload_is_kept_once(tmp_path: Path) -> None:
    for _ in range(3):
        append(tmp_path / "log", details={"x": "x" * 2 * MIB, "y": "x" * 2 * MIB})

    assert len(blobs_of(tmp_path)) == 1


def test_a_large_error_moves_as_well(tmp_path: Path) -> None:
    stack = "frame\n" * 400_000

    error = append(tmp_path / "log", error={"message": "no", "stack": stack})["error"]

    assert error["message"] == "no"
    assert read_blob(tmp_path, error["stack"]) == stack


@pytest.mark.parametrize(
    "changes",
    [
        {"details": {f"k{n}": "x" * 100 for n in range(12_000)}},
        {"files_affected": ["a/long/path/to/some/file.txt"] * 50_000},
        {"x_unknown": "x" * 2 * MIB},
    ],
)
def test_what_does_not_fit_even_so_is_refused_and_leaves_no_blob(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """A2."""
    appender = Appender(tmp_path / "log")
    with pytest.raises(LineInvalid) as raised:
        appender.append(action(**changes))

    assert raised.value.reason == "too_long"
    assert list(tmp_path.iterdir()) == []
    check_goes_on(tmp_path / "log")


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), st.integers(0, 600_000)))
def test_always_a_line_fits_or_only_small_members_are_left(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    details = {name: "x" * size for name, size in sizes.items()}

    moved = move_large_members(action(details=details), directory)["details"]

    for name, value in moved.items():
        if isinstance(value, dict):
            assert len(details[name]) + 2 >= MOVED_BYTES_MIN
            assert read_blob(directory, value) == details[name]
        else:
            assert value == details[name]
    assert sum(len(value) for value in moved.values()) < LINE_BYTES_MAX


def test_a_full_disk_loses_no_line_but_the_one_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2, F05: a line never names a blob that is not there."""
    log = tmp_path / "log"
    appender = Appender(log)
    appender.append(action())
    (tmp_path / "blobs").write_text("a file in the place of the directory")

    with pytest.raises(StoreNotWritable):
        appender.append(action(details={"x": "x" * 2 * MIB}))

    assert len(read_all(log).good) == 1
    check_goes_on(log)


def test_a_blob_directory_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    """A12, F40."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "blobs").symlink_to("elsewhere")

    with pytest.raises(LogUnsafe):
        append(tmp_path / "log", details={"x": "x" * 2 * MIB})

    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_blob_that_is_missing_or_changed_is_reported(tmp_path: Path) -> None:
    reference = append(tmp_path / "log", details={"x": "x" * 2 * MIB})["details"]["x"]
    path = tmp_path / "blobs" / reference["blob"]
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")

    path.write_bytes(b"changed")
    with pytest.raises(ProvlogError, match="does not have the content") as raised:
        read_blob(tmp_path, reference)
    assert raised.value.path == path
    path.unlink()
    with pytest.raises(ProvlogError, match="can't be read"):
        read_blob(tmp_path, reference)
    for name in ("../secret", "..", "", "/etc/passwd", os.fspath(secret)):
        with pytest.raises(ProvlogError):
            read_blob(tmp_path, {"blob": name, "bytes": 6})


@pytest.mark.parametrize("media_type", ["text/plain", "application/json"])
def test_a_blob_that_is_not_what_its_reference_says_is_reported(
    tmp_path: Path, media_type: str
) -> None:
    digest = hashlib.sha256(b"\xff").hexdigest()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / digest).write_bytes(b"\xff")

    with pytest.raises(ProvlogError, match="not of the type"):
        read_blob(tmp_path, {"blob": digest, "bytes": 1, "media_type": media_type})
