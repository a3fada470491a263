"""Logs that nobody touched are passed over without a change to what is planned."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projecting import Log, examples

from projections.checkpoints import Checkpoint
from projections.database import connect
from projections.directories import Untouched
from projections.duplicates import Comparisons
from projections.planning import make_plan
from projections.projector import catch_up
from provenance_log.store import initialise_store, open_store

if TYPE_CHECKING:
    from projections.planning import Plan
    from provenance_log.store import Store

SESSIONS = ("a", "b", "c", "d")
HARMS = ("grow", "tear", "cut", "remove", "rename", "copy", "copy and grow", "empty", "link")


def harm(log: Log, kind: str) -> None:
    directory = log.path.parent
    if not log.path.is_file():
        return
    if kind == "grow":
        log.add()
    elif kind == "tear":
        log.add_bytes(b"torn")
    elif kind == "cut":
        log.path.write_bytes(b"".join(line + b"\n" for line in log.lines[:-1]))
    elif kind == "remove":
        shutil.rmtree(directory)
    elif kind == "rename":
        directory.rename(directory.with_name(f"{directory.name}-renamed"))
    elif kind.startswith("copy"):
        copied = shutil.copytree(directory, directory.with_name(f"{directory.name}-copied"))
        if kind == "copy and grow":
            with (copied / "actions.jsonl").open("ab") as file:
                file.write(b"{}\n")
    elif kind == "empty":
        log.path.write_bytes(b"")
    else:
        moved = log.path.rename(directory / "elsewhere")
        log.path.symlink_to(moved)


def plan_of(store: Store) -> Plan:
    with connect(store.database, read_only=True) as connection:
        stored = [Checkpoint._make(row) for row in connection.query("checkpoints")]
    return make_plan(store, stored, Comparisons())


@examples(25)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(SESSIONS), st.sampled_from(HARMS)), max_size=4),
        min_size=1,
        max_size=2,
    )
)
def test_passing_over_what_nobody_touched_changes_no_plan(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[list[tuple[str, str]]],
) -> None:
    root = tmp_path_factory.mktemp("store")
    initialise_store(root / "p")
    store = open_store(root / "p")
    logs = {name: Log(store, name, f"session-{name}") for name in SESSIONS}
    for harms in rounds:
        catch_up(store)
        for name, kind in dict(harms).items():
            harm(logs[name], kind)
        quick = plan_of(store)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Untouched, "_is_untouched", lambda *_: False)
            thorough = plan_of(store)
        assert quick == thorough


def test_nothing_is_made_of_a_log_that_nobody_touched(store: Store) -> None:
    kept, grown = Log(store, "kept", "s1"), Log(store, "grown", "s2")
    catch_up(store)
    grown.add()
    with connect(store.database, read_only=True) as connection:
        stored = {row[0]: [Checkpoint._make(row)] for row in connection.query("checkpoints")}
    untouched = Untouched()
    assert [item.name for item in untouched.sort_out(store, stored)] == ["grown"]
    assert untouched.place("kept") == (kept.path, kept.path.stat().st_size)
