"""What recorders note, and what the status makes of it."""

from pathlib import Path

from provenance_log.recorder_problems import FILE_BYTES_MAX, PROBLEMS_NAME, note_problem
from provenance_log.recorder_state import Problem, RecorderState, recorder_state
from provenance_log.spool import drain_spool, write_spooled
from provenance_log.store import Store

TIME = "2026-03-01T09:00:00.000000Z"


def test_notes_are_bounded_and_the_newest_stay(store: Store) -> None:
    for number in range(2 * FILE_BYTES_MAX // 300):
        assert note_problem(store.root, TIME, f"{number} " + "x" * 1_000, "Stop", 7)
    path = store.root / PROBLEMS_NAME
    assert FILE_BYTES_MAX // 3 < path.stat().st_size <= FILE_BYTES_MAX
    state = recorder_state(store.root)
    assert state.last_problem is not None
    assert state.last_problem.reason.startswith(f"{number} xxx")
    assert len(state.last_problem.reason) == 300
    assert state.problem_count == len(path.read_bytes().splitlines())


def test_where_nothing_can_be_noted_that_is_said_and_nothing_raised(tmp_path: Path) -> None:
    assert not note_problem(tmp_path / "nowhere", TIME, "why", "Stop", 1)
    (tmp_path / PROBLEMS_NAME).symlink_to(tmp_path / "elsewhere")
    assert not note_problem(tmp_path, TIME, "why", "Stop", 1)
    assert not (tmp_path / "elsewhere").exists()


def test_the_status_says_what_to_do_about_each_thing() -> None:
    state = RecorderState(2, Problem(TIME, "why", "", 0), 1, 3)
    hint = "delete recorder-problems.jsonl when it is dealt with"
    assert list(state.attention()) == [
        "events in spool/ that are in no log yet: run `provlog project`",
        "events that no line can hold, 3: see spool/*.refused",
        f"recorders met problems, 2 in all, the last at {TIME}: why; {hint}",
    ]
    assert list(RecorderState().attention()) == []


def test_a_damaged_note_is_counted_and_told_without_its_text(store: Store) -> None:
    (store.root / PROBLEMS_NAME).write_bytes(b"[1]\n\xff\n")
    assert recorder_state(store.root) == RecorderState(problem_count=2)


def test_a_drain_takes_as_many_as_it_may_and_stops_at_what_fails(store: Store) -> None:
    for name in "abc":
        write_spooled(store.root, TIME.replace("09", f"1{ord(name) - 97}"), name.encode())
    seen: list[bytes] = []
    assert drain_spool(store.root, seen.append, count_max=2) == 2
    assert seen == [b"a", b"b"]
    assert recorder_state(store.root).spooled_count == 1
    assert drain_spool(store.root, seen.append) == 1
    assert drain_spool(store.root, seen.append) == 0
