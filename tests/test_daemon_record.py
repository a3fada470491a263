"""What a daemon keeps of itself for others: what is wrong, whether it is over, how it looks."""

from __future__ import annotations

import os

import pytest

from projections.daemon_notices import Complaints, Notice
from projections.daemon_record import DaemonRecord
from projections.daemon_state import DaemonError, DaemonState, read_state, state_path
from provenance_log.errors import DatabaseHeld, ProvlogError
from provenance_log.store import Store


class Kept:
    """A record, what it told, and what others can read."""

    def __init__(self, store: Store, *, is_polling: bool = False) -> None:
        self.store = store
        self.told: list[Notice] = []
        self.record = DaemonRecord(store, self.told.append, is_polling=is_polling, rescan_s=2.0)
        self.record.begin()
        self.complaints = Complaints(self.record.tell)

    @property
    def state(self) -> DaemonState:
        state = read_state(self.store)
        assert state is not None
        return state

    @property
    def errors(self) -> list[tuple[str, str, bool]]:
        """Each error by kind and message, and whether it is over."""
        return [(e.kind, e.message, e.over is not None) for e in self.state.errors]


def test_a_daemon_that_begins_says_who_it_is(store: Store) -> None:
    state = Kept(store).state
    assert (state.pid, state.mode, state.rescan_s) == (os.getpid(), "watching", 2.0)
    assert (state.stopped, state.errors, state.last_error) == (None, (), None)
    polling = Kept(store, is_polling=True).state
    assert (polling.mode, polling.mode_reason) == ("polling", "asked for by --poll")


def test_the_mode_is_kept_with_the_reason_for_polling(store: Store) -> None:
    kept = Kept(store)
    kept.record.tell(Notice("warning", "polling", "no watches left"))
    assert (kept.state.mode, kept.state.mode_reason) == ("polling", "no watches left")
    kept.record.tell(Notice("warning", "watching", "started again"))
    assert (kept.state.mode, kept.state.mode_reason) == ("watching", None)


def test_an_error_goes_on_until_that_kind_is_over(store: Store) -> None:
    kept = Kept(store)
    kept.complaints.about("log", ["a: unreadable"])
    kept.complaints.failed(DatabaseHeld("held by process 1"))
    kept.complaints.failed(ProvlogError("disk full", hint="free some"))
    both = [("log", "a: unreadable", False), ("projection", "disk full; free some", False)]
    assert kept.errors == both
    kept.complaints.worked()
    assert kept.errors == [
        ("log", "a: unreadable", False),
        ("projection", "disk full; free some", True),
    ]
    last = kept.state.last_error
    assert last is not None
    assert last.message == "a: unreadable"
    kept.complaints.about("log", [], is_all=False)
    assert kept.errors[0] == ("log", "a: unreadable", False)
    kept.complaints.about("log", [])
    assert [is_over for _, _, is_over in kept.errors] == [True, True]


def test_what_ended_a_daemon_is_kept_over_the_next_start(store: Store) -> None:
    kept = Kept(store)
    kept.complaints.about("files", ["summary.md: denied"])
    kept.record.ended_by(RuntimeError("a bug"))
    assert kept.state.stopped is not None
    assert kept.errors == [
        ("files", "summary.md: denied", False),
        ("end", "RuntimeError: a bug", False),
    ]
    again = Kept(store)
    assert again.state.stopped is None
    assert [(kind, is_over) for kind, _, is_over in again.errors] == [
        ("files", True),
        ("end", True),
    ]


def test_nothing_is_written_while_nothing_changes(store: Store) -> None:
    kept = Kept(store)
    kept.complaints.about("log", ["a: unreadable"])
    before = state_path(store).stat()
    for _ in range(3):
        kept.complaints.about("log", ["a: unreadable"])
        kept.record.tell(Notice("warning", "quarantined", "unreadable lines: 1"))
        kept.record.keep()
    after = state_path(store).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_state_that_can_not_be_written_is_told_once_and_written_later(store: Store) -> None:
    state_path(store).mkdir()
    kept = Kept(store)
    for _ in range(3):
        kept.record.keep()
    kept.record.tell(Notice("warning", "polling", "no watches left"))
    assert [notice.event for notice in kept.told] == ["state", "polling"]
    state_path(store).rmdir()
    kept.record.keep()
    assert kept.told[-1] == Notice("info", "state", "written again")
    assert kept.state.mode == "polling"


@pytest.mark.parametrize("over", [None, "2026-01-01T00:00:09.000Z"])
def test_the_last_error_is_one_that_goes_on(over: str | None) -> None:
    older = DaemonError("log", "log", "a", "2026-01-01T00:00:01.000Z")
    newer = DaemonError("files", "files", "b", "2026-01-01T00:00:02.000Z", over)
    state = DaemonState(1, None, "", "", "watching", None, 2.0, errors=(older, newer))
    assert state.last_error == (newer if over is None else older)
