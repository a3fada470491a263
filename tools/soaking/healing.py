"""healing: somebody harms the database's files, while the daemon runs and while it does not.

What a reader may see meanwhile is told in `reading`: an error, or numbers that are true of a
beginning of every log. Fewer rows than before are legal only between a harm and its mending.

A file that is harmed while the daemon is writing to it looks to the daemon as it left it. So a
harm is done while nobody has it open, as far as a look beforehand can tell.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from projections.holders import holders
from projections.waiting import wait_until_visible
from provenance_log.store import Store
from soaking.equality import differing_tables
from soaking.measuring import Outcome, Setting, spread
from soaking.processes import Child, DaemonProcess, children, until, wait_for_lines

TIMES = 2
"""Rounds of all harms."""

SESSIONS = 3
RATE_HZ = 8
_HEAL_S = 60.0

Harm = Callable[[Path, Random], None]


def delete(database: Path, _random: Random) -> None:
    """Remove the file."""
    database.unlink(missing_ok=True)


def delete_all(database: Path, _random: Random) -> None:
    """Remove the file and its write-ahead log."""
    for path in (database, _wal(database)):
        path.unlink(missing_ok=True)


def empty(database: Path, _random: Random) -> None:
    """Cut it to nothing."""
    os.truncate(database, 0)


def cut(database: Path, random: Random) -> None:
    """Cut it somewhere."""
    os.truncate(database, random.randrange(1, database.stat().st_size))


def cut_to_a_block(database: Path, random: Random) -> None:
    """Cut it at a multiple of 4 KiB, where its blocks may end."""
    os.truncate(database, 4096 * random.randrange(1, database.stat().st_size // 4096))


def noise(database: Path, random: Random) -> None:
    """Overwrite all of it."""
    database.write_bytes(random.randbytes(database.stat().st_size))


def noise_in_headers(database: Path, random: Random) -> None:
    """Overwrite where DuckDB begins to read."""
    _overwrite(database, 0, random.randbytes(3 * 4096))


def noise_in_a_block(database: Path, random: Random) -> None:
    """Overwrite a part behind the headers that may hold rows, or nothing."""
    first, last = 3 * 4096, database.stat().st_size - 65536
    _overwrite(database, random.randrange(first, max(first + 1, last)), random.randbytes(65536))


def text_file(database: Path, _random: Random) -> None:
    """Write something else under its name."""
    database.write_text("not a database\n" * 1000, "ascii")


def garbage_wal(database: Path, random: Random) -> None:
    """Put noise where its write-ahead log would be."""
    _wal(database).write_bytes(random.randbytes(5000))


def empty_wal(database: Path, _random: Random) -> None:
    """Put an empty file there, which is harmless."""
    _wal(database).write_bytes(b"")


HARMS: tuple[Harm, ...] = (
    delete,
    delete_all,
    empty,
    cut,
    cut_to_a_block,
    noise,
    noise_in_headers,
    noise_in_a_block,
    text_file,
    garbage_wal,
    empty_wal,
)
_KEPT_ASIDE = {empty, noise, noise_in_headers, text_file}
"""Harms after which there is a bad file to keep; the others may hit what nobody needs."""


def healing(setting: Setting) -> Outcome:
    """Do every harm to a running and to a stopped daemon's database, while somebody reads."""
    outcome = Outcome("healing")
    times = setting.times(TIMES)
    kinds = [(harm, is_up) for harm in HARMS for is_up in (True, False)] * times
    took_s: list[float] = []
    asides = reads = refused = shrunk = 0
    store = setting.store()
    with children(*[("append", store.root, RATE_HZ)] * SESSIONS) as appending:
        wait_for_lines(store, SESSIONS)
        for number, (harm, is_up) in enumerate(kinds):
            state = "running" if is_up else "stopped"
            name = f"{number + 1}, {harm.__name__}, daemon {state}"
            setting.say(name)
            trial = _Trial(store, setting, outcome, name)
            found = trial.run(harm, is_up=is_up)
            took_s.append(trial.healed_s)
            asides += trial.is_kept_aside
            reads += found["count"]
            refused += len(found["refused"]) + found["starved"]
            shrunk += len(found["shrunk"])
        appended = [child.stop() for child in appending]
    outcome.add("harms", len(kinds))
    outcome.add("from harm (or start) to healed and caught up", spread(took_s))
    outcome.add("bad files kept aside", asides)
    outcome.add("readings meanwhile", reads)
    outcome.add("readings that gave an error", refused)
    outcome.add("readings with fewer rows than before", shrunk)
    outcome.add("lines at the end", sum(item["lines"] for item in appended))
    return outcome


class _Trial:
    """One harm, from a healthy store to a healthy store."""

    def __init__(self, store: Store, setting: Setting, outcome: Outcome, name: str) -> None:
        self.healed_s = 0.0
        self.is_kept_aside = False
        self._store = store
        self._setting = setting
        self._outcome = outcome
        self._name = name
        self._log = setting.directory / f"daemon-{name.partition(',')[0]}.log"

    def run(self, harm: Harm, *, is_up: bool) -> dict[str, Any]:
        with DaemonProcess(self._store, self._log) as before:
            self._see_everything()
            with children(("read", self._store.database, 0.02)) as (reader,):
                time.sleep(0.3)
                if is_up:
                    self._harm(harm)
                    self._heal(harm)
                else:
                    before.end(signal.SIGTERM)
                    self._harm(harm)
                    with DaemonProcess(self._store, self._log):
                        self._heal(harm)
                found = self._stop(reader)
        self._promise_no_crash(before)
        return found

    def _harm(self, harm: Harm) -> None:
        database = self._store.database
        self._asides = set(_asides(database))
        until(lambda: not holders(database), "a moment in which nobody has the database open")
        harm(database, self._setting.random)
        self._harmed_at = time.monotonic()

    def _heal(self, harm: Harm) -> None:
        """Wait until new lines show, and the harm, if it was one, is mended."""
        aside_is_due = harm in _KEPT_ASIDE
        self._see_everything()
        self.healed_s = time.monotonic() - self._harmed_at
        new = set(_asides(self._store.database)) - self._asides
        self.is_kept_aside = bool(new)
        text = f"{self._name}: no bad file was kept aside"
        self._outcome.promise(self.is_kept_aside or not aside_is_due, text)
        differing = differing_tables(self._store, self._setting.directory)
        self._outcome.promise(not differing, f"{self._name}: {differing} differ from a rebuild")

    def _see_everything(self) -> None:
        directories = self._store.session_directories()
        wait_until_visible(self._store, directories, timeout_s=_HEAL_S)

    def _stop(self, reader: Child) -> dict[str, Any]:
        found: dict[str, Any] = reader.stop()
        wrong = found["wrong"]
        self._outcome.promise(not wrong, f"{self._name}: a reading was wrong: {wrong}")
        is_legal = all(moment >= self._harmed_at for moment in found["shrunk"])
        self._outcome.promise(is_legal, f"{self._name}: rows vanished before any harm was done")
        return found

    def _promise_no_crash(self, daemon: DaemonProcess) -> None:
        crashes = [item["message"] for item in daemon.notices if item["level"] == "crash"]
        self._outcome.promise(not crashes, f"{self._name}: {crashes[:5]}")


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def _asides(database: Path) -> list[str]:
    return [path.name for path in database.parent.glob(f"{database.name}.corrupt-*")]


def _wal(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")
