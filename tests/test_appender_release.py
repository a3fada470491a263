"""An append that is in the log is acknowledged, whatever the system says to its lock afterwards."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest
from log_cases import action

from provenance_log.appender import Appender


def test_a_lock_that_is_not_given_back_is_freed_and_the_line_acknowledged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def fail_to_unlock(fd: int, operation: int) -> None:
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.EIO, "Input/output error")
        flock(fd, operation)

    log = tmp_path / "actions.jsonl"
    first, other = Appender(log), Appender(log)
    monkeypatch.setattr(fcntl, "flock", fail_to_unlock)

    numbers = [
        one.append_planned(lambda _: [action()], wait_s=5)[0].action_id
        for one in (first, other, first)
    ]

    assert numbers == [1, 2, 3]
    assert log.read_bytes().count(b"\n") == 3
    first.close()
    other.close()


def test_a_signal_that_raises_after_the_lock_was_taken_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F09: else nobody else could append until this process appends again or ends."""
    log = tmp_path / "actions.jsonl"
    appender = Appender(log)
    appender.append(action())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("provenance_log.appender.os.lstat", interrupted)
        with pytest.raises(KeyboardInterrupt):
            appender.append(action())
    with log.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
