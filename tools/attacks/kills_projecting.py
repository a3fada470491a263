"""Projectors, rebuilds and daemons are killed at random, at work on logs that grow.

After a kill the tables are what the logs give up to the checkpoints (B2), so that a rebuild makes
the same of them (C1); a rebuild leaves the old or the new database (C2); and the next one to come
goes on by itself, whatever was left: half a new database, a write-ahead log, a checkpoint of
DuckDB that was cut.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from sample_action import ACTION
from soaking.equality import differing_tables
from soaking.processes import DaemonProcess

from attacks.effort import Effort
from attacks.forking import KILLED, ForkServer, Moments
from attacks.kills import WriterOracle, expected_of
from attacks.postcheck import Expected, violations
from attacks.scoring import Attacked
from projections.database import connect
from projections.projector import catch_up
from provenance_log.appender import Appender
from provenance_log.errors import ProvlogError
from provenance_log.store import SessionDirectory, Store, open_store

BATCHES = 10
"""Kills of one store; then it is checked and left."""
DAEMONS = 4
"""The same of daemons, which live longer."""
_SESSIONS = 3
_LINES_MAX = 40
_DAEMON_LIFE_S = 1.0
_CREATING_SHARE = 0.2
"""Of the kills, those of a projector that makes the database."""
_STARTED_AT = datetime(2026, 1, 10, 14, 30, tzinfo=UTC)
_FOREIGN = [(1, "theirs"), (2, "theirs too")]


def projectors(effort: Effort, *, sabotage: str = "") -> list[Attacked]:
    """Kill who catches up, at times two at once (B2, B7, C1; F57)."""
    row = Attacked("kills: projector", "kills")
    with ForkServer(effort.directory, sabotage=sabotage) as server:
        moments = _learn(effort, server, "project")
        for number in effort.numbers():
            effort.say(f"{row.attack}: round {number}, {row.injected:,} kills")
            work = _Work(effort, server, row, number, f"projectors-{number}")
            for _ in range(BATCHES):
                work.append()
                if work.random.random() < _CREATING_SHARE:
                    work.delete_database()
                task = ("project", work.store.root, work.store.database)
                work.kill(moments, *[task] * work.random.choice((1, 1, 2)))
                work.look()
            work.end()
    return [row]


def rebuilds(effort: Effort, *, sabotage: str = "") -> list[Attacked]:
    """Kill rebuilds, of our own database and of one with somebody's tables (C1, C2)."""
    row = Attacked("kills: rebuild", "kills")
    with ForkServer(effort.directory, sabotage=sabotage) as server:
        moments = _learn(effort, server, "rebuild", "plain")
        for number in effort.numbers():
            effort.say(f"{row.attack}: round {number}, {row.injected:,} kills")
            work = _Work(effort, server, row, number, f"rebuilds-{number}")
            work.append()
            if work.random.random() < 0.5:
                work.share_database()
            catch_up(work.store)
            for _ in range(BATCHES):
                work.append()
                kind = work.random.choice(("plain", "verify"))
                work.kill(moments, ("rebuild", work.store.root, work.store.database, kind))
                work.look(must_exist=True)
            work.end()
    return [row]


def daemons(effort: Effort, *, sabotage: str = "") -> list[Attacked]:
    """Kill daemons while writers append, and start the next (B2, B7, C1; F53, F57)."""
    row = Attacked("kills: daemon", "kills")
    with ForkServer(effort.directory, sabotage=sabotage) as server:
        for number in effort.numbers():
            effort.say(f"{row.attack}: round {number}, {row.injected:,} kills")
            work = _Work(effort, server, row, number, f"daemons-{number}")
            notices = effort.directory / f"notices-{number}"
            load = [_Load(work, directory) for directory in work.directories]
            for batch in range(DAEMONS):
                for one in load:
                    one.begin(batch)
                if batch == DAEMONS - 1:
                    work.kill_anew()
                else:
                    task = ("daemon", work.store.root, notices)
                    work.kill(Moments(_DAEMON_LIFE_S), task)
                work.look()
                for one in load:
                    one.wait()
            work.found += _complaints(notices)
            work.end([one.expected() for one in load])
    return [row]


def _learn(effort: Effort, server: ForkServer, task: str, *more: object) -> Moments:
    work = _Work(effort, server, Attacked("", ""), -1, "dry")
    work.append()
    catch_up(work.store)
    work.append()
    took_s = [server.run(task, work.store.root, work.store.database, *more) for _ in range(2)]
    shutil.rmtree(work.store.root)
    return Moments(max(took_s))


def _complaints(notices: Path) -> Iterator[str]:
    """Yield what a daemon that was killed, or found what another left, should not have to say."""
    for line in notices.read_text("utf-8").splitlines() if notices.exists() else []:
        level, event, *_ = line.split()
        if level == "error" or event == "rebuilding":
            yield f"a daemon said: {line}"


