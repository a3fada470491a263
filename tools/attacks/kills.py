"""Writers of one log are killed at random, and the holder of its lock is stopped.

The oracle is what each thread of a writer noted before and after every append, in a file of its
own. Of each thread the log must hold the first events that it began, without a hole, in order and
as they were appended, at least those that were acknowledged; and nothing else.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soaking.processes import until

from attacks.effort import Effort
from attacks.forking import KILLED, ForkServer, Moments
from attacks.killed import text_of
from attacks.postcheck import CUT, Expected, violations
from attacks.scoring import Attacked
from provenance_log.claude_code.recorder import drain_store
from provenance_log.errors import LineInvalid
from provenance_log.reader import START, RawLine, ReadPosition, is_chained, read_log
from provenance_log.spool import spooled_paths
from provenance_log.store import SessionDirectory, Store, project_of
from provenance_log.strict_json import parse_object

BATCHES = 12
"""Of writers of one log, killed one after the other; then the log is checked and left."""
_AT_ONCE_MAX = 4
_STARTED_AT = datetime(2026, 1, 10, 14, 30, tzinfo=UTC)


def writers(effort: Effort, *, sabotage: str = "") -> list[Attacked]:
    """Kill writers of several threads, up to four at once on one log (A1, A2, A6, A9; F12)."""
    row = Attacked("kills: writers", "kills")
    with ForkServer(effort.directory, sabotage=sabotage) as server:
        moments = _learn_writers(effort, server)
        for number in effort.numbers():
            effort.say(f"{row.attack}: round {number}, {row.injected:,} kills")
            _writers_round(effort, number, server, moments, row)
    return [row]


def _learn_writers(effort: Effort, server: ForkServer) -> Moments:
    directory = effort.directory / "dry"
    directory.mkdir()
    took_s = server.run("write", directory / "actions.jsonl", directory, "dry", 2)
    shutil.rmtree(directory)
    return Moments(took_s)


def _writers_round(
    effort: Effort, number: int, server: ForkServer, moments: Moments, row: Attacked
) -> None:
    random = effort.random(number)
    store = effort.store(f"writers-{number}")
    acks = effort.directory / f"acks-{number}"
    acks.mkdir()
    log = store.create_session_directory(_STARTED_AT).log
    oracle = WriterOracle(log, acks)
    kills = 0
    for batch in range(BATCHES):
        names = [f"w{batch}-{place}" for place in range(random.randint(1, _AT_ONCE_MAX))]
        tasks = [
            (moments.choose(random), ("write", log, acks, name, random.randint(1, 3)))
            for name in names
        ]
        codes = server.run_and_kill(tasks)
        row.runs += len(codes)
        row.injected += codes.count(KILLED)
        kills += codes.count(KILLED)
        found = oracle.violations(kills)
        found += [f"a writer failed: {server.complaints()}"] * (1 in codes)
        row.violated(found, f"seed {effort.seed}, run {number}, batch {batch}")
        if found:
            return  # the store is kept
    found = violations(store, [oracle.expected()], effort.directory)
    row.violated(found, f"seed {effort.seed}, run {number}, at the end")
    if not found:
        shutil.rmtree(store.root)
        shutil.rmtree(acks)


@dataclass(slots=True)
class WriterOracle:
    """What writers noted, and what their log holds of it; reads on where it stopped."""

    log: Path
    acks: Path
    _position: ReadPosition = START
    _action_id: int = 0
    _bad: int = 0
    _numbers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _texts: dict[str, str] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)

    def violations(self, kills: int) -> list[str]:
        """Return what is wrong after so many kills, now that no writer is alive."""
        found = self._read_on()
        if self._bad > kills:
            found.append(f"{self._bad} bad lines after {kills} kills")
        for path in self.acks.iterdir():
            found += self._thread_violations(path.name, path.read_text("ascii"))
        strange = self._numbers.keys() - {path.name for path in self.acks.iterdir()}
        return [*found, *(f"nobody wrote as {name}" for name in strange)]

    def expected(self) -> Expected:
        """Return the same for the standard look."""
        members = {
            self._ids[key]: {"tool": key, "details": {"text": text}}
            for key, text in self._texts.items()
        }
        return Expected(self.log, members, unended(self.log), verdicts=CUT)

    def _read_on(self) -> list[str]:
        found: list[str] = []
        if not self.log.exists():
            return found
        for chunk in read_log(self.log, self._position):
            for raw in chunk.lines:
                found += self._take(raw)
            self._position = chunk.end
        return found

    def _take(self, raw: RawLine) -> list[str]:
        try:
            value = parse_object(raw.content or b"")
        except LineInvalid:
            self._bad += 1
            return []
        found = []
        self._action_id += 1
        if value["action_id"] != self._action_id:
            found.append(f"line {raw.line_number} has the number {value['action_id']}")
        if not is_chained(value, raw):
            found.append(f"line {raw.line_number} is not chained")
        key = str(value["tool"])
        name, _, event_number = key.rpartition(".")
        self._numbers[name].append(int(event_number))
        self._texts[key] = value["details"]["text"]
        self._ids[key] = value["database_event_id"]
        return found

    def _thread_violations(self, name: str, notes: str) -> list[str]:
        words = [line.split() for line in notes.split("\n")[:-1]]
        sizes = {item[1]: int(item[2]) for item in words if item[0] == "b"}
        acked = [item[1] for item in words if item[0] == "a"]
        numbers = self._numbers.get(name, [])
        found = []
        if numbers != list(range(len(numbers))):
            found.append(f"{name} has a hole or a repetition: {numbers}")
        if len(numbers) < len(acked):
            found.append(f"{name} had {len(acked)} events acknowledged, {len(numbers)} are there")
        keys = [f"{name}.{number}" for number in numbers]
        found += [f"nobody appended {key}" for key in keys if key not in sizes]
        wrong = [k for k in keys if k in sizes and self._texts[k] != text_of(k, sizes[k])]
        return found + [f"{key} is not as it was appended" for key in wrong]


def stopped_holders(effort: Effort) -> list[Attacked]:
    """Stop who holds the lock of a log while hooks want it (A8, A9; F13).

    The hooks end with what they have to say in the spool; after SIGCONT the holder's line and
    theirs are in the log, once.
    """
    row = Attacked("stops: holder of a log's lock", "SIGSTOP")
    with ForkServer(effort.directory) as server:
        for number in effort.numbers():
            effort.say(f"{row.attack}: round {number}")
            store = effort.store(f"stopped-{number}/.claude/provenance")
            found = _stop_and_record(effort, number, server, store)
            row.injected += 1
            row.runs += 1
            row.violated(found, f"seed {effort.seed}, run {number}")
            if not found:
                shutil.rmtree(project_of(store.root))
    return [row]


def _stop_and_record(effort: Effort, number: int, server: ForkServer, store: Store) -> list[str]:
    random = effort.random(number)
    record_one(server, store, "before")
    (directory,) = store.session_directories()
    held = effort.directory / f"held-{number}"
    holder = server.start("hold", directory.log, held)
    until(held.exists, "the holder to hold the lock")
    server.send(holder, signal.SIGSTOP)
    keys = [f"meanwhile-{place}" for place in range(random.randint(1, 3))]
    for key in keys:
        record_one(server, store, key)  # returns, or the test's own time is over
    spooled = len(spooled_paths(store.root))
    held.unlink()
    if random.random() < 0.5:
        server.send(holder, signal.SIGKILL)
    server.send(holder, signal.SIGCONT)
    code = server.wait(holder)
    drain_store(store)
    found = [] if spooled == len(keys) else [f"{spooled} of {len(keys)} events were spooled"]
    told = messages_of(directory)
    if told != ["before", *keys]:
        found.append(f"the log holds {told}")
    expected = expected_of(directory)
    holders = [one for one in expected.acked.values() if one["tool"] == "holder"]
    if (code == 0) != (len(holders) == 1):
        found.append(f"the holder ended with {code}, and has {len(holders)} lines")
    return [*found, *violations(store, [expected], effort.directory)]


def record_one(server: ForkServer, store: Store, key: str) -> float:
    """Let a hook record a notification, and return how long it took."""
    payload = (
        '{"session_id": "stopped", "hook_event_name": "Notification", '
        f'"cwd": "/nowhere", "message": "{key}"}}'
    )
    began = time.monotonic()
    server.run("record", project_of(store.root), payload)
    return time.monotonic() - began


def actions_of(directory: SessionDirectory) -> list[dict[str, Any]]:
    """Return the actions of a log; lines that are none are passed over."""
    found = []
    for chunk in read_log(directory.log):
        for raw in chunk.lines:
            try:
                found.append(parse_object(raw.content or b""))
            except LineInvalid:
                continue
    return found


def messages_of(directory: SessionDirectory) -> list[str]:
    """Return what the notifications in a log said, in order."""
    return [
        one["details"]["message"]
        for one in actions_of(directory)
        if one.get("event_name") == "notification"
    ]


def expected_of(directory: SessionDirectory) -> Expected:
    """Return that a log must keep what it holds now, each event once."""
    members = {one["database_event_id"]: {"tool": one["tool"]} for one in actions_of(directory)}
    return Expected(directory.log, members, unended(directory.log), verdicts=CUT)


def unended(log: Path) -> list[str]:
    """Return the id of an event that lacks nothing but its newline, which the next append adds."""
    tail = log.read_bytes().rpartition(b"\n")[2]
    try:
        return [str(parse_object(tail)["database_event_id"])]
    except LineInvalid:
        return []
