"""For how long lines have waited, as far as a log can tell."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import pytest
from projecting import Log

from projections.age import age_of
from projections.checkpoints import at_start
from provenance_log.format import format_timestamp
from provenance_log.store import Store

NOW_S = 20.0
"""What was done by a test just now is not older than this."""


def ago(seconds: float) -> str:
    return format_timestamp(datetime.fromtimestamp(time.time() - seconds, UTC))


def test_a_new_log_is_not_older_than_its_directory(store: Store) -> None:
    """What was imported, or copied with its times, happened long before it came here."""
    log = Log(store, "2026-01-01", "s1")
    os.utime(log.path, (1, 1))
    os.utime(log.path.parent, (1, 1))
    age = age_of(log.path, 0, None)
    assert age is not None
    assert 0 <= age.age_s < NOW_S
    assert 0 <= age.quiet_s < NOW_S


@pytest.mark.parametrize(
    ("recorded_s", "expected_s"),
    [
        pytest.param(100, 100, id="recorded since the last look"),
        pytest.param(9000, 1000, id="recorded before, appended since"),
        pytest.param(-9000, 0, id="from a clock that is ahead"),
        pytest.param(None, 1000, id="no time"),
    ],
)
def test_a_line_has_waited_since_it_was_recorded_or_the_log_was_read(
    store: Store, recorded_s: float | None, expected_s: float
) -> None:
    log = Log(store, "2026-01-01", "s1")
    offset = log.path.stat().st_size
    log.add(timestamp="noise" if recorded_s is None else ago(recorded_s))
    log_mtime_ns = time.time_ns() - 1000 * 10**9
    checkpoint = at_start("2026-01-01", "s1")._replace(log_mtime_ns=log_mtime_ns)
    age = age_of(log.path, offset, checkpoint)
    assert age is not None
    assert expected_s - 1 < age.age_s < expected_s + NOW_S
    assert age.quiet_s < NOW_S


def test_what_is_no_action_is_as_old_as_the_last_look(store: Store) -> None:
    log = Log(store, "2026-01-01")
    checkpoint = at_start("2026-01-01", "s")._replace(log_mtime_ns=time.time_ns() - 50 * 10**9)
    for data in (b"noise\n", b"[]\n", b'{"timestamp": 3}\n', b'{"torn', b"x" * 100_000):
        log.path.write_bytes(data)
        age = age_of(log.path, 0, checkpoint)
        assert age is not None
        assert 49 < age.age_s < 50 + NOW_S


def test_what_is_no_plain_file_has_no_age(store: Store) -> None:
    log = Log(store, "2026-01-01")
    log.path.unlink()
    assert age_of(log.path, 0, None) is None
    log.path.symlink_to("elsewhere")
    assert age_of(log.path, 0, None) is None
