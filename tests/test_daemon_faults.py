"""What may happen to a daemon's hints, database and directories, one look at a time."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from projecting import Log, rebuilt
from rebuilding import beside, content, filled
from watchdog.events import DirModifiedEvent, FileModifiedEvent, FileOpenedEvent, FileSystemEvent
from watched import NEVER_S, WAIT_S, Watched, running

from projections import daemon_hints, rebuild
from projections.daemon_notices import Notice
from projections.database import connect
from projections.projector import catch_up
from projections.waiting import NotVisibleYet, wait_until_visible
from provenance_log import lock_files
from provenance_log.errors import LockHeld, ProvlogError
from provenance_log.store import Store


def test_with_every_hint_suppressed_the_rescan_finds_the_lines_and_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B6, F60: after a few changes that nothing announced, there is polling only."""
    monkeypatch.setattr(daemon_hints.Waker, "dispatch", lambda _self, _event: None)
    monkeypatch.setattr(daemon_hints, "_RESTART_PAUSE_S", 0.0)
    log = Log(store, "2026-01-01", "s1")
    watched = Watched(store)
    with running(watched):
        for number in range(1, 1 + 2 * daemon_hints.MISSES_MAX):
            watched.until(number)
            log.add()
        watched.until_true(lambda: "polling" in watched.events)
        log.add()
    assert watched.events.count("polling") == 1
    catch_up(store)
    assert content(store) == rebuilt(store)


