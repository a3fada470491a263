"""What of a daemon needs a person, and what does not; what needs nobody once it was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from projecting import Log, rewrite
from rebuilding import filled

from projections.acknowledging import ACKNOWLEDGED_NAME, acknowledge
from projections.attention import attention_to_daemon
from projections.daemon_state import DaemonError
from projections.projector import catch_up
from projections.rebuild import rebuild
from projections.status import DaemonFacts, LagRow, StatusReport, read_status
from provenance_log.store import Store

LONG_AGO = "2026-01-01T00:00:00.000Z"


def running(*errors: DaemonError, rescan_s: float = 2.0, since: str = LONG_AGO) -> DaemonFacts:
    return DaemonFacts(
        is_running=True,
        pid=7,
        since=since,
        mode="polling",
        rescan_s=rescan_s,
        last_error=errors[0] if errors else None,
        errors=errors,
    )


FULL = DaemonError("projection", "failed", "the disk is full", "2026-01-01T00:00:00.000Z")
HELD = DaemonError("projection", "held", "held by process 1", "2026-01-01T00:00:00.000Z")
OVER = replace(FULL, over="2026-01-01T00:01:00.000Z")
WAITING = LagRow("a", "behind", 3, 300, age_s=100.0, quiet_s=50.0)


@pytest.mark.parametrize(
    ("daemon", "lag", "expected"),
    [
        (running(), (), []),
        (running(OVER, HELD), (), []),
        (running(FULL), (), ["the daemon is in trouble: the disk is full"]),
        (replace(running(FULL), is_running=False), (WAITING,), []),
        (DaemonFacts(is_running=False), (WAITING,), []),
        (
            running(HELD),
            (WAITING,),
            ["lines have waited for 1 m 40 s although a daemon runs"],
        ),
        (running(), (replace(WAITING, quiet_s=1.0),), []),
        (running(), (replace(WAITING, age_s=50.0),), []),
        (running(), (replace(WAITING, age_s=None, quiet_s=None),), []),
        (running(rescan_s=15.0), (WAITING,), []),
    ],
)
def test_a_daemon_needs_a_person_when_it_fails_or_lets_lines_wait(
    daemon: DaemonFacts, lag: tuple[LagRow, ...], expected: list[str]
) -> None:
    assert list(attention_to_daemon(daemon, lag)) == expected


def test_what_waited_before_a_daemon_was_started_says_nothing_about_it() -> None:
    now = datetime.now(UTC).isoformat()
    assert list(attention_to_daemon(running(since=now), (WAITING,))) == []


def report_of(store: Store) -> StatusReport:
    return read_status(store, wait_s=1.0)


def acknowledge_all(store: Store) -> None:
    report = report_of(store)
    acknowledge(store, report.incidents, report.quarantine)


def test_what_was_acknowledged_needs_nobody_until_there_is_more(store: Store) -> None:
    catch_up(filled(store, sessions=1))
    log = Log(store, "2026-02-01", "s9")
    catch_up(store)
    rewrite(log, [])
    log.add(details={"session": {"session_id": "other"}})
    catch_up(store)
    assert len(report_of(store).attention) == 2
    acknowledge_all(store)
    assert report_of(store).attention == ()
    rebuild(store)
    seen = report_of(store)
    assert seen.attention == ()
    assert [row.acknowledged_count for row in seen.quarantine] == [1]
    assert all(row.is_acknowledged for row in seen.incidents)

    with (store.sessions_dir / "2026-01-01" / "actions.jsonl").open("ab") as file:
        file.write(b"more garbage\n")
    rewrite(log, [])
    catch_up(store)
    assert report_of(store).attention == ("1 line in 1 log could not be read", "1 incident")


def test_what_the_directories_hold_now_can_not_be_acknowledged(store: Store) -> None:
    log = Log(store, "2026-01-01", "s1")
    copy = store.sessions_dir / "copy"
    copy.mkdir()
    (copy / "actions.jsonl").write_bytes(log.path.read_bytes())
    catch_up(store)
    acknowledge_all(store)
    report = report_of(store)
    assert [(row.kind, row.is_acknowledged) for row in report.incidents] == [("duplicate", False)]
    assert report.attention == ("1 incident",)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"[[]]", b'[["incident", "x"]]', b"\xff"])
def test_a_file_that_can_not_be_read_acknowledges_nothing(store: Store, content: bytes) -> None:
    catch_up(filled(store, sessions=1))
    acknowledge_all(store)
    (store.root / ACKNOWLEDGED_NAME).write_bytes(content)
    assert report_of(store).attention == ("1 line in 1 log could not be read",)
