"""Too little memory for DuckDB, and a full disk: where the database is and where it spills to.

Either everything is projected all the same, or there is an error that says what to do, and with
room again the next projector does the rest. No line is taken for bad because of it (B3; F06, F58).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

from attacks.databases_image import Image, make_image
from attacks.databases_looks import project, unclear
from attacks.effort import Effort, Impossible
from attacks.scoring import Attacked
from projections.projector import catch_up
from provenance_log.errors import DatabaseCorrupt, ProvlogError

_BIG_TEXT = "x" * 60_000
_BIG_LINES = 100
_MB = 1_000_000
_SETTINGS = "projections.database._WRITER_SETTINGS"
_LAVISH = "projections.database._LAVISH_SETTINGS"


def little_memory(effort: Effort) -> list[Attacked]:
    """Catch up with some MB of memory, from too few to begin with to nearly enough.

    Every other time there is no more; else a writer gets it, and does everything.
    """
    row = Attacked("databases: little memory", "limits")
    directory = effort.directory / "memory"
    directory.mkdir()
    image = make_image(directory, pending=_BIG_LINES, text=_BIG_TEXT)
    for number in effort.numbers():
        image.put()
        limit_mb = effort.random(number).randrange(2, 40)
        has_more = number % 2 == 1
        with _memory(limit_mb, has_more=has_more):
            found = project(image) if has_more else _hindered(image)
        found += project(image)
        row.violated(found, f"seed {effort.seed}, run {number}, {limit_mb} MB")
        row.injected += 1
        row.runs += 1
        effort.say(f"{number}, {limit_mb} MB")
    if not row.violations:
        shutil.rmtree(directory)
    return [row]


def full_disk(effort: Effort) -> list[Attacked]:
    """Catch up on a disk with some room less than is needed, and with little memory as well.

    Raises `Impossible` where mounting is not allowed.
    """
    row = Attacked("databases: full disk", "disks")
    directory = effort.directory / "disk"
    directory.mkdir()
    with mounted(directory, 256 * _MB):
        image = make_image(directory, pending=_BIG_LINES, text=_BIG_TEXT)
        for number in effort.numbers():
            random = effort.random(number)
            image.put()
            free_bytes, limit_mb = random.randrange(4096, 30 * _MB), random.choice((40, 512))
            ballast = directory / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(directory).free - free_bytes))
            with _memory(limit_mb):
                found = _hindered(image)
            ballast.unlink()
            found += project(image)
            where = f"{free_bytes} bytes left, {limit_mb} MB of memory"
            row.violated(found, f"seed {effort.seed}, run {number}, {where}")
            row.injected += 1
            row.runs += 1
            effort.say(f"{number}, {where}")
    directory.rmdir()
    return [row]


@contextmanager
def _memory(limit_mb: int, *, has_more: bool = False) -> Iterator[None]:
    """Let writers begin with so much memory, and have no more where they ask for it."""
    limit = f"{limit_mb}MB"
    more = nullcontext() if has_more else patch.dict(_LAVISH, memory_limit=limit)
    with patch.dict(_SETTINGS, memory_limit=limit), more:
        yield


def _hindered(image: Image) -> list[str]:
    """Catch up; it may fail for want of room, and then says so."""
    try:
        report = catch_up(image.store)
    except DatabaseCorrupt as error:
        return [f"want of room is taken for damage: {error}"]
    except ProvlogError as error:
        return list(unclear(error))
    if report.quarantined:
        return [f"{report.quarantined} lines were taken for bad for want of room"]
    return []


@contextmanager
def mounted(directory: Path, size_bytes: int) -> Iterator[None]:
    """Have a file system of its own in a directory; raises `Impossible` where it is not allowed."""
    options = f"size={size_bytes}"
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise Impossible("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)