@dataclass(slots=True)
class _Work:
    """One store, what is done to it, and what was found."""

    effort: Effort
    server: ForkServer
    row: Attacked
    number: int
    name: str
    found: list[str] = field(default_factory=list)
    store: Store = field(init=False)
    random: Random = field(init=False)
    directories: list[SessionDirectory] = field(init=False)
    _is_shared: bool = False
    _kills: int = 0

    def __post_init__(self) -> None:
        self.random = self.effort.random(self.number)
        self.store = self.effort.store(self.name)
        self.directories = [
            self.store.create_session_directory(_STARTED_AT) for _ in range(_SESSIONS)
        ]

    def append(self) -> None:
        """Let some logs grow, at times by a line that is none."""
        for directory in self.random.sample(self.directories, self.random.randint(1, _SESSIONS)):
            appender = Appender(directory.log)
            texts = ("x" * self.random.choice((10, 1000)) for _ in range(_LINES_MAX))
            count = self.random.randint(1, _LINES_MAX)
            actions = [ACTION | {"details": {"text": text}} for text in texts]
            appender.append_many(actions[:count])
            appender.close()
            if self.random.random() < 0.1:
                with directory.log.open("ab") as file:
                    file.write(b"no action\n")

    def share_database(self) -> None:
        """Go on with a database in which somebody has a table."""
        self.store = open_store(self.store.root, self.store.root / "own.duckdb")
        with connect(self.store.database, read_only=False) as connection:
            connection.execute("CREATE TABLE theirs (number INTEGER, text VARCHAR)")
            for pair in _FOREIGN:
                connection.execute("INSERT INTO theirs VALUES (?, ?)", pair)
        self._is_shared = True

    def delete_database(self) -> None:
        """Let the next one make it anew."""
        name = self.store.database.name
        for path in (self.store.database, self.store.database.with_name(f"{name}.wal")):
            path.unlink(missing_ok=True)

    def kill(self, moments: Moments, *tasks: tuple[object, ...]) -> None:
        """Start tasks at once, and kill each at some time."""
        pairs = [(moments.choose(self.random), task) for task in tasks]
        codes = self.server.run_and_kill(pairs)
        self._count(codes.count(KILLED), len(codes))
        self.found += [f"a task failed: {self.server.complaints()}"] * (1 in codes)

    def kill_anew(self) -> None:
        """Do the same to a daemon that was started as people start one."""
        log = self.effort.directory / "daemon.log"
        with DaemonProcess(self.store, log) as daemon:
            time.sleep(self.random.uniform(0.0, 2 * _DAEMON_LIFE_S))
            code = daemon.end(signal.SIGKILL)
            notices = [(one["level"], one["event"], one["message"]) for one in daemon.notices]
        bad = [one for one in notices if one[0] in {"crash", "error"} or one[1] == "rebuilding"]
        self._count(code == KILLED, 1)
        self.found += [f"a daemon said: {one}" for one in bad]
        log.unlink()

    def look(self, *, must_exist: bool = False) -> None:
        """Compare the tables with what the logs give up to the checkpoints."""
        if not self.store.database.exists():
            self.found += ["there is no database"] * must_exist
            return
        try:
            differing = differing_tables(self.store, self.effort.directory)
        except ProvlogError as error:
            if "provenance_checkpoints does not exist" not in str(error) or must_exist:
                self.found.append(f"after kill {self._kills} the database can't be read: {error}")
            return
        self.found += [f"after kill {self._kills} rows differ: {differing}"] * bool(differing)

    def end(self, expected: list[Expected] | None = None) -> None:
        """Take the standard look, and remove the store if all is well."""
        if expected is None:
            expected = [expected_of(one) for one in self.directories if one.log.exists()]
        directory = self.effort.directory
        self.found += violations(self.store, expected, directory)
        if self._is_shared:
            self._look_at_theirs()
        self.row.violated(self.found, f"seed {self.effort.seed}, run {self.number}")
        if not self.found:
            shutil.rmtree(self.store.root)

    def _look_at_theirs(self) -> None:
        try:
            with connect(self.store.database, read_only=True) as connection:
                theirs = connection.execute("FROM theirs ORDER BY ALL")
        except ProvlogError as error:
            self.found.append(f"somebody's table can't be read: {error}")
            return
        self.found += [f"somebody's table holds {theirs}"] * (theirs != _FOREIGN)

    def _count(self, kills: int, runs: int) -> None:
        self._kills += kills
        self.row.injected += kills
        self.row.runs += runs


class _Load:
    """Writers of one log, one after the other."""

    def __init__(self, work: _Work, directory: SessionDirectory) -> None:
        acks = work.store.root.with_name(f"{work.name}-acks-{directory.name}")
        acks.mkdir()
        self._acks = acks
        self._server = work.server
        self._oracle = WriterOracle(directory.log, acks)
        self._pid = 0

    def begin(self, batch: int) -> None:
        """Start the next one."""
        log = self._oracle.log
        self._pid = self._server.start("write", log, self._acks, f"w{batch}", 1)

    def wait(self) -> None:
        """Return when it has written all."""
        self._server.wait(self._pid)

    def expected(self) -> Expected:
        """Return what the log must hold, and forget about it."""
        found = self._oracle.violations(kills=0)
        assert found == [], found
        shutil.rmtree(self._acks)
        return self._oracle.expected()
