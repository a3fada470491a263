"""SIGKILL of the process that has the database open: in a transaction, a checkpoint, a replay.

A kill costs no database: the next projector finds it as it was after some transaction, and goes
on from there. Tables of somebody else in it stay what they were (B2, C2; F57).
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from attacks.databases_image import (
    Image,
    end_child,
    make_image,
    make_image_with_wal,
    start_child,
)
from attacks.databases_looks import project, read
from attacks.effort import Effort
from attacks.scoring import Attacked
from projections.database import connect
from projections.work import Projector

_BIG_TEXT = "x" * 2_000
_BIG_LINES = 150
_BIG_BATCH_BYTES = 1 << 30
_TRIALS = 3

Work = Callable[[Image, Callable[[], None]], None]


def database_kills(effort: Effort) -> list[Attacked]:
    """Kill in a big transaction, in a checkpoint and while a log is replayed, in turn."""
    scenes = [
        _Scene("transaction", _in_transaction, _with_much_to_do(effort, is_shared=False)),
        _Scene("transaction", _in_transaction, _with_much_to_do(effort, is_shared=True)),
        _Scene("checkpoint", _in_checkpoint, _with_big_log(effort, is_shared=False)),
        _Scene("checkpoint", _in_checkpoint, _with_big_log(effort, is_shared=True)),
        _Scene("replay", _in_replay, _with_big_log(effort, is_shared=False, name="replay")),
    ]
    # The shortest of some: a kill that comes too late kills nobody.
    within_s = [min(_duration_s(scene) for _ in range(_TRIALS)) for scene in scenes]
    rows = [Attacked(f"databases: killed in a {scene.name}", "kills") for scene in scenes]
    for number in effort.numbers():
        place = number % len(scenes)
        scene, row = scenes[place], rows[place]
        scene.image.put()
        delay_s = effort.random(number).uniform(0, within_s[place])
        row.injected += scene.is_killed_after(delay_s)
        row.runs += 1
        # Odd ones are read first: a reader may have to replay the log as well.
        found = [*(read(scene.image) if number // len(scenes) % 2 else ()), *project(scene.image)]
        row.violated(found, f"seed {effort.seed}, run {number}, killed after {delay_s:.4f} s")
        effort.say(f"{number}, killed in a {scene.name}")
    if not any(row.violations for row in rows):
        for scene in scenes:
            shutil.rmtree(scene.image.store.root.parent)
    return rows


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a process does when it is killed, and to which database."""

    name: str
    work: Work
    image: Image

    def is_killed_after(self, delay_s: float) -> bool:
        """Begin the work in a child and kill it so long after; False if it was done before."""
        reader, writer = os.pipe()
        pid = start_child(lambda: self.work(self.image, lambda: _begin(writer)))
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        return end_child(pid) == -signal.SIGKILL


def _begin(writer: int) -> None:
    os.write(writer, b".")


def _duration_s(scene: _Scene) -> float:
    scene.image.put()
    reader, writer = os.pipe()
    pid = start_child(lambda: scene.work(scene.image, lambda: _begin(writer)))
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    began = time.monotonic()
    end_child(pid)
    return time.monotonic() - began


def _in_transaction(image: Image, begin: Callable[[], None]) -> None:
    projector = Projector(image.store, batch_bytes=_BIG_BATCH_BYTES)
    with connect(image.store.database, read_only=False) as connection:
        begin()
        projector.run(connection)


def _in_checkpoint(image: Image, begin: Callable[[], None]) -> None:
    with connect(image.store.database, read_only=False) as connection:
        begin()
        connection.checkpoint()


def _in_replay(image: Image, begin: Callable[[], None]) -> None:
    begin()
    connect(image.store.database, read_only=False).close()


def _with_much_to_do(effort: Effort, *, is_shared: bool) -> Image:
    """Make an image whose logs have much that is not projected."""
    directory = effort.directory / f"kills-{'shared' if is_shared else 'own'}"
    directory.mkdir()
    return make_image(directory, is_shared=is_shared, pending=_BIG_LINES, text=_BIG_TEXT)


def _with_big_log(effort: Effort, *, is_shared: bool, name: str = "log") -> Image:
    """Make an image with a write-ahead log of some MB."""
    directory = effort.directory / f"kills-{name}-{'shared' if is_shared else 'own'}"
    directory.mkdir()
    return make_image_with_wal(
        directory, steps=3, lines=_BIG_LINES, text=_BIG_TEXT, is_shared=is_shared
    )