def test_a_dead_observer_is_noticed_and_started_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_hints, "_RESTART_PAUSE_S", 0.0)
    log = Log(store, "2026-01-01", "s1")
    watched = Watched(store)
    with running(watched):
        watched.until(1)
        observer = watched.daemon.hints._observer
        assert observer is not None
        observer.stop()
        observer.join()
        log.add()
        watched.until(2)
        watched.until_true(lambda: watched.daemon.hints._observer not in {None, observer})
    assert watched.events == ["started", "watching", "stopped"]
    assert "the observer was started again" in watched.notices[1].message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_where_nothing_can_be_watched_there_is_polling(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """F60: no watches or no instances of inotify left."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
    log = Log(store, "2026-01-01", "s1")
    watched = Watched(store)
    with running(watched):
        watched.until(1)
        log.add()
        watched.until(2)
    assert watched.events == ["started", "polling", "stopped"]
    assert "polling, rescan" in watched.notices[0].message


def test_an_exception_over_a_hint_ends_nothing_and_loses_no_hint(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rescan is too far away to help."""

    def fail(_event: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr(daemon_hints, "concerns_a_log", fail)
    log = Log(store, "2026-01-01", "s1")
    watched = Watched(store, rescan_s=NEVER_S)
    with running(watched):
        for number in range(1, 4):
            watched.until(number)
            log.add()
        watched.until(4)


def test_notifications_that_the_system_dropped_are_told_once_and_are_a_reason_to_look(
    store: Store,
) -> None:
    """F60: watchdog says so in its own log and nowhere else."""
    wake = threading.Event()
    hints = daemon_hints.Hints(store.sessions_dir, wake)
    assert hints.supervise() is None
    tell_of_overflows(2)
    assert wake.is_set()
    assert "overflowed" in (hints.supervise() or "")
    assert hints.supervise() is None
    assert hints.mode == "watching"
    hints.stop()
    wake.clear()
    tell_of_overflows(1)
    assert not wake.is_set()


def test_overflows_without_end_end_in_polling(store: Store) -> None:
    """F60: every overflow makes watchdog watch everything anew, which may well cause the next."""
    hints = daemon_hints.Hints(store.sessions_dir, threading.Event())
    assert hints.supervise() is None
    tell_of_overflows(daemon_hints.OVERFLOWS_MAX)
    assert "overflows all the time: polling" in (hints.supervise() or "")
    assert (hints.mode, hints.supervise()) == ("polling", None)


def tell_of_overflows(count: int) -> None:
    for _ in range(count):
        logging.getLogger("watchdog.observers.inotify_c").warning(daemon_hints._OVERFLOW)


def test_reading_the_sessions_makes_no_notifications(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that looks, or watchdog that walks, would cause what it is told of."""
    log = Log(store, "a", "s")
    events: list[str] = []
    arrived = threading.Event()

    def note(_self: object, event: FileSystemEvent) -> None:
        events.append(event.event_type)
        if event.event_type == "deleted":
            arrived.set()

    monkeypatch.setattr(daemon_hints.Waker, "dispatch", note)
    hints = daemon_hints.Hints(store.sessions_dir, threading.Event())
    assert hints.supervise() is None
    for path in (store.sessions_dir, log.path.parent):
        list(path.iterdir())
    log.path.read_bytes()
    log.path.unlink()
    assert arrived.wait(WAIT_S)
    hints.stop()
    assert events == ["deleted"]


def test_where_only_some_sessions_can_be_watched_there_is_polling(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F60: watchdog is silent about a directory for which no watch is left."""
    for name in ("a", "b"):
        Log(store, name, name)
    monkeypatch.setattr(daemon_hints, "_RESTART_PAUSE_S", 0.0)
    hints = daemon_hints.Hints(store.sessions_dir, threading.Event())
    assert hints.supervise() is None
    deadline = time.monotonic() + WAIT_S
    while daemon_hints._watch_count() not in {0, 3}:  # those of an earlier test are still closing
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setattr(daemon_hints, "_watch_count", lambda: 2)
    assert hints.distrust() is None
    assert hints.supervise() == (
        "no watches are left for some of the sessions: polling until the daemon is started again"
    )
    assert (hints.mode, hints.supervise()) == ("polling", None)


def test_the_rescan_interval_is_counted_from_one_look_to_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B6: a line that came just after a look waits for the work of that look and of the next."""
    watched = Watched(store, rescan_s=NEVER_S)
    watched.daemon._looked_at = time.monotonic() - NEVER_S / 10
    watched.daemon._files.is_due = False
    waits: list[float] = []

    def wait(timeout_s: float) -> bool:
        waits.append(timeout_s)
        return False

    monkeypatch.setattr(watched.daemon._wake, "wait", wait)
    watched.daemon._wait()
    watched.daemon._looked_at = time.monotonic()
    watched.daemon._wait()
    assert 0.7 * NEVER_S < waits[0] <= 0.8 * NEVER_S, "a tenth took the work, a tenth the next one"
    assert 0.9 * NEVER_S < waits[1] < 0.92 * NEVER_S, "what took long once is forgotten slowly"


def test_the_pauses_grow_with_the_time_that_nothing_worked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B8: held in turn by many readers it is tried nearly all the time, held for long seldom."""
    watched = Watched(store, rescan_s=3.0)
    now = [100.0]
    monkeypatch.setattr("projections.daemon.time", SimpleNamespace(monotonic=lambda: now[0]))

    def refuse(*_arguments: object, **_options: object) -> None:
        raise ProvlogError("the disk is full", path=store.database)

    monkeypatch.setattr(watched.daemon, "_catch_up", refuse)
    pauses = []
    for moment in (100.0, 100.5, 105.0, 110.0, 1000.0):
        now[0] = moment
        watched.daemon._look()
        pauses.append(watched.daemon._pause_s)
    assert pauses == pytest.approx([0.1, 0.1, 0.5, 1.0, 3.0])
    monkeypatch.setattr(watched.daemon, "_catch_up", lambda: None)
    watched.daemon._look()
    assert watched.daemon._pause_s == 0.0


@pytest.mark.parametrize(
    ("event", "is_wanted"),
    [
        (FileModifiedEvent("/s/sessions/a/actions.jsonl"), True),
        (FileOpenedEvent("/s/sessions/a/actions.jsonl"), False),
        (FileModifiedEvent("/s/sessions/a/manifest.yaml"), False),
        (DirModifiedEvent("/s/sessions/a"), False),
    ],
)
def test_our_own_reading_and_writing_is_no_hint(event: FileModifiedEvent, is_wanted: bool) -> None:
    assert daemon_hints.concerns_a_log(event) is is_wanted


def test_with_nothing_to_do_the_database_is_not_opened(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(filled(store))
    watched.look()
    watched.daemon._is_hinted = False
    watched.daemon._look()  # quiet: the indices

    def refuse(*_arguments: object, **_options: object) -> None:
        pytest.fail("the database was opened")

    monkeypatch.setattr(rebuild, "connect", refuse)
    monkeypatch.setattr("projections.daemon_database.connect", refuse)
    for _ in range(3):
        watched.daemon._look()
    assert watched.daemon._line_count == 18


def test_a_database_that_is_deleted_after_it_was_looked_at_is_made_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: opening it for the derived files would make an empty one, which looks as we left it."""
    watched = Watched(filled(store))
    watched.look()
    refresh = watched.daemon._files.refresh

    def delete_and_refresh(**arguments: bool) -> None:
        store.database.unlink()
        monkeypatch.undo()
        refresh(**arguments)

    monkeypatch.setattr(watched.daemon._files, "refresh", delete_and_refresh)
    watched.daemon._is_hinted = False
    for _ in range(2):
        watched.daemon._look()
    assert watched.told == ["quarantined", "rebuilding", "rebuilt"]
    assert content(store) == rebuilt(store)


def test_an_older_database_that_is_put_back_is_caught_up(store: Store) -> None:
    catch_up(filled(store))
    older = store.root / "older"
    shutil.copy(store.database, older)
    Log(store, "2026-02-01", "later").add()
    watched = Watched(store)
    watched.look()
    older.replace(store.database)
    watched.look()
    assert content(store) == rebuilt(store)
    assert watched.daemon._line_count == 4


def test_sessions_that_vanish_are_told_once_and_keep_their_rows(store: Store) -> None:
    """A disk that is not mounted for a while is no reason to forget what is on it."""
    watched = Watched(filled(store))
    watched.look()
    before = content(store)
    away = store.root / "away"
    store.sessions_dir.rename(away)
    for _ in range(3):
        watched.look()
    assert content(store) == before
    away.rename(store.sessions_dir)
    Log(store, "2026-02-01", "later")
    watched.look()
    assert watched.told == ["quarantined", "failed", "recovered"]
    assert content(store) == rebuilt(store)


def test_a_full_disk_is_told_once_and_what_was_not_written_is_caught_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(filled(store))
    watched.look()
    Log(store, "2026-02-01", "later")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise ProvlogError("the disk is full", path=store.database)

    with monkeypatch.context() as full:
        full.setattr("projections.loading._write_checkpoints", refuse)
        for _ in range(3):
            watched.look()
    watched.look()
    assert watched.told == ["quarantined", "failed", "recovered"]
    assert content(store) == rebuilt(store)


def test_a_log_that_can_not_be_read_is_told_once_and_the_others_are_projected(
    store: Store,
) -> None:
    bad = store.sessions_dir / "bad"
    bad.mkdir()
    (bad / "actions.jsonl").symlink_to("elsewhere")
    watched = Watched(filled(store))
    for _ in range(3):
        watched.look()
    assert watched.told == ["quarantined", "log"]
    assert content(store) == rebuilt(store)


def test_a_daemon_whose_lock_file_was_taken_away_ends(store: Store) -> None:
    """B7: or there could be two."""
    watched = Watched(filled(store))
    ended: list[BaseException] = []

    def run() -> None:
        try:
            watched.daemon.run()
        except LockHeld as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    watched.until(18)
    store.projector_lock.unlink()
    thread.join(WAIT_S)
    assert "removed or replaced" in str(ended[0])


def test_a_daemon_that_is_stopped_during_a_rebuild_leaves_the_tables_as_they_were(
    store: Store,
) -> None:
    watched = Watched(filled(store))
    watched.look()
    with connect(store.database, read_only=False) as connection:
        connection.execute("UPDATE provenance_definitions SET fingerprint = 'x'")
    before = content(store)

    def stop_when_told(notice: Notice) -> None:
        watched.notices.append(notice)
        watched.daemon.stop()

    watched.daemon._database._tell = stop_when_told
    watched.look()
    assert watched.told == ["quarantined", "rebuilding", "abandoned"]
    assert (content(store), beside(store)) == (before, ["provenance.duckdb"])


def test_wait_gives_up_naming_a_log_and_what_to_run(store: Store) -> None:
    log = Log(store, "2026-01-01", "s1")
    directories = store.session_directories()
    with pytest.raises(NotVisibleYet, match="nobody is projecting") as caught:
        wait_until_visible(store, directories, timeout_s=0)
    assert caught.value.path == log.path
    with lock_files.exclusive_lock(store.projector_lock), pytest.raises(NotVisibleYet):
        wait_until_visible(store, directories, timeout_s=0)


def test_wait_waits_for_whole_lines_that_can_be_read_only(store: Store) -> None:
    """B1: a torn tail is not there yet; blank lines and links are no session."""
    log = Log(store, "2026-01-01", "s1")
    catch_up(store)
    log.add_bytes(b'{"half')
    Log(store, "blank").add_bytes(b"\n\n")
    Log(store, "empty")
    wait_until_visible(store, store.session_directories(), timeout_s=0)
    log.add_bytes(b"\n")
    with pytest.raises(NotVisibleYet):
        wait_until_visible(store, store.session_directories(), timeout_s=0)
    catch_up(store)
    wait_until_visible(store, store.session_directories(), timeout_s=0)
