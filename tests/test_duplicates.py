"""The same session in several directories."""

import shutil
from collections.abc import Callable

import pytest
from projecting import (
    Log,
    cleared_tables,
    project,
    rebuilt,
    rows_of,
)

from projections import planning
from projections.checkpoints import Checkpoint
from projections.database import Connection
from projections.dump import dump_tables
from projections.work import Projector
from provenance_log.format import line_hash
from provenance_log.store import Store


@pytest.fixture
def tables() -> Connection:
    return cleared_tables()


def equal(log: Log, copy: Log) -> None:
    pass


def copy_behind(log: Log, copy: Log) -> None:
    log.add()


def copy_ahead(log: Log, copy: Log) -> None:
    copy.add()


def copy_forked(log: Log, copy: Log) -> None:
    log.add(tool="Ours")
    copy.add(tool="Theirs")


def copy_forked_and_longer(log: Log, copy: Log) -> None:
    log.add(tool="Ours")
    copy.add(tool="Theirs")
    copy.add()


RELATIONS: dict[Callable[[Log, Log], None], tuple[str, str, str, int]] = {
    equal: ("a", "b", "duplicate", 3),
    copy_behind: ("a", "b", "duplicate", 3),
    copy_ahead: ("b", "a", "duplicate", 3),
    copy_forked: ("a", "b", "fork", 4),
    copy_forked_and_longer: ("b", "a", "fork", 4),
}


@pytest.mark.parametrize("projected", ["before", "between", "after"])
@pytest.mark.parametrize("relate", RELATIONS, ids=lambda function: function.__name__)
def test_a_session_in_two_directories_is_counted_once_and_the_other_is_reported(
    store: Store, tables: Connection, relate: Callable[[Log, Log], None], projected: str
) -> None:
    """D2: whichever was projected first, the choice follows from the files."""
    chosen, other, kind, line_number = RELATIONS[relate]
    log = Log(store, "a", "s")
    log.add()
    log.add()
    if projected == "before":
        project(store, tables)
    shutil.copytree(log.path.parent, store.sessions_dir / "b")
    copy = Log.__new__(Log)
    copy.path, copy.number = store.sessions_dir / "b" / "actions.jsonl", log.number
    if projected == "between":
        project(store, tables)
    relate(log, copy)
    project(store, tables)

    assert [row["log"] for row in rows_of(tables, "sessions", "log")] == [chosen]
    names = "kind, log, other_log, line_number"
    assert rows_of(tables, "incidents", names) == [
        {"kind": kind, "log": other, "other_log": chosen, "line_number": line_number}
    ]
    lines = {"a": log, "b": copy}[chosen].lines
    hashes = [row["line_hash"] for row in rows_of(tables, "events", "line_number, line_hash")]
    assert hashes == [line_hash(line) for line in lines]
    assert dump_tables(tables) == rebuilt(store)

    shutil.rmtree(store.sessions_dir / chosen)
    project(store, tables)
    assert [row["log"] for row in rows_of(tables, "sessions", "log")] == [other]
    assert dump_tables(tables) == rebuilt(store)


def test_a_live_session_beside_an_old_copy_is_followed(store: Store, tables: Connection) -> None:
    """D2: the comparison is remembered, and the copy stays reported."""
    log = Log(store, "a", "s")
    log.add()
    shutil.copytree(log.path.parent, store.sessions_dir / "b")
    projector = Projector(store)
    for _ in range(3):
        projector.run(tables)
        log.add()
    projector.run(tables)
    assert tables.count("provenance_events") == 5
    assert dump_tables(tables) == rebuilt(store)


def test_another_fork_under_the_name_of_one_that_went_is_compared_from_its_start(
    store: Store, tables: Connection
) -> None:
    """D2, C1: what was known of the log that had the name before counts no more."""
    log = Log(store, "a", "s")
    log.add()
    shutil.copytree(log.path.parent, store.sessions_dir / "b")
    log.add()
    log.add()
    projector = Projector(store)
    projector.run(tables)
    shutil.rmtree(store.sessions_dir / "b")
    projector.run(tables)
    fork = Log(store, "b", "s")
    fork.add(tool="Theirs")
    fork.add(tool="Theirs")
    projector.run(tables)
    told = [(row["kind"], row["line_number"]) for row in rows_of(tables, "incidents", "*")]
    assert told == [("fork", 2), ("gone", 2)]
    assert dump_tables(tables) == rebuilt(store)


def test_a_copy_that_can_not_be_read_does_not_hold_up_the_session(
    store: Store, tables: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(store, "a", "s")
    project(store, tables)
    shutil.copytree(log.path.parent, store.sessions_dir / "b")
    log.add()
    real = planning._read_to_end

    def refuse_the_copy(member: planning.Member, limit: int | None) -> Checkpoint:
        if member.checkpoint.log == "b":
            raise PermissionError(13, "Permission denied", str(member.path))
        return real(member, limit)

    with monkeypatch.context() as patched:
        patched.setattr(planning, "_read_to_end", refuse_the_copy)
        problems = project(store, tables).problems
    assert tables.count("provenance_events") == 2
    assert ["Permission denied" in problem for problem in problems] == [True]
    project(store, tables)
    assert dump_tables(tables) == rebuilt(store)
