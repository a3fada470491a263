"""Every recorded payload, one recorder process each, in any order and at once, in bad conditions.

The payloads come from several versions of Claude Code and several loggers; most are of versions
that told hooks no `tool_use_id`. What a log must hold of them is counted from the payloads alone.
"""

from __future__ import annotations

import fcntl
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hook_cases import COMMAND, SILENT, as_bytes, payload, project_of, run_hook
from imported_sessions import Action, calls_of, logs_of, new_store
from mounting import fill, mounted, small_disk

from provenance_log.claude_code.actions import store_session_id
from provenance_log.claude_code.recorder import drain_store
from provenance_log.store import Store

Payload = dict[str, Any]

HELD_S = 60.0
NOT_HOOKS = ("chat.json", "status_line.json")


@pytest.fixture(scope="module")
def payloads(shared_data: Path) -> list[Payload]:
    files = sorted((shared_data / "hook-payloads").rglob("*.json"))
    found: list[Payload] = []
    for path in files:
        if path.name not in NOT_HOOKS:
            found += json.loads(path.read_text())
    assert len(found) > 1_000
    return found


def is_whole(one: Payload) -> bool:
    return bool(one.get("session_id")) and bool(one.get("hook_event_name"))


def feed(
    store: Store, payloads: Sequence[Payload], at_once: int
) -> Counter[tuple[int, bytes, bytes]]:
    with ThreadPoolExecutor(at_once) as pool:
        return Counter(pool.map(lambda one: run_hook(as_bytes(one), project_of(store)), payloads))


def key_of(one: Payload) -> tuple[str, str, str]:
    """What two payloads about one call have in common."""
    same = [one.get("tool_name"), one.get("tool_input")]
    named = one.get("tool_use_id") or json.dumps(same, sort_keys=True)
    return store_session_id(one["session_id"]), "named" if one.get("tool_use_id") else "", named


def counts_of(payloads: Sequence[Payload], event: str) -> Counter[tuple[str, str, str]]:
    """How many calls the payloads of an event tell of; a named one is told of once."""
    found = Counter(key_of(one) for one in payloads if one.get("hook_event_name") == event)
    return Counter({key: 1 if key[1] else count for key, count in found.items()})


@pytest.mark.parametrize(("seed", "at_once"), [(1, 1), (2, 8)], ids=["shuffled", "at once"])
def test_every_payload_is_in_a_log_once_whatever_the_order(
    tmp_path: Path, payloads: list[Payload], seed: int, at_once: int
) -> None:
    """A1, A4, A8."""
    store = new_store(tmp_path)
    shuffled = random.Random(seed).sample(payloads, len(payloads))
    assert feed(store, shuffled, at_once) == {SILENT: len(payloads)}
    drain_store(store)
    assert not list((store.root / "spool").glob("*"))

    whole = [one for one in payloads if is_whole(one)]
    logs = logs_of(store)
    assert set(logs) == {store_session_id(one["session_id"]) for one in whole}
    problems = (store.root / "recorder-problems.jsonl").read_text().splitlines()
    reasons = Counter(json.loads(line)["reason"] for line in problems)
    assert reasons == {"no session_id": len(payloads) - len(whole)}

    starts, ends = counts_of(whole, "PreToolUse"), counts_of(whole, "PostToolUse")
    actions = [one for log in logs.values() for one in log]
    assert len([one for one in actions if one["event_type"] == "tool_start"]) == starts.total()
    settled = [one for one in calls_of(actions) if not one["details"].get("pending")]
    assert len(settled) == ends.total()
    known = {
        (session_id, one["details"]["call_id"])
        for session_id, log in logs.items()
        for one in log
        if "call_id" in one["details"]
    }
    assert len(known) == (starts | ends).total()
    others = Counter(one["hook_event_name"] for one in whole if "tool_name" not in one)
    lines = [one for one in actions if one["event_type"] in {"log", "lifecycle"}]
    # Each event has a line, beside the first line of its session; a session that was not there
    # before has no other line for its start.
    begun = [log[0]["details"]["session"]["kwargs"] for log in logs.values()]
    started = [one for one in begun if one["first_event"] == "SessionStart"]
    plain_count = sum(one.get("source", "startup") == "startup" for one in started)
    assert len(lines) == others.total() + len(logs) - plain_count
    for directory in store.session_directories():
        assert_sound(directory.log)


def assert_sound(log: Path) -> None:
    """A4: one chain, dense numbers, no event twice."""
    actions = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [one["action_id"] for one in actions] == list(range(1, len(actions) + 1))
    ids = [one["database_event_id"] for one in actions]
    assert len(set(ids)) == len(ids)


def test_a_lock_that_is_held_for_a_minute_delays_no_hook_and_loses_none(tmp_path: Path) -> None:
    """A8, A9, F13."""
    store = new_store(tmp_path)
    assert run_hook(as_bytes(payload("SessionStart")), project_of(store)) == SILENT
    (directory,) = store.session_directories()
    count, longest_s = 0, 0.0
    with directory.log.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        until = time.monotonic() + HELD_S
        while time.monotonic() < until:
            started = time.monotonic()
            one = payload("Notification", message=str(count))
            assert run_hook(as_bytes(one), project_of(store)) == SILENT
            longest_s = max(longest_s, time.monotonic() - started)
            count += 1
    assert longest_s < 10
    assert drain_store(store) == count
    (actions,) = logs_of(store).values()
    told = [one["details"]["message"] for one in actions if one["event_name"] == "notification"]
    assert told == [str(number) for number in range(count)]


def test_a_full_disk_stops_no_hook_and_later_ones_are_recorded(
    tmp_path: Path, payloads: list[Payload]
) -> None:
    """A2, A8, F05: what could not be kept is lost, and nothing else."""
    chosen = [one for one in payloads if is_whole(one)][:40]
    with small_disk(tmp_path / "small", "256k") as place:
        store = new_store(place)
        ballast = fill(place)
        assert feed(store, chosen, 4) == {SILENT: len(chosen)}
        assert logs_of_whole(store) == {}
        ballast.unlink()
        assert run_hook(as_bytes(payload("Stop")), project_of(store)) == SILENT
        assert [one["event_name"] for one in logs_of_whole(store)[payload("x")["session_id"]]] == [
            *("session_start", "turn_end")
        ]


def logs_of_whole(store: Store) -> dict[str, list[Action]]:
    """The logs of sessions that have a first line; a full disk leaves directories without."""
    for directory in store.session_directories():
        if not directory.log.exists() or not directory.log.stat().st_size:
            directory.log.unlink(missing_ok=True)
            directory.path.rmdir()
    return logs_of(store)


def test_a_store_that_is_read_only_stops_no_hook(tmp_path: Path, payloads: list[Payload]) -> None:
    """A2, A8, F07."""
    chosen = [one for one in payloads if is_whole(one)][:20]
    with mounted(tmp_path / "place", "-t", "tmpfs", "-o", "size=4m", "none") as place:
        store = new_store(place)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert feed(store, chosen, 4) == {SILENT: len(chosen)}
        assert store.session_directories() == []
        assert not (store.root / "spool").exists()


def test_the_command_is_the_one_that_an_install_writes() -> None:
    """A8."""
    from provenance_log.claude_code.hook_settings import recorder_command

    assert recorder_command(None).split() == COMMAND
