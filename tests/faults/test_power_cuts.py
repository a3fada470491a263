"""The power is cut while agents append and a projector works; the disk is mounted and looked at."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from attacks.effort import Effort
from attacks.power_cuts import power_cuts
from attacks.recorded_disk import (
    Disk,
    Entry,
    NoDisk,
    entries_of,
    make_file_system,
    mounted,
    recorded,
)
from attacks.scoring import Attacked

from faults.conftest import Score

SEED = 5


def cut(effort: Effort, sabotage: str = "") -> list[Attacked]:
    try:
        return power_cuts(effort, sabotage=sabotage)
    except NoDisk as error:
        pytest.skip(str(error))


def test_a_power_cut_takes_nothing_acknowledged_as_on_the_disk_and_leaves_nothing_half(
    tmp_path: Path, score: Score
) -> None:
    """A1, A2, A10, B10, C2, C3, F17, F18: `process` loses the end of a log at most."""
    score(cut(Effort(tmp_path, SEED, times=1)))
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    loops = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not any(str(tmp_path) in text for text in loops)


def test_a_product_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    """A1, F17: the attack can fail."""
    missed = {"were acknowledged as on the disk", "was not written by provenance-log"}
    for seed in range(SEED, SEED + 3):  # where the cuts hit is chance
        (tmp_path / f"{seed}").mkdir()
        (row,) = cut(Effort(tmp_path / f"{seed}", seed, times=1), "sync nothing")
        missed -= {text for text in missed if any(text in found for found in row.violations)}
        if not missed:
            break
    assert missed == set()


def test_what_was_synced_before_a_cut_is_there_and_what_was_not_may_be_gone(
    tmp_path: Path,
) -> None:
    """A1, F17: the recorded disk keeps what a disk must keep, and no more."""
    try:
        make_file_system(tmp_path / "image")
        with recorded(
            tmp_path / "image", tmp_path / "disk", tmp_path / "record", tmp_path / "notes"
        ) as directory:
            for name in ("synced", "written"):
                fd = os.open(directory / name, os.O_CREAT | os.O_WRONLY, 0o600)
                os.write(fd, name.encode())
                if name == "synced":
                    os.fsync(fd)
                    with (tmp_path / "notes").open("wb") as notes:
                        notes.write(b"synced\n")
                os.close(fd)
    except NoDisk as error:
        pytest.skip(str(error))
    disk = Disk(bytearray((tmp_path / "image").read_bytes()))
    for entry in entries_of(tmp_path / "record"):
        disk.take(entry)
        if entry.kind == "note":
            break
    assert disk.notes == ["synced"]
    (tmp_path / "cut").write_bytes(disk.cut(Random(SEED)))
    with mounted(tmp_path / "cut", tmp_path / "after") as directory:
        assert {path.name for path in directory.iterdir()} == {"lost+found", "synced"}
        assert (directory / "synced").read_bytes() == b"synced"


def test_a_cut_leaves_any_part_of_what_came_after_the_last_flush() -> None:
    """A1, F17: all of it, nothing, its beginning, or some, torn between two sectors only."""
    disk = Disk(bytearray(3 * 1024))
    for entry in (
        Entry("write", 0, b"a" * 1024),
        Entry("flush", 0, b""),
        Entry("write", 1024, b"b" * 1024),
        Entry("write", 2048, b"c" * 1024),
    ):
        disk.take(entry)
    found = {bytes(disk.cut(Random(number)))[::512] for number in range(200)}
    assert {one[:2] for one in found} == {b"aa"}
    assert {one[2:4] for one in found} == {b"\0\0", b"b\0", b"bb"}
    assert {one[4:] for one in found} == {b"\0\0", b"c\0", b"cc"}
    assert b"aa\0\0cc" in found  # the later write without the earlier one
