"""What happens to a log behind the projector's back, and what it makes of it."""

import os
from collections.abc import Callable

import pytest
from harming import BENIGN, DAMAGES
from projecting import (
    Log,
    cleared_tables,
    content_of,
    project,
    rebuilt,
    rewrite,
    rows_of,
)

from projections.database import Connection
from projections.dump import dump_tables
from projections.work import Projector
from provenance_log.store import Store


@pytest.fixture
def tables() -> Connection:
    return cleared_tables()


@pytest.mark.parametrize("damage_log", DAMAGES, ids=lambda function: function.__name__)
def test_a_damaged_log_is_an_incident_and_is_projected_again(
    store: Store, tables: Connection, damage_log: Callable[[Log], None]
) -> None:
    """B4, B5: each kind of damage is noticed at the next look, and the tables follow the file."""
    kind, sessions = DAMAGES[damage_log]
    log = Log(store, "a", "s")
    for _ in range(12):
        log.add(context={"padding": "x" * 300})
    project(store, tables)
    os.utime(log.path, ns=(1, 1))
    project(store, tables)

    damage_log(log)
    project(store, tables)

    assert [row["kind"] for row in rows_of(tables, "incidents")] == [kind]
    assert [row["session_id"] for row in rows_of(tables, "sessions")] == sessions
    assert dump_tables(tables) == rebuilt(store)
    project(store, tables)
    assert len(rows_of(tables, "incidents")) == 1


@pytest.mark.parametrize("change", BENIGN, ids=lambda function: function.__name__)
def test_a_log_with_the_same_lines_keeps_its_rows_without_an_incident(
    store: Store, tables: Connection, change: Callable[[Log], None]
) -> None:
    """B4: rewritten alike or moved is benign; the offset stays."""
    log = Log(store, "a", "s")
    log.add()
    project(store, tables)
    # A mark in the rows shows that they were not made anew.
    tables.execute("UPDATE provenance_events SET tool = 'marked'")

    change(log)
    project(store, tables)

    assert rows_of(tables, "incidents") == []
    assert {row["tool"] for row in rows_of(tables, "events")} == {"marked"}
    names = [directory.name for directory in store.session_directories()]
    assert [row["log"] for row in rows_of(tables, "sessions")] == names
    assert [row["log"] for row in rows_of(tables, "checkpoints")] == names


def test_lines_in_quarantine_follow_a_log_to_its_new_name(store: Store, tables: Connection) -> None:
    """C1: a rebuild would find them there."""
    Log(store, "a").add_bytes(content_of("s", ["garbage", "tool call"]))
    project(store, tables)
    (store.sessions_dir / "a").rename(store.sessions_dir / "b")
    project(store, tables)
    assert [row["log"] for row in rows_of(tables, "quarantine")] == ["b"]
    assert dump_tables(tables) == rebuilt(store)


def test_a_log_that_can_not_be_read_when_its_rows_are_made_anew_holds_up_no_other(
    store: Store, tables: Connection
) -> None:
    """B3: its rows stay, and what was planned behind it is done all the same."""
    edited, other = Log(store, "a", "s1"), Log(store, "b", "s2")
    project(store, tables)
    rewrite(edited, [edited.lines[0].replace(b"why", b"who")])
    other.add()
    projector = Projector(store)
    projector.remember(tables)
    projector.plan()
    edited.path.unlink()

    while (work := projector.next_work()) is not None:
        projector.apply(tables, work)

    assert len(projector.problems) == 1
    assert len(rows_of(tables, "events")) == 3
