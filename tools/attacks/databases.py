"""Harm to a database's files: every cut, flips of bits, and write-ahead logs of any kind.

Whatever was done, what a reader gets is what the logs say or an error that says what to do, a
daemon heals it by itself, and no log changes (B8, C1, C3; F54).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from soaking.healing import HARMS

from attacks.databases_image import Harmed, Image, make_image, make_image_with_wal
from attacks.databases_looks import project, project_and_heal, read, watch
from attacks.effort import Effort
from attacks.scoring import Attacked

CUT_BYTES = 4096
WAL_CUT_BYTES = 512

_HEADER_BYTES = 3 * 4096
_HEADERS_EVERY = 16
_PROJECTED_EVERY = 4
_HEALED_EVERY = 40
_WATCHED_EVERY = 80


def bits(effort: Effort) -> list[Attacked]:
    """Flip one bit of a database in each run, in every sixteenth one a bit of its headers."""
    image = make_image(_made(effort, "bits"))
    attack = _Attack(effort, image, Attacked("databases: bits", "flips"))
    for number in effort.numbers():
        random = effort.random(number)
        is_header = number % _HEADERS_EVERY == 0
        attack.run(number, _with_flip(image, random, _HEADER_BYTES if is_header else None))
    return attack.done()


def cuts(effort: Effort) -> list[Attacked]:
    """Cut a database at every 4 KiB; with a limit, at a sample of these places."""
    image = make_image(_made(effort, "cuts"))
    attack = _Attack(effort, image, Attacked("databases: cuts", "cuts"))
    places = range(0, len(image.database), CUT_BYTES)
    attack.run_all([Harmed(f"cut at {place}", image.database[:place], None) for place in places])
    return attack.done()


def wals(effort: Effort) -> list[Attacked]:
    """Do everything to a write-ahead log that a killed writer left; with a limit, a sample of it.

    It is cut at every 512 bytes, deleted, overwritten, flipped, and exchanged for that of another
    database and for an older one of the same; or the database is what is missing.
    """
    image = make_image_with_wal(_made(effort, "wals"))
    other = make_image_with_wal(_made(effort, "wals-other"))
    attack = _Attack(effort, image, Attacked("databases: write-ahead logs", "logs"))
    attack.run_all(list(_harmed_wals(image, other, effort.random(0))))
    shutil.rmtree(other.store.root.parent)
    return attack.done()


def healed(effort: Effort) -> list[Attacked]:
    """Do the harms of `soaking.healing` to the files of a daemon, running and stopped, in turn."""
    image = make_image(_made(effort, "healed"))
    row = Attacked("databases: healed by the daemon", "harms")
    for number in effort.numbers():
        harm = HARMS[number // 2 % len(HARMS)]
        image.put()
        done = partial(harm, image.store.database, effort.random(number))
        found = watch(image, done, is_up=number % 2 == 0)
        state = "down" if number % 2 else "up"
        row.violated(found, f"seed {effort.seed}, run {number}: {harm.__name__}, daemon {state}")
        row.injected += 1
        row.runs += 1
        effort.say(f"{number}, {harm.__name__}, daemon {state}")
    _clean(image, row)
    return [row]


def databases(effort: Effort) -> list[Attacked]:
    """Do random harms of all kinds, to a database of our own and to a shared one, in turn."""
    kinds = {"own": False, "shared": True}
    images = [
        make_image_with_wal(_made(effort, f"random-{name}"), is_shared=is_shared)
        for name, is_shared in kinds.items()
    ]
    other = make_image_with_wal(_made(effort, "random-other"))
    row = Attacked("databases: random harms", "harms")
    attacks = [_Attack(effort, image, row) for image in images]
    for number in effort.numbers():
        random = effort.random(number)
        place = number % len(images)
        harmed = _any(images[place], other, random)
        attacks[place].run(number, harmed, turn=random.randrange(_WATCHED_EVERY))
    for image in (*images, other):
        _clean(image, row)
    return [row]


class _Attack:
    """Puts one harmed file after the other into a store's place, and looks at it."""

    def __init__(self, effort: Effort, image: Image, row: Attacked) -> None:
        self._effort = effort
        self._image = image
        self._row = row

    def run(self, number: int, harmed: Harmed, turn: int | None = None) -> None:
        """Look at it as a reader or by a command; now and then heal it, or have a daemon heal it.

        The looks come in turn; `turn` is the number of the run where it is not given.
        """
        image, row = self._image, self._row
        turn = number if turn is None else turn
        image.put(harmed)
        if image.is_own and turn % _WATCHED_EVERY == _WATCHED_EVERY - 1:
            found = watch(image, lambda: None, is_up=False)
        elif turn % _HEALED_EVERY == _HEALED_EVERY - 2:
            found = project_and_heal(image)
        else:
            found = read(image) if turn % _PROJECTED_EVERY else project(image)
        row.violated(found, f"seed {self._effort.seed}, run {number}: {harmed.name}")
        row.injected += 1
        row.runs += 1
        self._effort.say(f"{row.runs}, {harmed.name}")

    def run_all(self, cases: Sequence[Harmed]) -> None:
        """Look at all of them, or with a limit at as many as it admits, from all over."""
        chosen = list(enumerate(cases))
        self._effort.random(0).shuffle(chosen)
        for (number, harmed), _ in zip(chosen, self._effort.numbers(), strict=False):
            self.run(number, harmed)

    def done(self) -> list[Attacked]:
        """Remove the store, unless it broke a promise."""
        _clean(self._image, self._row)
        return [self._row]


