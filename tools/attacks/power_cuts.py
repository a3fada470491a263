"""The power is cut at random while agents append and a projector works; then the disk is mounted.

One recording of a disk (see `recorded_disk`) gives many cuts. Of each it is asked that what was
acknowledged as on the disk is there, that a log has lost nothing but its end, that every file that
is replaced as a whole is whole, and then what `postcheck` asks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import orjson

from attacks.effort import Effort
from attacks.forking import ForkServer
from attacks.kills import actions_of, expected_of
from attacks.postcheck import violations
from attacks.powered import OTHER
from attacks.recorded_disk import Disk, NoDisk, entries_of, make_file_system, mounted, recorded
from attacks.scoring import Attacked
from provenance_log.archive_index import read_index
from provenance_log.blobs import read_blob
from provenance_log.errors import ProvlogError
from provenance_log.marker import ownership_reason
from provenance_log.restoring import unpacked_session
from provenance_log.store import SessionDirectory, Store, initialise_store, open_store

CUTS = 20
"""Of one recording."""
_LEFT = r"^\.(index\.jsonl|\d{4}-\d\d\.tar\.xz)\.|^\.(copy|archived)-|-pending"
"""What the next copy or archiving removes."""
_SETTINGS = ("README.md", "action-types.yaml", "metadata-schema.json", "manifest-template.yaml")


def power_cuts(effort: Effort, *, sabotage: str = "") -> list[Attacked]:
    """Cut the power between writes (A1, A2, A10, B10, C2, C3; F17, F18).

    A run is a recording with `CUTS` cuts. Raises `recorded_disk.NoDisk` where there can be none.
    """
    row = Attacked("power cuts: append, project, rebuild, copy, archive", "power cuts")
    for number in effort.numbers():
        effort.say(f"{row.attack}: recording {number}, {row.injected:,} cuts")
        directory = effort.directory / f"power-{number}"
        directory.mkdir()
        recording = _record(effort, number, directory, sabotage)
        before = len(row.violations)
        for place, found in recording.cuts(effort.random(number), row):
            where = f"seed {effort.seed}, run {number}, after {place} writes and flushes"
            row.violated(found, where)
        row.runs += 1
        if len(row.violations) == before:
            shutil.rmtree(directory)
    return [row]


def _record(effort: Effort, number: int, directory: Path, sabotage: str) -> _Recording:
    """Work on a disk, and return what it was given in which order."""
    recording = _Recording(directory)
    make_file_system(recording.image)
    with mounted(recording.image, directory / "disk") as disk:
        initialise_store(disk / "store")
    recording.shadow.mkdir()
    seed = f"{effort.seed}/{number}"
    notes = directory / "notes"
    with (
        recorded(recording.image, directory / "disk", recording.record, notes) as disk,
        ForkServer(directory, sabotage=sabotage) as server,
    ):
        root = disk / "store"
        pids = [
            server.start("append powered", root, recording.shadow, notes, seed),
            server.start("project powered", root, notes, seed),
        ]
        codes = [server.wait(pid) for pid in pids]
        if any(codes):
            recording.failed = server.complaints()
    return recording


@dataclass(slots=True)
class _Recording:
    """A disk as it was, what happened to it, and what the logs on it were at last."""

    directory: Path
    failed: str = ""

    @property
    def image(self) -> Path:
        return self.directory / "image"

    @property
    def record(self) -> Path:
        return self.directory / "record"

    @property
    def shadow(self) -> Path:
        return self.directory / "shadow"

    def cuts(self, random: Random, row: Attacked) -> Iterator[tuple[int, list[str]]]:
        """Cut here and there; yield where, and what is wrong then."""
        if self.failed:
            yield 0, [f"a task failed: {self.failed}"]
        count = sum(1 for _ in entries_of(self.record))
        places = set(random.sample(range(count), min(CUTS, count)))
        disk = Disk(bytearray(self.image.read_bytes()))
        for place, entry in enumerate(entries_of(self.record)):
            disk.take(entry)
            if place in places:
                row.injected += 1
                yield place, self._look_at(disk, random)

    def _look_at(self, disk: Disk, random: Random) -> list[str]:
        image = self.directory / "cut"
        image.write_bytes(disk.cut(random))
        try:
            with mounted(image, self.directory / "after") as mount:
                found = _AfterCut(mount, self.shadow, disk.notes, self.directory).violations()
        except NoDisk as error:
            found = [f"it can't be mounted: {error}"]
        if found and not (kept := self.directory / "first-bad-cut").exists():
            image.rename(kept)
        return found


@dataclass(slots=True)
class _AfterCut:
    """A disk after the power was cut, and what must be on it."""

    mount: Path
    shadow: Path
    notes: list[str]
    side: Path
    _made: set[str] = field(default_factory=set)
    _kept: dict[str, int] = field(default_factory=dict)
    _copied: dict[str, int] = field(default_factory=dict)

    def violations(self) -> list[str]:
        """Return what is wrong, a sentence each."""
        for kind, name, *size in map(str.split, self.notes):
            if kind == "d":
                self._made.add(name)
            else:
                sizes = self._kept if kind == "k" else self._copied
                sizes[name] = max(int(size[0]), sizes.get(name, 0))
        store = open_store(self.mount / "store")
        found = [*self._log_violations(store), *_file_violations(store)]
        other = self.mount / OTHER
        if self._copied or (other / "sessions").is_dir():
            copies = self._copied.items()
            found += [text for name, size in copies for text in self._copy_violations(name, size)]
            if (other / "sessions").is_dir():
                found += _settings_violations(other, store.root)
                found += _standard_violations(open_store(other), self.side)
        return found + _standard_violations(store, self.side)

    def _log_violations(self, store: Store) -> Iterator[str]:
        live = {one.name: one for one in store.session_directories()}
        archived = {entry.directory: entry for entry in read_index(store).values()}
        for name in sorted({*self._made, *self._kept} | live.keys()):
            if name in live:
                log = live[name].log
                content = log.read_bytes() if log.exists() else b""
                yield from self._content_violations(name, content)
            elif name in archived:
                with unpacked_session(store, archived[name]) as unpacked:
                    yield from self._content_violations(name, unpacked.directory.log.read_bytes())
            else:
                yield f"the directory {name} is gone"

    def _content_violations(self, name: str, content: bytes) -> Iterator[str]:
        """Compare a log with what it was at last."""
        at_last = (self.shadow / name).read_bytes()
        kept = self._kept.get(name, 0)
        same = _common(content, at_last)
        if same < kept:
            yield f"{name}: {kept} bytes were acknowledged as on the disk, {same} are there"
        rest = content[same:]
        if rest.strip(b"\0"):
            yield f"{name}: after {same} of {len(content)} bytes comes what nobody appended"

    def _copy_violations(self, name: str, size: int) -> Iterator[str]:
        log = self.mount / OTHER / "sessions" / name / "actions.jsonl"
        content = log.read_bytes() if log.exists() else b""
        same = _common(content, (self.shadow / name).read_bytes())
        if same < size:
            yield f"{name}: {size} bytes were copied, {same} are there"


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts have in common at their beginning."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _file_violations(store: Store) -> Iterator[str]:
    """Yield each file that is replaced as a whole and is not whole."""
    for path in sorted(store.sessions_dir.glob("*/[ms]*.*")):
        reason = ownership_reason(path.read_bytes())
        if reason is not None:
            yield f"{path.relative_to(store.root)}: {reason}"
    for path in sorted(store.indices_dir.glob("*.jsonl")):
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            yield f"{path.name} ends in the middle of a line"
        for line in content.splitlines():
            orjson.loads(line)
    for path in sorted(store.by_id_dir.glob("[!.]*")):
        if not path.read_bytes().endswith(b"\n"):
            yield f"indices/by-id/{path.name} is not whole"


def _settings_violations(root: Path, whole: Path) -> Iterator[str]:
    """Yield each file of settings that is there and not what it is in a store that is whole."""
    for name in _SETTINGS:
        if (root / name).exists() and (root / name).read_bytes() != (whole / name).read_bytes():
            yield f"{root.name}/{name} is not whole"


def _standard_violations(store: Store, side: Path) -> list[str]:
    directories = [one for one in store.session_directories() if one.log.exists()]
    try:
        expected = [expected_of(one) for one in directories]
        found = [text for one in directories for text in _blob_violations(one)]
        found += violations(store, expected, side, leftovers=_LEFT)
    except (ProvlogError, OSError) as error:
        return [f"{type(error).__name__}: {error}"]
    return found


def _blob_violations(directory: SessionDirectory) -> Iterator[str]:
    """Yield each blob that a line names and that is not whole; it was there before the line."""
    for action in actions_of(directory):
        text = action.get("details", {}).get("text")
        if isinstance(text, dict):
            try:
                read_blob(directory.path, text)
            except ProvlogError as error:
                yield f"{directory.name}: {error}"
