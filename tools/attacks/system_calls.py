"""A fault at every system call of an operation, and the standard look at what is left.

Every call that an operation makes on files of its store is killed in, and made to fail with EIO,
ENOSPC, EINTR, EDQUOT and EACCES, one fault per run. What fails must fail with an error of ours,
what was acknowledged must be there, and the same operation must succeed afterwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from sample_action import ACTION

from attacks.effort import Effort, Impossible
from attacks.forking import KILLED, ForkServer
from attacks.injecting import Case, cases, counted, go, inject, why_impossible
from attacks.operations import SPOOLED_SESSION, STARTED_AT, Notes, spool_some
from attacks.postcheck import NOTHING_LEFT, Expected, events_of, violations
from attacks.scoring import Attacked
from projections.projector import catch_up
from provenance_log.appender import Appender
from provenance_log.claude_code.actions import store_session_id
from provenance_log.recording import SessionHeader, start_session
from provenance_log.restoring import restore_sessions
from provenance_log.spool import spooled_paths
from provenance_log.store import LOG_NAME, Store, initialise_store, open_store

TASKS = "attacks.operations"
OF_LOGS = ("append", "append_many", "group commit", "create session")
"""Operations that write to one log, so that many may share a store and one look at its tables."""
OF_DATABASES = ("project a batch", "write derived files", "rebuild and swap")
OF_SESSIONS = ("copy", "archive", "spool and drain")
OF_STORES = (*OF_DATABASES, *OF_SESSIONS)
CASES_MAX = 260
"""Of one operation; more would be spent on the reads of a database."""
_GROUP = 25
_ALL = 1_000_000


def faults(
    effort: Effort, operation: str, *, cases_max: int = CASES_MAX, sabotage: str = ""
) -> Attacked:
    """Inject every fault into every call of an operation, or the effort's number of them.

    The order is by chance, so that a bound of times or time leaves a sample of all calls.
    """
    row = Attacked(f"system calls: {operation}", "faults")
    with ForkServer(effort.directory, tasks=TASKS, sabotage=sabotage) as server:
        bench = _Bench(effort, operation, server)
        chosen = cases(bench.calls(), cases_max)
        effort.random(0).shuffle(chosen)
        for number in effort.numbers():
            group = chosen[number * bench.group : (number + 1) * bench.group]
            if not group:
                break
            bench.attack(row, [(case,) for case in group], f"seed {effort.seed}, {number}")
    return row


def system_calls(effort: Effort) -> list[Attacked]:
    """Inject into all operations by turns, single faults and pairs, for a soak run."""
    if reason := why_impossible():
        raise Impossible(reason)
    rows = []
    for number in effort.numbers():
        operation = (*OF_LOGS, *OF_STORES)[number % 10]
        times = 2 if operation in OF_LOGS else 20
        rows.append(faults(effort.part(number, "single", times), operation, cases_max=_ALL))
        rows.append(pairs(effort.part(number, "pairs", times), operation))
    return rows


def pairs(effort: Effort, operation: str) -> Attacked:
    """Inject a fault, and then another one into the same operation, which is to recover (F20)."""
    row = Attacked(f"system calls: {operation}, twice", "faults")
    with ForkServer(effort.directory, tasks=TASKS) as server:
        bench = _Bench(effort, operation, server)
        chosen = cases(bench.calls(), _ALL)
        for number in effort.numbers():
            random = effort.random(number)
            group = [(random.choice(chosen), random.choice(chosen)) for _ in range(bench.group)]
            bench.attack(row, group, f"seed {effort.seed}, {number}")
    return row


@dataclass(slots=True)
class _Target:
    """What one run works on, and what must be in it afterwards."""

    store: Store
    name: str
    notes: Notes
    complaints: list[str] = field(default_factory=list)


class _Bench:
    """Prepares stores, runs an operation in them under faults, and looks at what is left."""

    def __init__(self, effort: Effort, operation: str, server: ForkServer) -> None:
        self._operation = operation
        self._server = server
        self._directory = effort.directory
        self._numbers = count()
        self._template = self._directory / "template"
        _prepare(self._template, operation)
        self.group = _GROUP if operation in OF_LOGS else 1

    def calls(self) -> list[tuple[str, int]]:
        """Count the calls of a run without faults."""
        (target,) = self._targets(1)
        found = counted(self._server, f"{target.store.root.parent}/", self._task(target))
        if not target.notes.said("ended"):
            raise RuntimeError(f"{self._operation} fails without a fault: {target.notes.path}")
        shutil.rmtree(target.store.root.parent)
        return found

    def attack(self, row: Attacked, group: Sequence[tuple[Case, ...]], where: str) -> None:
        """Run the operation once for each fault or two, and check what is left of all."""
        targets = self._targets(len(group))
        for target, faults_of_run in zip(targets, group, strict=True):
            for case in faults_of_run:
                self._inject(target, case)
                row.injected += 1
            row.runs += 1
        found = self._after(targets)
        found += [text for target in targets for text in target.complaints]
        told = "; ".join(" then ".join(map(str, one)) for one in group)
        row.violated(found, f"{where} ({told})" if len(group) == 1 else where)
        if not found:
            shutil.rmtree(targets[0].store.root.parent)

    def _targets(self, number: int) -> list[_Target]:
        case = self._directory / f"case-{next(self._numbers)}"
        root = case / "store"
        shutil.copytree(self._template / "store", root)
        store = open_store(root)
        for other in self._template.glob("other*"):
            shutil.copytree(other, case / other.name)
        names = [f"s{i}" for i in range(number)]
        if self._operation in OF_LOGS[:-1]:
            for name in names:
                shutil.copytree(store.sessions_dir / "base", store.sessions_dir / name)
        notes = self._directory / f"{case.name}-notes"
        notes.mkdir()
        return [_Target(store, name, Notes(notes / name)) for name in names]

    def _task(self, target: _Target) -> tuple[object, ...]:
        root = target.store.root
        name = root.parent / "other" if self._operation == "copy" else target.name
        return ("operate", self._operation, root, target.notes.path, name)

    def _inject(self, target: _Target, case: Case) -> None:
        code = inject(self._server, self._task(target), case)
        crashed = target.notes.said("crashed")
        if crashed:
            target.complaints.append(f"{case}: no error of ours: {crashed[-1]}")
        is_over = code == KILLED or target.notes.said("ended") or target.notes.said("refused")
        if not (is_over or crashed):
            complaint = f"{case}: it ended with {code}: {self._server.complaints()}"
            target.complaints.append(complaint)
        if self._operation == "append" and target.notes.said("refused"):
            complaint = f"{case}: the next append failed as well: {target.notes.said('refused')}"
            target.complaints.append(complaint)

    def _after(self, targets: Sequence[_Target]) -> list[str]:
        """Do it again without a fault, where somebody would, and look at everything."""
        store, side = targets[0].store, targets[0].store.root.parent
        if self._operation in OF_LOGS:
            expected = [item for target in targets for item in self._expected_of(target)]
            return violations(store, expected, side)
        (target,) = targets
        found: list[str] = []
        if self._operation not in OF_DATABASES[:2]:  # the look itself is their next run
            found += self._next_run(target)
        if self._operation == "archive":
            found += [f"not restored: {text}" for text in _restore(store)]
        original = open_store(self._template / "store")
        # A database that could not be read when a rebuild looked at it is kept aside.
        leftovers = r"\.corrupt-" if self._operation == "rebuild and swap" else NOTHING_LEFT
        expected = list(_whole_logs(original, store))
        found += violations(store, expected, side, leftovers=leftovers)
        if self._operation == "copy":
            other = open_store(side / "other")
            found += violations(other, list(_whole_logs(original, other)), side)
        if self._operation == "spool and drain":
            found += _drained_violations(store)
        return found

    def _next_run(self, target: _Target) -> Iterator[str]:
        before = len(target.notes.said("ended"))
        go(self._server, self._task(target))
        if len(target.notes.said("ended")) == before:
            said = target.notes.said("refused") + target.notes.said("crashed")
            yield f"the next run failed: {said} {self._server.complaints()}"

    def _expected_of(self, target: _Target) -> Iterator[Expected]:
        acked = {event_id for line in target.notes.said("acked") for event_id in line.split()}
        begun = {event_id for line in target.notes.said("begun") for event_id in line.split()}
        if self._operation == "create session":
            yield from _created(target, acked, begun)
            return
        members: dict[str, Mapping[str, Any]] = dict.fromkeys(acked, ACTION)
        members |= _lines_of(self._template / "store" / "sessions" / "base" / LOG_NAME)
        yield Expected(target.store.sessions_dir / target.name / LOG_NAME, members, begun - acked)


def _created(target: _Target, acked: set[str], begun: set[str]) -> Iterator[Expected]:
    """Expect what was acknowledged in one of the sessions: who begins twice makes two of them."""
    missing = set(acked)
    for directory in target.store.session_directories():
        found = events_of(directory.log).keys() & begun if directory.log.exists() else set()
        members = {item: {} if item.endswith("start") else ACTION for item in found & acked}
        if found:
            yield Expected(directory.log, members, begun - members.keys())
        missing -= found
    if missing:
        target.complaints.append(f"acknowledged, and in no log: {sorted(missing)}")
    if acked and target.store.find_session(f"session-{target.name}") is None:
        target.complaints.append(f"acknowledged, but not found by its id: {sorted(acked)}")


def _whole_logs(original: Store, store: Store) -> Iterator[Expected]:
    """Expect every line of the original's logs, once, and nothing else."""
    for directory in original.session_directories():
        log = store.sessions_dir / directory.name / LOG_NAME
        yield Expected(log, _lines_of(directory.log))


