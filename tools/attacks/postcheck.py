"""The standard look at a store after any fault.

It goes on as a user would, and then asks for five things: `verify` says of each log what may be
true of it, ten more appends succeed, every acknowledged event is there exactly once and nothing
is there that nobody appended, the tables are what a rebuild makes of the logs, and no temporary
file, lock or descriptor is left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sample_action import ACTION
from soaking.equality import differing_tables

from projections.holders import holders
from projections.projector import catch_up
from provenance_log.appender import Appender
from provenance_log.errors import LineInvalid, ProvlogError
from provenance_log.reader import read_log
from provenance_log.store import Store
from provenance_log.strict_json import parse_object
from provenance_log.verifying import verify_log

SOUND = frozenset({"OK", "OK-unsealed-tail"})
"""The verdicts on a log that nothing but our own programs wrote to, and none of them was cut."""
CUT = SOUND | {"QUARANTINED"}
"""The same where a line may have been cut, by a kill, a full disk or a power cut."""

NOTHING_LEFT = r"(?!)"
APPENDS = 10
_TOOL = "Postcheck"
"""So that what this look itself appends is not taken for what was appended before."""
# Whatever we stage or write beside a file has a hidden name; a store has one of its own.
_TEMPORARY = re.compile(r"^\.(?!gitignore$)|\.(tmp|new)$|\.rebuild-|\.wal$|\.corrupt-|broken$")


@dataclass(frozen=True, slots=True)
class Expected:
    """What may and what must be in one log."""

    log: Path
    acked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Event id → the members that its line must have; each is there exactly once."""
    unknown: Collection[str] = ()
    """Event ids that were begun and never acknowledged: each is there once or not at all."""
    verdicts: Collection[str] = SOUND


def violations(
    store: Store, expected: Collection[Expected], directory: Path, *, leftovers: str = NOTHING_LEFT
) -> list[str]:
    """Go on with a store, and return every promise that is broken in it, a sentence each.

    `directory` is for a side database; names that match `leftovers` may stay in the store.
    """
    found = [text for item in expected for text in _log_violations(item)]
    try:
        report = catch_up(store)
    except ProvlogError as error:
        return [*found, f"the projector failed: {error}"]
    found += [f"the projector passed over something: {text}" for text in report.problems]
    differing = differing_tables(store, directory)
    found += [f"not what a rebuild gives: {differing}"] if differing else []
    return [*found, *_left(store, re.compile(leftovers))]


def _log_violations(expected: Expected) -> Iterator[str]:
    log = expected.log
    verdict = verify_log(log).verdict.partition("(")[0]
    if verdict not in expected.verdicts:
        yield f"{log.parent.name}: verify says {verdict}"
    appender = Appender(log)
    try:
        added = [appender.append(ACTION | {"tool": _TOOL}).action_id for _ in range(APPENDS)]
        if added != list(range(added[0], added[0] + APPENDS)):
            yield f"{log.parent.name}: ten more appends got the numbers {added}"
    except ProvlogError as error:
        yield f"{log.parent.name}: an append failed afterwards: {error}"
    finally:
        appender.close()
    yield from _event_violations(expected)


def _event_violations(expected: Expected) -> Iterator[str]:
    name = expected.log.parent.name
    events = events_of(expected.log)
    for event_id, members in expected.acked.items():
        lines = events.get(event_id, [])
        if len(lines) != 1:
            yield f"{name}: the acknowledged event {event_id} is there {len(lines)} times"
        elif any(lines[0].get(key) != value for key, value in members.items()):
            yield f"{name}: the event {event_id} is not as it was appended"
    for event_id in expected.unknown:
        if len(events.get(event_id, [])) > 1:
            yield f"{name}: the event {event_id} is there {len(events[event_id])} times"
    ours = {event_id for event_id, lines in events.items() if lines[0].get("tool") == _TOOL}
    strange = events.keys() - ours - {*expected.acked, *expected.unknown}
    if strange:
        yield f"{name}: events that nobody appended: {sorted(strange)}"


def events_of(log: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the actions of a log by their event ids; lines that are none are passed over."""
    events: dict[str, list[dict[str, Any]]] = {}
    for chunk in read_log(log):
        for raw in chunk.lines:
            try:
                value = parse_object(raw.content or b"")
            except LineInvalid:
                continue
            events.setdefault(str(value.get("database_event_id")), []).append(value)
    return events


def _left(store: Store, may_stay: re.Pattern[str]) -> Iterator[str]:
    for folder, folders, names in os.walk(store.root):
        for name in (*folders, *names):
            if _TEMPORARY.search(name) and not may_stay.search(name):
                yield f"left behind: {Path(folder, name).relative_to(store.root)}"
    logs = (item.log for item in store.session_directories())
    for path in (*sorted(store.root.glob("*.lock")), *logs):
        if held := holders(path):
            yield f"still locked: {path.relative_to(store.root)}, by {held}"
    for link in Path("/proc/self/fd").glob("*"):
        try:
            target = link.readlink()
        except FileNotFoundError:  # the one of the listing itself
            continue
        if target.is_relative_to(store.root):
            yield f"a descriptor is open: {target.relative_to(store.root)}"
