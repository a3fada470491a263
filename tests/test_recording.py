"""A session from its first line to its last."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from log_cases import action, check_goes_on, read_all

import provenance_log
from provenance_log import SessionHeader, Store, files, reopen_session, start_session
from provenance_log.errors import AppendNotWritten, AppendUnknown
from provenance_log.format import GENESIS_PREV, SCHEMA_VERSION
from provenance_log.store import read_session_id

STARTED = datetime(2026, 1, 10, 14, 30, 15, 123456, tzinfo=UTC)


def test_a_session_is_what_its_log_says(store: Store) -> None:
    header = SessionHeader(
        agent_type="literature",
        query="which media",
        session_id="the-id",
        agent_version="2",
        kwargs={"depth": 3, "path": Path("/a")},
        model="a-model",
        user_context={"user": "me"},
        parent_session_id="parent",
        depth=1,
        goals=["find"],
        project="p",
        source={"kind": "test"},
    )
    session = start_session(store, header, started_at=STARTED, event_id="first-event")
    session.append(action(details={"n": 1}))
    session.append_many([action(), action()])
    session.end(success=True, result_summary={"n": 3})

    reading = read_all(session.directory.log)
    first, last = reading.values[0], reading.values[-1]
    assert session.directory.name == "2026-01-10-14-30"
    assert read_session_id(session.directory) == session.session_id == "the-id"
    assert first == {
        "timestamp": "2026-01-10T14:30:15.123456Z",
        "action_id": 1,
        "type": "execute",
        "tool": "AgentExecution",
        "status": "success",
        "details": {
            "session": {
                "session_id": "the-id",
                "agent_type": "literature",
                "agent_version": "2",
                "query": "which media",
                "kwargs": {"depth": 3, "path": "/a"},
                "model": "a-model",
                "user_context": {"user": "me"},
                "parent_session_id": "parent",
                "depth": 1,
                "goals": ["find"],
                "project": "p",
                "schema_version": SCHEMA_VERSION,
                "source": {"kind": "test"},
            },
            "_lossy": ["$.details.session.kwargs.path"],
        },
        "read_only": True,
        "event_type": "lifecycle",
        "event_name": "session_start",
        "database_event_id": "first-event",
        "prev": GENESIS_PREV,
    }
    assert (last["event_type"], last["event_name"]) == ("lifecycle", "session_end")
    assert last["details"] == {"success": True, "result_summary": {"n": 3}}
    assert [value["action_id"] for value in reading.values] == [1, 2, 3, 4, 5]
    assert (reading.bad, reading.unchained) == ([], [])


def test_a_failure_keeps_its_message(store: Store) -> None:
    session = start_session(store, SessionHeader(agent_type="a"))
    session.end(success=False, error_message="no")

    last = read_all(session.directory.log).values[-1]
    assert last["status"] == "failure"
    assert last["details"] == {"success": False, "error_message": "no"}


def test_the_end_is_on_the_disk_whatever_the_level(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: design section 5, `session_end` is always `disk`."""
    session = start_session(store, SessionHeader(agent_type="a"))
    synced: list[int] = []
    monkeypatch.setattr(files, "sync_data", synced.append)

    assert session.append(action()).durability == "process"
    assert synced == []
    assert session.end(success=True).durability == "disk"
    assert len(synced) == 1


def test_an_end_that_could_not_be_synced_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A10."""
    session = start_session(store, SessionHeader(agent_type="a"))

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_data", fail)
        with pytest.raises(AppendUnknown):
            session.end(success=True)
    session.close()
    check_goes_on(session.directory.log)


def test_a_session_is_reopened_after_its_end_by_its_id(store: Store) -> None:
    session = start_session(store, SessionHeader(agent_type="a", session_id="the-id"))
    session.end(success=True)

    again = reopen_session(store, "the-id")
    assert again is not None
    assert again.directory == session.directory
    again.append(action())
    again.end(success=True)

    values = read_all(session.directory.log).values
    assert [value["action_id"] for value in values] == [1, 2, 3, 4]
    assert reopen_session(store, "other") is None


def test_a_recording_may_be_used_after_its_end(store: Store) -> None:
    session = start_session(store, SessionHeader(agent_type="a"))
    session.end(success=True)

    assert session.append(action()).action_id == 3
    session.close()


def test_two_sessions_of_one_minute_keep_apart(store: Store) -> None:
    sessions = [
        start_session(store, SessionHeader(agent_type=f"a{n}"), started_at=STARTED)
        for n in range(3)
    ]
    for session in sessions:
        session.append(action(tool=session.session_id))
        session.close()

    assert len({session.directory.name for session in sessions}) == 3
    for session in sessions:
        values = read_all(session.directory.log).values
        assert [value["tool"] for value in values] == ["AgentExecution", session.session_id]
        assert store.find_session(session.session_id) == session.directory


def test_a_disk_that_is_full_at_the_start_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F05, F07: a directory without a first line may be left, which has no identity."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(AppendNotWritten, match="No space left"):
            start_session(store, SessionHeader(agent_type="a", session_id="the-id"))

    assert store.find_session("the-id") is None
    assert [read_session_id(found) for found in store.session_directories()] == [None]
    again = start_session(store, SessionHeader(agent_type="a", session_id="the-id"))
    again.close()
    assert store.find_session("the-id") == again.directory


def test_the_public_names_are_there() -> None:
    assert all(hasattr(provenance_log, name) for name in provenance_log.__all__)


def test_a_session_that_can_not_be_started_keeps_no_descriptor(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F05, F07: who tries again and again on a full disk would run out of them."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(AppendNotWritten):
            start_session(store, SessionHeader(agent_type="example"))
    links = [link for link in Path("/proc/self/fd").glob("*") if link.is_symlink()]
    targets = [str(link.readlink()) for link in links]
    assert not [target for target in targets if str(store.root) in target]