def _restore(store: Store) -> Iterator[str]:
    """Bring back what was archived; yields what could not be."""
    for session in restore_sessions(store, ("ended",)):
        if session.state != "restored":
            yield str(session)


def _drained_violations(store: Store) -> Iterator[str]:
    if left := spooled_paths(store.root):
        yield f"still in the spool: {[path.name for path in left]}"
    directory = store.find_session(store_session_id(SPOOLED_SESSION))
    events = {} if directory is None else events_of(directory.log)
    for event_id in (f"spooled-{number}" for number in range(3)):
        if len(events.get(event_id, [])) != 1:
            yield f"the event {event_id} is there {len(events.get(event_id, []))} times"


def _prepare(folder: Path, operation: str) -> None:
    """Make what an operation begins with: a store with sessions, and with tables or without."""
    root = folder / "store"
    initialise_store(root)
    store = open_store(root)
    base = start_session(
        store, SessionHeader(agent_type="attack", session_id="base"), started_at=STARTED_AT
    )
    base.append({**ACTION, "database_event_id": "base-0"})
    base.close()
    base.directory.path.rename(store.sessions_dir / "base")
    if operation in OF_STORES:
        _prepare_tables(folder, store, operation)


def _prepare_tables(folder: Path, store: Store, operation: str) -> None:
    log = store.sessions_dir / "base" / LOG_NAME
    if operation != "archive":
        catch_up(store)
        _add(log, "base-1")
    if operation in {"write derived files", "archive"}:
        catch_up(store)
    if operation == "write derived files":
        for path in (*log.parent.glob("*.yaml"), *log.parent.glob("*.md")):
            path.unlink()
        shutil.rmtree(store.indices_dir)
    if operation == "archive":
        ended = start_session(
            store, SessionHeader(agent_type="attack", session_id="ended"), started_at=STARTED_AT
        )
        ended.end(success=True)
        catch_up(store)
    if operation == "copy":
        initialise_store(folder / "other")
        catch_up(open_store(folder / "other"))
    if operation == "spool and drain":
        spool_some(store, 0, 2)


def _add(log: Path, event_id: str) -> None:
    appender = Appender(log)
    appender.append({**ACTION, "database_event_id": event_id})
    appender.close()


def _lines_of(log: Path) -> dict[str, Mapping[str, Any]]:
    return {event_id: lines[0] for event_id, lines in events_of(log).items()}
