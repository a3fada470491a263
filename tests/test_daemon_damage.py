"""What happens to logs while the daemon runs: all kinds at once, each to a log of its own."""

from __future__ import annotations

import os

from harming import BENIGN, DAMAGES
from projecting import Log, rebuilt, rewrite, rows_of
from rebuilding import content
from watched import Watched

from projections.database import connect
from projections.rebuild import rebuild
from provenance_log.store import Store


def old_log(store: Store, name: str) -> Log:
    """A log of some lines that was not touched for a while."""
    log = Log(store, name, name)
    for _ in range(12):
        log.add(context={"padding": "x" * 300})
    os.utime(log.path, ns=(1, 1))
    return log


def test_every_kind_of_damage_is_an_incident_of_its_own_and_the_tables_follow_the_files(
    store: Store,
) -> None:
    """B4, B5: in one look of a daemon that had projected all of the logs."""
    damaged = {old_log(store, damage.__name__): damage for damage in DAMAGES}
    benign = {old_log(store, change.__name__): change for change in BENIGN}
    watched = Watched(store)
    watched.look()
    with connect(store.database, read_only=False) as connection:
        # A mark in the rows shows which of them were made anew.
        connection.execute("UPDATE provenance_events SET tool = 'marked'")

    for log, damage in (*damaged.items(), *benign.items()):
        damage(log)
    watched.look()

    with connect(store.database, read_only=True) as connection:
        incidents = {row["log"]: row["kind"] for row in rows_of(connection, "incidents")}
        marked = connection.execute(
            "SELECT DISTINCT session_id FROM provenance_events WHERE tool = 'marked'"
        )
    expected = {damage.__name__: kind for damage, (kind, _) in DAMAGES.items()}
    assert incidents == expected
    assert {name for (name,) in marked} == {change.__name__ for change in BENIGN}
    assert set(watched.told) == {"incident", "quarantined"}
    watched.look()
    rebuild(store)
    assert content(store) == rebuilt(store)


def test_an_edit_in_the_middle_that_hides_behind_new_lines_is_found_by_a_rebuild(
    store: Store,
) -> None:
    """B5: the bound of what a look can see."""
    log = old_log(store, "a")
    watched = Watched(store)
    watched.look()
    lines = log.lines
    middle = len(lines) // 2
    lines[middle] = lines[middle].replace(b"Read", b"Grep")
    rewrite(log, lines)
    log.add()

    watched.look()
    assert "incident" not in watched.told
    report = rebuild(store, verify=True)
    assert list(report.differences) != []
    rebuild(store)
    assert content(store) == rebuilt(store)
