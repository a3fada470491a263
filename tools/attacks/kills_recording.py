"""Recorders of hooks, and those who drain the spool, are killed at random.

A recorder tells nobody anything: it ends with 0, and that is its acknowledgement. So every payload
is of an event that can be told from all others, and after a recorder has ended the event is in a
log or in the spool. What is in the spool is in a log once, however often the draining was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from attacks.effort import Effort
from attacks.forking import KILLED, ForkServer, Moments
from attacks.kills import actions_of, expected_of
from attacks.postcheck import violations
from attacks.scoring import Attacked
from provenance_log.claude_code import hook
from provenance_log.claude_code.arrivals import Arrival, to_spool
from provenance_log.claude_code.recorder import drain_store
from provenance_log.recorder_state import recorder_state
from provenance_log.spool import spooled_paths, write_spooled
from provenance_log.store import Store, project_of
from provenance_log.store_redaction import redactor_of

BATCHES = 12
"""Of recorders or drainers, after which a store is checked and left."""
_AT_ONCE_MAX = 4
_ANEW_SHARE = 0.05
"""Of the recorders, those that are started as Claude Code starts them."""
_SPOOLED_MAX = 12
_ANEW_S = 0.15
"""About as long as those take."""
_NEW_SESSION_SHARE = 0.1
_EVENTS = ("Notification", "PostToolUse", "PreToolUse", "UserPromptSubmit")
_COMMAND = (sys.executable, "-I", "-S", str(hook.__file__))

Payload = dict[str, Any]


def recorders(effort: Effort, *, sabotage: str = "") -> list[Attacked]:
    """Kill recorders of hooks, up to four at once, one process per event (A1, A2, A8; F21)."""
    row = Attacked("kills: hook recorders", "kills")
    with ForkServer(effort.directory, sabotage=sabotage) as server:
        moments = _learn(effort, server)
        for number in effort.numbers():
            effort.say(f"{row.attack}: round {number}, {row.injected:,} kills")
            random = effort.random(number)
            told = Told(effort.store(f"recorders-{number}/.claude/provenance"), random)
            for _ in range(BATCHES):
                _record_batch(server, moments, told, row)
            found = told.violations(effort, server)
            row.violated(found, f"seed {effort.seed}, run {number}")
            if not found:
                shutil.rmtree(project_of(told.store.root))
    return [row]


def drainers(effort: Effort, *, sabotage: str = "") -> list[Attacked]:
    """Kill who takes events from the spool into logs, at times two at once (A1, A2, A8)."""
    row = Attacked("kills: drain", "kills")
    with ForkServer(effort.directory, sabotage=sabotage) as server:
        moments = _learn_draining(effort, server)
        for number in effort.numbers():
            effort.say(f"{row.attack}: round {number}, {row.injected:,} kills")
            random = effort.random(number)
            told = Told(effort.store(f"drainers-{number}/.claude/provenance"), random)
            for _ in range(BATCHES):
                spool(told)
                task = ("drain", told.store.root)
                tasks = [(moments.choose(random), task) for _ in range(random.choice((1, 1, 2)))]
                codes = server.run_and_kill(tasks)
                row.runs += len(codes)
                row.injected += codes.count(KILLED)
                told.failed += codes.count(1)
            found = told.violations(effort, server)
            row.violated(found, f"seed {effort.seed}, run {number}")
            if not found:
                shutil.rmtree(project_of(told.store.root))
    return [row]


def _learn(effort: Effort, server: ForkServer) -> Moments:
    told = Told(effort.store("dry/.claude/provenance"), effort.random(-1))
    project = project_of(told.store.root)
    took_s = [server.run("record", project, json.dumps(told.payload())) for _ in range(5)]
    shutil.rmtree(project)
    return Moments(max(took_s))


def _learn_draining(effort: Effort, server: ForkServer) -> Moments:
    told = Told(effort.store("dry/.claude/provenance"), effort.random(-1))
    spool(told)
    took_s = server.run("drain", told.store.root)
    shutil.rmtree(project_of(told.store.root))
    return Moments(took_s)


def _record_batch(server: ForkServer, moments: Moments, told: Told, row: Attacked) -> None:
    random = told.random
    if random.random() < _ANEW_SHARE:
        payload = told.payload()
        code = _run_anew(told.store, payload, random.uniform(0.0, _ANEW_S))
        outcomes = [(payload, code)]
    else:
        payloads = [told.payload() for _ in range(random.randint(1, _AT_ONCE_MAX))]
        project = project_of(told.store.root)
        tasks = [(moments.choose(random), ("record", project, json.dumps(p))) for p in payloads]
        outcomes = list(zip(payloads, server.run_and_kill(tasks), strict=True))
    for payload, code in outcomes:
        told.note(payload, is_acked=code == 0)
        row.runs += 1
        row.injected += code in {KILLED, -signal.SIGTERM}


def _run_anew(store: Store, payload: Payload, after_s: float) -> int:
    """Start a recorder as Claude Code does, and end it as Claude Code does; return its code."""
    environment = {"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(project_of(store.root))}
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(json.dumps(payload).encode())
    time.sleep(after_s)
    process.terminate()
    process.kill()
    return process.wait()


def spool(told: Told) -> None:
    """Leave events in the spool, as recorders do that find a log locked."""
    root = told.store.root
    for _ in range(told.random.randint(1, _SPOOLED_MAX)):
        payload = told.payload()
        stamp = f"2026-03-01T09:00:00.{told.count:06d}Z"
        arrival = Arrival(payload, stamp, {}, f"00000000-0000-4000-8000-{told.count:012d}")
        write_spooled(root, stamp, to_spool(arrival, redactor_of(root).redact))
        told.note(payload, is_acked=True)


@dataclass(slots=True)
class Told:
    """What recorders of one store were told, and what must be in the logs of it."""

    store: Store
    random: Random
    count: int = 0
    failed: int = 0
    """Tasks that ended with an error."""
    _acked: set[str] = field(default_factory=set)
    _unknown: set[str] = field(default_factory=set)
    _open: list[tuple[str, str]] = field(default_factory=list)
    """Session and id of calls that have begun."""
    _session: str = "session-0"

    def payload(self) -> Payload:
        """Return a payload that can be told from all others; at times of a new session."""
        self.count += 1
        key = f"key-{self.count}"
        if self.random.random() < _NEW_SESSION_SHARE:
            self._session = f"session-{self.count}"
        event = self.random.choice(_EVENTS)
        more: Payload = {}
        if event == "PostToolUse" and not self._open:
            event = "PreToolUse"
        if event == "PostToolUse":
            session, call = self._open.pop(self.random.randrange(len(self._open)))
            more = {**_call(call), "tool_response": {"stdout": key}, "session_id": session}
        elif event == "PreToolUse":
            self._open.append((self._session, key))
            more = _call(key)
        elif event == "Notification":
            more = {"message": key}
        else:
            more = {"prompt": key}
        return {"session_id": self._session, "hook_event_name": event, "cwd": "/nowhere", **more}

    def note(self, payload: Payload, *, is_acked: bool) -> None:
        """Remember that a recorder was given this, and whether it came to its end."""
        (self._acked if is_acked else self._unknown).add(_name_of(payload))

    def violations(self, effort: Effort, server: ForkServer) -> list[str]:
        """Take what is in the spool into the logs, and return what is wrong then."""
        found = [f"{self.failed} tasks failed: {server.complaints()}"] * bool(self.failed)
        drain_store(self.store)
        left = spooled_paths(self.store.root)
        found += [f"{len(left)} events are still in the spool"] * bool(left)
        noted = recorder_state(self.store.root)
        found += [f"recorders noted problems: {noted.last_problem}"] * bool(noted.problem_count)
        directories = [one for one in self.store.session_directories() if one.log.exists()]
        actions = [actions_of(directory) for directory in directories]
        counts = Counter(filter(None, (_told_by(one) for log in actions for one in log)))
        wrong = [name for name in sorted(self._acked) if counts[name] != 1]
        found += [f"{name}: told, and there {counts[name]} times" for name in wrong]
        wrong = [name for name in sorted(self._unknown) if counts[name] > 1]
        found += [f"{name}: there {counts[name]} times" for name in wrong]
        strange = sorted(counts.keys() - self._acked - self._unknown)
        found += [f"nobody told of {strange}"] * bool(strange)
        expected = [expected_of(directory) for directory in directories]
        more = violations(self.store, expected, effort.directory)
        return [*found, *more]


def _call(call_id: str) -> Payload:
    return {"tool_name": "Bash", "tool_input": {"command": call_id}, "tool_use_id": call_id}


def _name_of(payload: Payload) -> str:
    """Return what tells the event of a payload from all others."""
    told = payload.get("message") or payload.get("prompt") or payload["tool_use_id"]
    return f"{payload['hook_event_name']} {told}"


def _told_by(action: dict[str, Any]) -> str:
    """Return the same of a line; empty for lines that no payload tells of."""
    details = action.get("details", {})
    if action.get("event_type") == "tool_start":
        return f"PreToolUse {details['call_id']}"
    if action.get("event_type") == "tool_call" and not details.get("pending"):
        return f"PostToolUse {details['call_id']}"
    if action.get("event_name") == "notification":
        return f"Notification {details['message']}"
    if action.get("event_name") == "user_prompt":
        return f"UserPromptSubmit {details['text']}"
    return ""
