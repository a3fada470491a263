"""The state machine: what anybody may do to a store, in any order, held against the model."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from attacks import model_harms as harms
from attacks import model_keeping as keeping
from attacks.memory_tables import LINES, session_start
from attacks.model_appending import Writers
from attacks.model_bytes import Head, broken_line, head_of, lines_of, verdict_of, whole
from attacks.model_projecting import AGES, LOSSES, InMemory, OnDisk
from attacks.model_world import World
from provenance_log.anchors import Anchor
from provenance_log.annotating import annotate
from provenance_log.verifying import NOT_PROVED_END, verify_log

WHICH = st.integers(0, 7)
CHANCE = st.integers(0, 255)
KINDS = st.sampled_from(sorted(LINES))


class StoreMachine(RuleBasedStateMachine):
    """A store, a second one to copy to, and two projectors of the first."""

    directory: Path
    """Where the stores are made; set by whoever runs the machine."""
    steps = 0
    """Of all machines of a class, as each example has a machine of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.place = Path(tempfile.mkdtemp(prefix="model-", dir=self.directory))
        self.world, self.other = World(self.place), World(self.place, "other")
        self.writers = Writers(self.world)
        self.memory, self.database = InMemory(self.world), OnDisk(self.world)
        self.bystander = self.place / "bystander"
        self.bystander.write_bytes(b"nobody's business")

    def teardown(self) -> None:
        """Compare once more, and clean up unless something is wrong."""
        failed = sys.exc_info()[0] is not None
        self.writers.close()
        try:
            if not failed:
                failed = True
                self.compare_at_the_end()
                failed = False
        finally:
            if failed:
                kept = self.directory / "model-failed"
                shutil.rmtree(kept, ignore_errors=True)
                self.place.rename(kept)
            else:
                shutil.rmtree(self.place)

    def compare_at_the_end(self) -> None:
        """Demand what must be true of a store after whatever was done to it."""
        self.memory.compare_with_rebuild()
        for world in (self.world, self.other):
            assert not keeping.left_behind(world), keeping.left_behind(world)
        assert self.bystander.read_bytes() == b"nobody's business"
        names = {path.name for path in self.place.iterdir()}
        assert names == {"store", "other", "beside-store", "beside-other", "bystander"}, names

    @invariant()
    def logs_hold_what_they_must(self) -> None:
        """A1, A5: every byte of every log is as predicted."""
        type(self).steps += 1
        self.made += 1
        for world in (self.world, self.other):
            differences = world.differences()
            assert not differences, differences

    def log(self, which: int) -> str:
        """Return a directory whose log can be read."""
        names = self.world.logs()
        return names[which % len(names)]

    def any_name(self, which: int) -> str:
        """Return a directory, or the name of one that is not there."""
        names = [*sorted(self.world.places), "missing"]
        return names[which % len(names)]

    def action(self, kind: str, **more: Any) -> dict[str, Any]:
        """Return an action that is like no other."""
        number = self.world.number()
        action: dict[str, Any] = {"type": "read", "tool": "Read", "status": "success"}
        action |= {"event_type": "tool_call", "event_name": "Read", "duration_ms": number}
        return {**action, **LINES[kind], **more}

    def timed(self, kind: str, **more: Any) -> dict[str, Any]:
        """Return such an action with a time, so that its whole line can be foretold."""
        number = self.world.number()
        return self.action(kind, timestamp=f"2026-01-02T03:04:05.{number:06d}Z", **more)


_ORDINARY = ("catch up",) * 6 + ("compare", "rebuild", "verify", "verify")
"""What is done to a database that nobody harms."""
_DATABASE_STEPS = range(16, 20)
"""When the database on the disk is used, of every twenty steps: a use takes as long as thirty
others, and so it finds more done to the store since the last one, or follows it at once."""
_HAS_LOG = precondition(lambda self: self.world.logs())
_HAS_ROOM = precondition(lambda self: self.world.logs() and keeping.has_room(self.world))