def _made(effort: Effort, name: str) -> Path:
    directory = effort.directory / name
    directory.mkdir(parents=True)
    return directory


def _clean(image: Image, row: Attacked) -> None:
    if not row.violations:
        shutil.rmtree(image.store.root.parent)


def _flipped(content: bytes, place_bits: int) -> bytes:
    changed = bytearray(content)
    changed[place_bits // 8] ^= 1 << place_bits % 8
    return bytes(changed)


def _with_flip(image: Image, random: Random, within_bytes: int | None = None) -> Harmed:
    place = random.randrange(8 * (within_bytes or len(image.database)))
    return Harmed(f"bit {place} flipped", _flipped(image.database, place), image.wal)


def _harmed_wals(image: Image, other: Image, random: Random) -> Iterator[Harmed]:
    database, wal = image.database, image.wal or b""
    for place in range(0, len(wal), WAL_CUT_BYTES):
        yield Harmed(f"log cut at {place}", database, wal[:place])
    yield Harmed("log deleted", database, None)
    yield Harmed("log of another database", database, other.wal)
    yield Harmed("log of an older database", image.newer, wal)
    yield Harmed("database of another log", other.database, wal)
    yield Harmed("database deleted", None, wal)
    yield Harmed("database emptied", b"", wal)
    yield Harmed("log doubled", database, wal + wal)
    for _ in range(5):
        yield Harmed("log overwritten", database, random.randbytes(len(wal)))
    for _ in range(100):
        place = random.randrange(8 * len(wal))
        yield Harmed(f"log's bit {place} flipped", database, _flipped(wal, place))


def _any(image: Image, other: Image, random: Random) -> Harmed:
    """Return any harm at any place, of one file or the other."""
    size_bytes = len(image.database)
    kind = random.randrange(5)
    if kind == 0:
        return _with_flip(image, random)
    if kind == 1:
        place = random.randrange(size_bytes)
        return Harmed(f"cut at {place}", image.database[:place], image.wal)
    if kind == 2:
        place, length = random.randrange(size_bytes), random.randrange(1, 100_000)
        noise = random.randbytes(min(length, size_bytes - place))
        changed = image.database[:place] + noise + image.database[place + len(noise) :]
        return Harmed(f"{len(noise)} bytes of noise at {place}", changed, image.wal)
    if kind == 3:
        place = random.randrange(len(image.wal or b"?"))
        return Harmed(f"log cut at {place}", image.database, (image.wal or b"")[:place])
    return random.choice(list(_harmed_wals(image, other, random)))
