"""Appends, and what each of them must do: bytes, numbers, chain and refusals, predicted.

An appender that stays open remembers the end of its log and looks again when the size is another.
So an edit of the same size between two of its appends leaves the chain as the appender knew it,
and the broken link tells of the edit: `_Held` is that memory, told a second time.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never
from unittest.mock import patch
from uuid import UUID

from attacks.model_bytes import (
    End,
    digest_of,
    end_of,
    head_of,
    line_of,
    lines_of,
    value_of,
)
from attacks.model_world import World
from provenance_log import files
from provenance_log.appender import Appended, Appender
from provenance_log.errors import (
    AppendNotWritten,
    IdConflict,
    LogUnsafe,
    ProvlogError,
    StoreNotWritable,
    WrongExpectedActionId,
)

Action = Mapping[str, Any]
_MADE_AT_APPEND = ("timestamp", "database_event_id")
_HEADS_MAX = 6


class Killed(BaseException):
    """The process ends here, and nothing after this line happens."""


@dataclass(slots=True)
class _Held:
    """What an open appender knows: which file it has open, and the end it saw last."""

    inode: int | None
    end: End | None


class Writers:
    """The appenders of one world, one for each path, as a program each would have them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._appenders: dict[str, Appender] = {}
        self._held: dict[str, _Held] = {}

    def close(self, name: str | None = None) -> None:
        """End the programs that append to one path, or to any."""
        for one in [name] if name is not None else list(self._appenders):
            if one in self._appenders:
                self._appenders.pop(one).close()
                self._held.pop(one)

    def append(
        self, name: str, actions: Sequence[Action], *, expected_action_id: int | None = None
    ) -> None:
        """Append and compare; AssertionError where something else happened than must."""
        appender = self._appender(name)
        refusal = self._refusal(name)
        before = self._end(name) if refusal is None else None
        placed: list[Appended] = []
        try:
            if len(actions) == 1:
                one = appender.append(actions[0], expected_action_id=expected_action_id)
                placed = [one]
            else:
                placed = appender.append_many(actions)
        except ProvlogError as error:
            outcome: type[ProvlogError] | None = type(error)
        else:
            outcome = None
        if before is None:
            assert outcome is refusal, f"the append was refused with {outcome}, not {refusal}"
            self._held[name] = _Held(None, None)
            return
        wrong = expected_action_id not in {None, before.action_id + 1}
        self._compare(name, before, [] if wrong else actions, placed, outcome, wrong=wrong)

    def _compare(
        self,
        name: str,
        before: End,
        actions: Sequence[Action],
        placed: Sequence[Appended],
        outcome: type[ProvlogError] | None,
        *,
        wrong: bool,
    ) -> None:
        place = self.world.places[name]
        data, end = self.world.data(name), before
        if wrong:
            assert outcome is WrongExpectedActionId, outcome
        if before.is_torn and any("database_event_id" in action for action in actions):
            data += b"\n"  # the fragment may be the very event, so it is looked at first
            end = end_of(data)
        known = [_position_of(data, action) for action in actions]
        given = [action["database_event_id"] for action in actions if "database_event_id" in action]
        is_conflict = len(set(given)) < len(given) or "conflict" in known
        if is_conflict:
            assert outcome is IdConflict, outcome
        elif not wrong:
            assert outcome is None, outcome
            data, end = self._written(name, data, end, actions, known, placed)
        place.data = data
        found = self.world.log(name).read_bytes()
        assert found == data, f"{name} holds {found[-700:]!r}, not {data[-700:]!r}"
        self._held[name] = _Held(self.world.inode(name), end)
        if not wrong and lines_of(data):
            place.heads = [*place.heads, head_of(data)][-_HEADS_MAX:]

    def _written(
        self,
        name: str,
        data: bytes,
        end: End,
        actions: Sequence[Action],
        known: Sequence[Any],
        placed: Sequence[Appended],
    ) -> tuple[bytes, End]:
        assert len(placed) == len(actions)
        added = self.world.log(name).read_bytes()[len(data) :].lstrip(b"\n").split(b"\n")
        if end.is_torn and None in known:
            data += b"\n"
        number, prev = end.action_id, end.prev
        for action, there, one in zip(actions, known, placed, strict=True):
            if there is not None:
                assert one.was_there, f"{action} was there already, at {there}"
                assert (one.action_id, one.offset, one.length, one.hash) == there
                continue
            number += 1
            line = line_of(_filled(action, added.pop(0)), number, prev)
            prev = digest_of(line)
            assert not one.was_there, f"{action} was not there"
            assert (one.action_id, one.offset, one.length, one.hash) == (
                number,
                len(data),
                len(line),
                prev,
            )
            data += line + b"\n"
        if all(there is not None for there in known):
            return data, end
        return data, End(len(data), prev, number, is_torn=False)

    def append_killed(self, name: str, action: Action, written_bytes: int) -> None:
        """Kill the appender in its write, of which that many bytes were done, or all."""
        if self._refusal(name) is not None:
            return
        end, whole = self._end(name), b""

        def write_some(fd: int, data: bytes, _start: int, _path: Path) -> Never:
            nonlocal whole
            whole = data
            os.write(fd, data[:written_bytes])
            raise Killed

        try:
            with patch.object(files, "append_bytes", write_some):
                self._appender(name).append(action)
        except Killed:
            pass
        self.close(name)
        line = line_of(action, end.action_id + 1, end.prev)
        assert whole == (b"\n" if end.is_torn else b"") + line + b"\n"
        self.world.places[name].data = self.world.data(name) + whole[:written_bytes]

    def append_to_a_full_disk(self, name: str, action: Action, free_bytes: int) -> None:
        """Let the system take some bytes of a line and no more: nothing of it may stay."""
        if self._refusal(name) is not None:
            return
        if self.world.places[name].data is None:
            self.append(name, [action])
            return
        size_bytes = len(self.world.data(name))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes + free_bytes, hard))
        try:
            self._appender(name).append(action)
        except AppendNotWritten:
            pass
        else:
            raise AssertionError("a line was written where there was no room for it")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self._held[name] = _Held(self.world.inode(name), None)
        assert self.world.log(name).read_bytes() == self.world.data(name)

    def known_event_ids(self, name: str) -> list[str]:
        """Return the ids of the events in a log."""
        values = map(value_of, lines_of(self.world.data(name)))
        return [v["database_event_id"] for v in values if v and "database_event_id" in v]

    def next_action_id(self, name: str) -> int:
        """Return the number that the next append gives."""
        return self._end(name).action_id + 1

    def event(self, name: str, event_id: str) -> dict[str, Any]:
        """Return the event as an agent would hand it over again."""
        for line in lines_of(self.world.data(name)):
            value = value_of(line)
            if value is not None and value.get("database_event_id") == event_id:
                return {k: v for k, v in value.items() if k not in {"action_id", "prev"}}
        raise KeyError(event_id)

    def _appender(self, name: str) -> Appender:
        if name not in self._appenders:
            self._appenders[name] = Appender(self.world.log(name))
            self._held[name] = _Held(None, None)
        return self._appenders[name]

    def _refusal(self, name: str) -> type[ProvlogError] | None:
        place = self.world.places.get(name)
        if place is None:
            return StoreNotWritable
        if place.form == "symlink":
            return LogUnsafe
        held = self._held.get(name)
        is_open = held is not None and held.inode == self.world.inode(name) is not None
        return LogUnsafe if place.form == "hard link" and not is_open else None

    def _end(self, name: str) -> End:
        held, data = self._held.get(name), self.world.data(name)
        end = None if held is None or held.inode != self.world.inode(name) else held.end
        if end is not None and end.size_bytes == len(data):
            return end
        return end_of(data)


def _position_of(data: bytes, action: Action) -> Any:
    """Return where an event is already, `conflict` where it has other content, or None."""
    if "database_event_id" not in action:
        return None
    ignored = {"action_id", "prev"} | ({"timestamp"} if "timestamp" not in action else set())
    offset = 0
    for line in lines_of(data):
        value = value_of(line)
        if value is not None and value.get("database_event_id") == action["database_event_id"]:
            content = {k: v for k, v in value.items() if k not in ignored}
            if content != {k: v for k, v in action.items() if k not in ignored}:
                return "conflict"
            return value["action_id"], offset, len(line), digest_of(line)
        offset += len(line) + 1
    return None


def _filled(action: Action, line: bytes) -> Action:
    """Return an action with the time and the id that the appender gave it."""
    value = value_of(line) or {}
    made = {key: value.get(key) for key in _MADE_AT_APPEND if key not in action}
    if "database_event_id" in made:
        UUID(str(made["database_event_id"]))
    return {**action, **made}