class Appending(StoreMachine):
    """What our own programs append, and how they die doing so."""

    @initialize(count=st.integers(1, 3))
    def begin_some(self, count: int) -> None:
        """Begin sessions, as there is little to harm without one."""
        for _ in range(count):
            self.begin()

    def begin(self) -> None:
        """Begin a session in a new directory."""
        name = self.world.free_name()
        self.world.make(name, None)
        session_id = f"session-{self.world.number()}"
        self.writers.append(name, [{**self.timed("end"), **session_start(session_id)}])

    @precondition(lambda self: keeping.has_room(self.world))
    @rule()
    def begin_a_session(self) -> None:
        """A new directory, its log, and its first line."""
        self.begin()

    @rule(which=WHICH, kind=KINDS, count=st.integers(1, 8), timed=st.booleans())
    def append(self, which: int, kind: str, count: int, timed: bool) -> None:
        """A1, A4, A6: dense numbers, one chain; refused where there is nowhere to append to."""
        name = self.any_name(which)
        if name in self.world.places and self.world.is_full(name):
            return
        make = self.timed if timed else self.action
        self.writers.append(name, [make(kind) for _ in range(count)])

    @_HAS_LOG
    @rule(which=WHICH, kind=KINDS, is_right=st.booleans())
    def append_if_next(self, which: int, kind: str, is_right: bool) -> None:
        """A7: only with the number that the caller expects."""
        name = self.log(which)
        number = self.writers.next_action_id(name) + (not is_right)
        self.writers.append(name, [self.timed(kind)], expected_action_id=number)

    @_HAS_LOG
    @rule(which=WHICH, kind=KINDS, fresh=st.integers(0, 2), timed=st.booleans())
    def append_with_ids(self, which: int, kind: str, fresh: int, timed: bool) -> None:
        """A7: events with ids of the caller, none of which is there."""
        make = self.timed if timed else self.action
        ids = [f"event-{self.world.number()}" for _ in range(fresh + 1)]
        self.writers.append(self.log(which), [make(kind, database_event_id=one) for one in ids])

    @_HAS_LOG
    @rule(which=WHICH, event=CHANCE, among=st.integers(0, 2), timed=st.booleans())
    def append_again(self, which: int, event: int, among: int, timed: bool) -> None:
        """A7: an event that is there is not written again, alone or among new ones."""
        name = self.log(which)
        known = self.writers.known_event_ids(name)
        if known:
            again = self.writers.event(name, known[event % len(known)])
            if not timed:
                del again["timestamp"]
            new = [self.timed("links") for _ in range(among)]
            self.writers.append(name, [*new, again])

    @_HAS_LOG
    @rule(which=WHICH, event=CHANCE, is_twice=st.booleans())
    def append_other_content(self, which: int, event: int, is_twice: bool) -> None:
        """A7: an id that is there with other content, or twice in one batch, is refused."""
        name = self.log(which)
        known = self.writers.known_event_ids(name)
        if is_twice:
            action = self.timed("failure", database_event_id=f"event-{self.world.number()}")
            self.writers.append(name, [action, action])
        elif known:
            other = self.timed("decision", database_event_id=known[event % len(known)])
            self.writers.append(name, [other])

    @_HAS_LOG
    @rule(which=WHICH, kind=KINDS, written_bytes=st.integers(0, 400))
    def kill_the_appender(self, which: int, kind: str, written_bytes: int) -> None:
        """A2, A9: killed before, in or after its write."""
        action = self.timed(kind, database_event_id=f"event-{self.world.number()}")
        name = self.log(which)
        if self.world.data(name).endswith(b"\n") or not self.world.data(name):
            self.writers.append_killed(name, action, written_bytes)

    @_HAS_LOG
    @rule(which=WHICH, kind=KINDS, free_bytes=st.integers(0, 150))
    def fill_the_disk(self, which: int, kind: str, free_bytes: int) -> None:
        """A2: a short write is taken back, and the next append succeeds."""
        action = self.timed(kind)
        name = self.log(which)
        self.writers.append_to_a_full_disk(name, action, free_bytes)
        self.writers.append(name, [self.timed(kind)])

    @rule(which=WHICH)
    def reopen(self, which: int) -> None:
        """The next append to this path is by another process."""
        self.writers.close(self.any_name(which))

    @_HAS_LOG
    @rule(which=WHICH)
    def annotate(self, which: int) -> None:
        """A1: by a process of its own, durably."""
        name = self.log(which)
        if self.world.places[name].form != "plain":
            return
        self.writers.close(name)
        before = self.world.data(name)
        (placed,) = annotate(self.world.directory(name), [("note", "as it was")])
        after = self.world.log(name).read_bytes()
        assert after[: len(before)] == before
        assert placed.action_id == self.writers.next_action_id(name)
        self.world.places[name].data = after
        assert head_of(after).digest == placed.hash
        assert after[len(before) : placed.offset] in {b"", b"\n"}


