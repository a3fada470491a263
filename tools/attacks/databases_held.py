"""Somebody else has the database open: nothing is lost, who it is is told, and then all goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Literal, Self

from attacks.databases_image import append_to_all, content_of, make_image, replayed
from attacks.effort import Effort
from attacks.scoring import Attacked
from projections.daemon import Daemon
from projections.daemon_notices import Notice
from projections.projector import catch_up
from projections.status import read_status
from provenance_log import lock_files
from provenance_log.errors import DatabaseHeld, ProvlogError
from provenance_log.store import Store

Mode = Literal["reader", "writer"]

_LOOKS_MAX = 60
_HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reader")
print("open", flush=True)
sys.stdin.read()
"""


def held(effort: Effort) -> list[Attacked]:
    """Have a foreign reader and a foreign writer hold the database, in turn (B8; F50).

    Meanwhile lines are appended, a command and `status` name the holder, and a daemon waits.
    """
    row = Attacked("databases: held by somebody", "holders")
    directory = effort.directory / "held"
    directory.mkdir()
    image = make_image(directory)
    for number in effort.numbers():
        mode: Mode = "writer" if number % 2 else "reader"
        image.put()
        found = [*_held_from_command(image.store, mode), *_held_from_daemon(image.store, mode)]
        row.violated(found, f"run {number}, {mode}")
        row.injected += 2
        row.runs += 2
        effort.say(f"{number}, {mode}")
    if not row.violations:
        shutil.rmtree(directory)
    return [row]


def _held_from_command(store: Store, mode: Mode) -> Iterator[str]:
    with _Holder(store, mode) as holder:
        append_to_all(store, 1)
        try:
            catch_up(store, wait_s=0.05)
            yield "a command wrote to a database that somebody holds"
        except DatabaseHeld as error:
            if f"process {holder.pid} " not in error.message:
                yield f"the holder is not named: {error}"
        named = [item.pid for item in read_status(store, wait_s=0.05).holders]
        if named != [holder.pid]:
            yield f"status names {named}, not {holder.pid}"
    catch_up(store)
    if content_of(store) != replayed(store):
        yield "wrong numbers afterwards"


def _held_from_daemon(store: Store, mode: Mode) -> Iterator[str]:
    watched = _Watched(store, mode)
    daemon = Daemon(store, watched.tell, rescan_s=0.005, is_polling=True)
    watched.stop = daemon.stop
    with lock_files.exclusive_lock(store.projector_lock):
        daemon.run_locked(watched.after_look)
    yield from watched.found


class _Holder:
    """A process that has the database open."""

    def __init__(self, store: Store, mode: Mode) -> None:
        command = [sys.executable, "-c", _HOLD, str(store.database), mode]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "open\n"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._process.communicate("")


class _Watched:
    """A daemon from which the database is taken away, with lines to project, and given back."""

    def __init__(self, store: Store, mode: Mode) -> None:
        self.found: list[str] = []
        self.stop: Callable[[], None] = lambda: None
        self._store = store
        self._mode = mode
        self._said: list[Notice] = []
        self._holder: _Holder | None = None
        self._looks = 0

    def tell(self, notice: Notice) -> None:
        self._said.append(notice)

    def after_look(self) -> None:
        """Take it away after the first look, give it back after the second, and then wait."""
        self._looks += 1
        if self._looks == 1:
            self._holder = _Holder(self._store, self._mode)
            append_to_all(self._store, 1)
        elif self._holder is not None:
            told = [item.message for item in self._said if str(self._holder.pid) in item.message]
            if not told:
                self.found.append(f"the daemon does not name the holder: {self._said}")
            self._holder.end()
            self._holder = None
        elif self._is_right() or self._looks > _LOOKS_MAX:
            if self._looks > _LOOKS_MAX:
                self.found.append(f"not caught up after {_LOOKS_MAX} looks")
            self.stop()

    def _is_right(self) -> bool:
        try:
            return content_of(self._store) == replayed(self._store)
        except ProvlogError:
            return False
