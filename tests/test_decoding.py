"""Decoding in several processes gives what decoding in one gives, and leaves no process behind."""

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projecting import Log
from rebuilding import content, filled

from projections import decoding, definitions
from projections.columns import Fields, make_columns
from projections.database import connect
from projections.duplicates import Comparisons
from projections.loading import Batch
from projections.planning import make_plan
from projections.rebuild import rebuild
from projections.work import Projector
from provenance_log.errors import ProvlogError
from provenance_log.store import Store

FIELDS: Fields = (
    ("a", "text"),
    ("b", "json"),
    ("c", "int32"),
    ("d", "int64"),
    ("e", "timestamp"),
    ("f", "boolean"),
)
SMALL, LARGE = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ROW = st.tuples(
    *(
        st.none() | values
        for values in (TEXT, TEXT.map(str.encode), SMALL, LARGE, LARGE, st.booleans())
    )
)


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every rebuild spread over three processes, whatever there is to read."""
    spread_everything(monkeypatch)


def spread_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "SPREAD_BYTES", 0)
    monkeypatch.setattr(decoding, "_processors", lambda: 3)
    defaults = {**(Projector.__init__.__kwdefaults__ or {}), "batch_bytes": 500}
    monkeypatch.setattr(Projector.__init__, "__kwdefaults__", defaults)


@pytest.fixture
def others() -> set[str]:
    """Return the children that this process has already, of other tests."""
    return children()


def children() -> set[str]:
    while True:
        tasks = [task / "children" for task in Path("/proc/self/task").iterdir()]
        try:
            return {pid for task in tasks for pid in task.read_text().split()}
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread has ended, and its children are another one's now


def batches_of(store: Store, problems: list[str]) -> Generator[Batch, None, None]:
    plan = make_plan(store, (), Comparisons())
    return decoding.spread_batches(plan.sessions, 100, problems)


@given(rows=st.lists(ROW, max_size=20))
def test_columns_give_back_the_rows_that_they_were_made_of(rows: list[tuple[object, ...]]) -> None:
    assert make_columns(FIELDS, rows).rows() == rows


def test_a_rebuild_in_several_processes_gives_the_tables_of_one_process(
    store: Store, monkeypatch: pytest.MonkeyPatch, others: set[str]
) -> None:
    filled(store, sessions=7, lines=5)
    (store.sessions_dir / "2026-01-03" / "actions.jsonl").write_bytes(b"one torn ta")
    rebuild(store)
    alone = content(store)
    spread_everything(monkeypatch)
    rebuild(store)
    assert content(store) == alone
    assert len(alone["provenance_events"].splitlines()) > 30
    assert children() == others


@pytest.mark.usefixtures("spread")
def test_a_line_that_no_table_takes_is_found_among_columns(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        log = Log(store, f"2026-01-0{number + 1}", f"s{number}")
        for word in ("good", f"bad {number}", "good"):
            log.add(details={"call_id": word})
    real = definitions.load_sql

    def load(folder: definitions.SqlFolder, name: str) -> str:
        text = real(folder, name)
        refused = "IF(event_id = 'event-3' AND session_id = 's1', error('no'), event_id)"
        return (
            text.replace("    event_id,", f"    {refused} AS event_id,")
            if name == "events"
            else text
        )

    monkeypatch.setattr(definitions, "load_sql", load)
    report = rebuild(store)
    assert (report.tally.lines, report.tally.quarantined) == (12, 1)
    with connect(store.database, read_only=True) as connection:
        assert connection.execute("SELECT session_id, line_number FROM provenance_quarantine") == [
            ("s1", 3)
        ]
        assert connection.count("provenance_events") == 11


@pytest.mark.usefixtures("spread")
def test_the_batches_come_in_the_order_of_the_plan(store: Store) -> None:
    filled(store, sessions=7, lines=2)
    problems: list[str] = []
    found = [item.session_id for one in batches_of(store, problems) for item in one.checkpoints]
    assert list(dict.fromkeys(found)) == [f"s{number}" for number in range(7)]
    assert problems == []


@pytest.mark.usefixtures("spread")
def test_a_log_that_vanishes_meanwhile_is_a_problem_and_no_end(store: Store) -> None:
    filled(store, sessions=4)
    plan = make_plan(store, (), Comparisons())
    (store.sessions_dir / "2026-01-02" / "actions.jsonl").unlink()
    problems: list[str] = []
    list(decoding.spread_batches(plan.sessions, 100, problems))
    assert len(problems) == 1
    assert "2026-01-02" in problems[0]


@pytest.mark.usefixtures("spread")
def test_nobody_who_stops_early_leaves_a_process(store: Store, others: set[str]) -> None:
    filled(store, sessions=7, lines=50)
    batches = batches_of(store, [])
    next(batches)
    assert len(children() - others) == 3
    batches.close()
    assert children() == others


@pytest.mark.usefixtures("spread")
def test_a_killed_process_fails_the_rebuild_and_leaves_the_old_database(
    store: Store, monkeypatch: pytest.MonkeyPatch, others: set[str]
) -> None:
    filled(store, sessions=4)
    rebuild(store)
    before = content(store)
    monkeypatch.setattr(decoding, "_PROGRAM", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ProvlogError, match="ended before its work"):
        rebuild(store)
    assert content(store) == before
    assert children() == others
    assert not list(store.root.glob("*.rebuild-*"))