class Harming(Appending):
    """What happens behind everybody's back."""

    @_HAS_LOG
    @rule(which=WHICH, harm=st.sampled_from(harms.LOG_HARMS), one=CHANCE, other=CHANCE)
    def harm_a_log(self, which: int, harm: harms.Harm, one: int, other: int) -> None:
        """F15, F19, F30 to F36."""
        harm(self.world, self.log(which), one, other)

    @_HAS_LOG
    @rule(which=WHICH, harm=st.sampled_from(harms.LOG_HARMS[:4]), one=CHANCE, other=CHANCE)
    def add_behind(self, which: int, harm: harms.Harm, one: int, other: int) -> None:
        """F15, F19: what others append."""
        harm(self.world, self.log(which), one, other)

    @_HAS_LOG
    @rule(which=WHICH, harm=st.sampled_from(harms.DIRECTORY_HARMS), one=CHANCE, other=CHANCE)
    def harm_a_directory(self, which: int, harm: harms.Harm, one: int, other: int) -> None:
        """F33, F37."""
        harm(self.world, self.log(which), one, other)

    @_HAS_ROOM
    @rule(which=WHICH, harm=st.sampled_from(harms.ADDING_HARMS), one=CHANCE, other=CHANCE)
    def double(self, which: int, harm: harms.Harm, one: int, other: int) -> None:
        """F38."""
        harm(self.world, self.log(which), one, other)

    @precondition(lambda self: any(p.form != "plain" for p in self.world.places.values()))
    @rule(which=WHICH)
    def unlink(self, which: int) -> None:
        """A person puts a file of its own where a link was, as the message says."""
        names = sorted(n for n, p in self.world.places.items() if p.form != "plain")
        name = names[which % len(names)]
        self.world.replace(name, self.world.data(name))


class Reading(Harming):
    """What projects, rebuilds and verifies."""

    @rule()
    def project(self) -> None:
        """B1, B3, B4, D2: a long-lived projector catches up."""
        self.memory.project()

    @rule(batch_bytes=st.sampled_from([1, 300, 1 << 20]))
    def project_anew(self, batch_bytes: int) -> None:
        """B2, B9: another projector goes on, in batches of any size."""
        self.memory.restart(batch_bytes)
        self.memory.project()

    @rule(statements=st.integers(0, 120))
    def kill_the_projector(self, statements: int) -> None:
        """B2: rows and checkpoints are of one moment whenever it dies."""
        self.memory.project_interrupted(statements)

    @rule(which=WHICH, is_anchored=st.booleans())
    @_HAS_LOG
    def verify(self, which: int, is_anchored: bool) -> None:
        """E1 to E4: the verdict and the place, with and without an anchor."""
        name = self.log(which)
        heads = self.world.places[name].heads
        check_verdict(
            self.world, name, heads[which % len(heads)] if heads and is_anchored else None
        )

    @precondition(lambda self: self.made % 20 in _DATABASE_STEPS)
    @rule(how=st.sampled_from([*_ORDINARY, *LOSSES, *AGES]))
    def use_the_database(self, how: str) -> None:
        """B10, C1, C3, C4: on the disk, with manifests; rebuilt, lost, or of another version."""
        if how == "catch up":
            self.database.catch_up()
        elif how in LOSSES:
            self.database.lose(how)
        elif how in AGES:
            self.database.age(how)
        elif how == "compare":
            self.memory.compare_with_rebuild()
        else:
            self.database.rebuild(verify=how == "verify")


class Keeping(Reading):
    """What keeps sessions elsewhere and brings them back."""

    @_HAS_LOG
    @rule(which=WHICH, keep_rows=st.booleans())
    def archive(self, which: int, keep_rows: bool) -> None:
        """A session leaves its directory."""
        name = self.log(which)
        self.writers.close(name)
        keeping.archive(self.world, name, keep_rows=keep_rows)

    @precondition(lambda self: self.world.archived and keeping.has_room(self.world))
    @rule(which=WHICH)
    def restore(self, which: int) -> None:
        """An archived session comes back."""
        keeping.restore(self.world, which)

    @_HAS_LOG
    @rule(which=WHICH)
    def copy_out(self, which: int) -> None:
        """D1, D2, D3: into the second store."""
        keeping.copy_over(self.world, self.other, self.log(which))

    @precondition(lambda self: self.other.logs() and keeping.has_room(self.world))
    @rule(which=WHICH, count=st.integers(0, 2))
    def copy_back(self, which: int, count: int) -> None:
        """D2: what went on in the second store comes home, or is a fork."""
        names = self.other.logs()
        name = names[which % len(names)]
        writers = Writers(self.other)
        for _ in range(count):
            writers.append(name, [self.timed("tool call")])
        writers.close()
        keeping.copy_over(self.other, self.world, name)

    @precondition(lambda self: keeping.has_room(self.world))
    @rule()
    def adopt(self) -> None:
        """A session that a person kept by hand gets a log."""
        keeping.adopt_by_hand(self.world)


def check_verdict(world: World, name: str, head: Head | None) -> None:
    """Compare what is said of a log with what must be said."""
    data = world.data(name)
    anchor = None if head is None else Anchor(head.digest, head.lines, head.size_bytes)
    report = verify_log(world.log(name), anchor)
    assert report.verdict == verdict_of(data, head), f"{name}: {report.verdict}"
    assert report.line_count == len(lines_of(data))
    assert report.size_bytes == len(whole(data))
    chain = next(level for level in report.levels if level.name == "chain")
    assert chain.line == broken_line(data), f"{name}: the chain breaks at {chain.line}"
    assert (NOT_PROVED_END in report.not_proved) == (anchor is None)
