"""`provlog project` and `provlog rebuild`, run as a person runs them."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest
from looking_cases import Provlog, hostile_session, record, run_provlog, tool_call

from projections.database import connect
from projections.projector import catch_up

if TYPE_CHECKING:
    from provenance_log.store import Store


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


def test_project_tells_what_it_did_and_the_second_time_nothing(
    provlog: Provlog, store: Store
) -> None:
    name = record(store, [tool_call("Read", {})], session_id="s1", success=True)
    (store.sessions_dir / name / "summary.md").write_text("mine\n")

    first = provlog(store, "project")
    second = provlog(store, "project", "--json").json

    assert first.code == 0
    assert re.match(r"projected 3 lines \(.+ kB\) of 1 session in \d+\.\d s\n", first.out)
    assert "wrote 4 derived files\n" in first.out
    assert "left 1 file alone:\n" in first.out
    assert "summary.md: it was not written by provenance-log" in first.out
    assert (second["lines"], second["sessions"], second["problems"]) == (0, 0, [])
    assert (store.sessions_dir / name / "summary.md").read_text() == "mine\n"


def test_project_counts_what_went_to_quarantine(provlog: Provlog, store: Store) -> None:
    name = record(store, session_id="s1")
    with (store.sessions_dir / name / "actions.jsonl").open("ab") as log:
        log.write(b"not json\n")

    ran = provlog(store, "project")

    assert ran.code == 0
    assert "1 line in quarantine: see `provlog status`" in ran.out
    assert provlog(store, "status").code == 1


def test_a_log_that_can_not_be_read_is_named_and_the_rest_projected(
    provlog: Provlog, store: Store
) -> None:
    record(store, session_id="s1")
    bad = store.sessions_dir / "bad"
    bad.mkdir()
    (bad / "actions.jsonl").symlink_to("elsewhere")

    ran = provlog(store, "project", "--json")

    assert ran.code == 1
    assert (ran.json["lines"], ran.json["sessions"]) == (1, 1)
    assert "bad/actions.jsonl" in ran.err


def test_rebuild_verify_says_of_each_table_that_it_is_equal(provlog: Provlog, store: Store) -> None:
    hostile_session(store)
    catch_up(store)

    ran = provlog(store, "rebuild", "--verify")

    assert (ran.code, ran.err) == (0, "")
    assert len(re.findall(r"^  provenance_\w+ +equal$", ran.out, re.MULTILINE)) == 9


def test_rebuild_verify_names_the_table_that_differs_and_keeps_the_database(
    provlog: Provlog, store: Store
) -> None:
    record(store, [tool_call("Read", {})], session_id="s1", success=True)
    catch_up(store)
    with connect(store.database, read_only=False) as connection:
        connection.execute("UPDATE provenance_tool_calls SET tool_name = 'Write'")

    different = provlog(store, "rebuild", "--verify")

    assert different.code == 1
    assert re.search(r"^  provenance_tool_calls +different in 1 row$", different.out, re.MULTILINE)
    assert re.search(r"^  provenance_events +equal$", different.out, re.MULTILINE)
    assert "error: not what the logs say: provenance_tool_calls\n" in different.err
    mended = provlog(store, "rebuild", "--json")
    assert (mended.code, mended.json["lines"], mended.json["is_swapped"]) == (0, 3, True)
    tool = "SELECT tool_name FROM provenance_tool_calls"
    assert provlog(store, "query", "--json", tool).json == [{"tool_name": "Read"}]
