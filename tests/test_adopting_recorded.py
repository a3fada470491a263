"""`provlog adopt` on the recorded sessions of the predecessor, which have manifests and no logs."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest
from looking_cases import Provlog, make_store, run_provlog

from projections.projector import catch_up
from projections.rebuild import rebuild

if TYPE_CHECKING:
    from pathlib import Path

    from provenance_log.store import Store


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


def kept_below(directory: Path) -> dict[str, bytes]:
    names = {"manifest.yaml", "summary.md"}
    found = (path for path in sorted(directory.rglob("*")) if path.name in names)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


@pytest.fixture
def microgrow(shared_data: Path, tmp_path: Path) -> Store:
    """A copy of the predecessor's store."""
    root = tmp_path / "microgrow" / ".claude" / "provenance"
    source = shared_data / "microgrow" / ".claude" / "provenance"
    shutil.copytree(source, root, copy_function=shutil.copyfile)
    for directory in (root, root / "sessions", *(root / "sessions").iterdir()):
        directory.chmod(0o700)
    return make_store(tmp_path / "microgrow")


def test_microgrow_is_found_in_sql_and_its_files_stay_as_they_are(
    provlog: Provlog, microgrow: Store
) -> None:
    """D5: three sessions kept by hand, and one whose tracker left a trace and no log."""
    store = microgrow
    before = kept_below(store.sessions_dir)
    assert len(before) == 8

    first = provlog(store, "adopt", "--all", "--json").json
    second = provlog(store, "adopt", "--all")
    catch_up(store)
    rebuild(store, verify=True)

    assert [(one["log"], one["outcome"], one["line_count"]) for one in first] == [
        ("2026-01-10-21-16", "adopted", 11),
        ("2026-01-11-07-08", "read", 8),
        ("2026-01-11-19-00", "adopted", 20),
        ("2026-01-12-17-20", "adopted", 25),
    ]
    assert first[1]["session_id"] == "ef048ecd-95a3-4a4e-a065-431a6d18368e"
    assert (second.code, second.out) == (0, "nothing to do\n")
    assert kept_below(store.sessions_dir) == before
    sessions = provlog(
        *(store, "query", "--json"),
        "SELECT log, json_array_length(goals) AS goals, state, epoch(end_time - start_time) AS s "
        "FROM provenance_sessions ORDER BY log",
    ).json
    assert [(row["goals"], row["state"], row["s"] // 60) for row in sessions] == [
        (5, "success", 29),
        (1, "success", 0),
        (5, "success", 62),
        (5, "success", 81),
    ]
    annotations = provlog(
        *(store, "query", "--json"),
        "SELECT event_name, count(*) AS n FROM provenance_events "
        "WHERE event_type = 'annotation' GROUP BY ALL ORDER BY ALL",
    ).json
    assert {row["event_name"]: row["n"] for row in annotations} == {
        "error": 1,
        "finding": 17,
        "manifest": 4,
        "note": 3,
        "recommendation": 13,
        "warning": 5,
    }


def test_what_the_tracker_of_microgrow_recorded_is_read_event_by_event(
    provlog: Provlog, microgrow: Store
) -> None:
    """D5: the decision has what its event and its row tell."""
    store = microgrow
    provlog(store, "adopt", "--all")
    catch_up(store)
    traced = provlog(
        *(store, "query", "--json"),
        "SELECT sequence_number AS n, event_type, event_name FROM provenance_events "
        "WHERE session_id LIKE 'ef048ecd%' ORDER BY n",
    ).json
    assert [tuple(row.values()) for row in traced] == [
        (1, "lifecycle", "session_start"),
        (2, "lifecycle", "agent_start"),
        (3, "lifecycle", "agent_start"),
        (4, "log", "log_info"),
        (5, "decision", "query_type"),
        (6, "lifecycle", "agent_end"),
        (7, "annotation", "manifest"),
        (8, "lifecycle", "session_end"),
    ]
    (decision,) = provlog(
        *(store, "query", "--json"),
        "SELECT decision_id, event_id, decision_type, branch_taken, branches_available, reason, "
        "input_values FROM provenance_decisions WHERE session_id LIKE 'ef048ecd%'",
    ).json
    assert decision == {
        "decision_id": "050160c0-bbcf-4ce8-bdf0-89d126216b62",
        "event_id": "8fda53f4-3efb-4a37-b9a8-f59df2fe3122",
        "decision_type": "route",
        "branch_taken": "test_mode",
        "branches_available": ["test_mode", "production_mode"],
        "reason": "Running in test mode",
        "input_values": {"query": "Test provenance tracking"},
    }
