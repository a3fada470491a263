"""A daemon in the background: started, looked at, killed and stopped, as people do it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from projecting import Log

from projections.daemon_state import log_path, look, read_state, state_path
from projections.holders import started_ticks
from projections.waiting import wait_until_visible
from provenance_log.lock_files import exclusive_lock
from provenance_log.store import Store

WAIT_S = 30.0
"""Only a failure takes this long."""

Provlog = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def provlog(store: Store) -> Iterator[Provlog]:
    """Run a command over the store; a daemon that still runs at the end is killed."""
    started = set()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "provenance_log.cli", *arguments, "--root", str(store.root)],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        if done.stdout.startswith("started process "):
            started.add(int(done.stdout.split()[2].strip(";,")))
        return done

    yield run
    found = look(store)
    if found.holder is not None and found.holder.pid in started:
        os.kill(found.holder.pid, signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def pid_of(store: Store) -> int:
    found = look(store)
    assert found.daemon is not None
    return found.daemon.pid


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_daemon_in_the_background_is_started_works_and_is_stopped(
    store: Store, provlog: Provlog
) -> None:
    assert (provlog("daemon", "stop").stdout, state_path(store).exists()) == (
        "no daemon is running\n",
        False,
    )
    started = provlog("daemon", "--detach", "--rescan", "0.2")
    pid = pid_of(store)
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout == f"started process {pid}; its log is {log_path(store)}\n"
    assert (os.getsid(pid), Path(f"/proc/{pid}/cwd").readlink()) == (pid, Path("/"))
    assert (mode_of(log_path(store)), mode_of(state_path(store))) == (0o600, 0o600)

    Log(store, "2026-01-01", "s1").add()
    wait_until_visible(store, store.session_directories(), timeout_s=WAIT_S)

    stopped = provlog("daemon", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"stopped process {pid}\n")
    assert "stopped: lines projected: 2" in log_path(store).read_text()
    state = read_state(store)
    assert state is not None
    assert state.stopped is not None
    assert look(store).holder is None


def test_a_daemon_that_was_killed_is_not_taken_for_one_that_runs(
    store: Store, provlog: Provlog
) -> None:
    provlog("daemon", "--detach")
    pid = pid_of(store)
    os.kill(pid, signal.SIGKILL)
    until(lambda: look(store).holder is None)
    assert look(store).daemon is None
    state = read_state(store)
    assert (state and state.pid, state and state.stopped) == (pid, None)
    status = provlog("status")
    assert status.returncode == 0
    assert f"not running: process {pid} was killed" in status.stdout
    assert provlog("daemon", "stop").stdout == "no daemon is running\n"
    assert provlog("daemon", "--detach").returncode == 0
    assert pid_of(store) != pid


def test_status_tells_how_the_daemon_is_and_needs_a_person_while_it_fails(
    store: Store, provlog: Provlog
) -> None:
    provlog("daemon", "--detach", "--rescan", "0.1", "--poll")
    pid = pid_of(store)
    calm = provlog("status")
    assert calm.returncode == 0
    assert re.search(
        rf"^daemon +process {pid} since 20.* UTC, polling every 0.1 s", calm.stdout, re.MULTILINE
    )

    link = store.sessions_dir / "bad" / "actions.jsonl"
    link.parent.mkdir()
    link.symlink_to("elsewhere")
    until(lambda: bool((state := read_state(store)) and state.errors))
    bad = provlog("status", "--json")
    report = json.loads(bad.stdout)
    assert (bad.returncode, report["daemon"]["is_running"], report["daemon"]["mode"]) == (
        1,
        True,
        "polling",
    )
    error = report["daemon"]["last_error"]
    assert (error["event"], error["over"]) == ("log", None)
    assert error["message"] == f"{link}: not a plain file; it is passed over"
    assert report["attention"] == [f"the daemon is in trouble: {error['message']}"]

    link.unlink()
    until(lambda: bool((state := read_state(store)) and state.errors[0].over))
    over = provlog("status")
    assert over.returncode == 0
    assert re.search(
        r"^last error +20.* UTC, over since 20.* UTC: .*/bad/", over.stdout, re.MULTILINE
    )


def test_a_daemon_that_does_not_end_is_named(store: Store, provlog: Provlog) -> None:
    provlog("daemon", "--detach")
    pid = pid_of(store)
    os.kill(pid, signal.SIGSTOP)
    ran = provlog("daemon", "stop", "--timeout", "0.1")
    assert ran.returncode == 1
    assert f"process {pid} is still running after 0.1 s" in ran.stderr
    os.kill(pid, signal.SIGCONT)
    until(lambda: look(store).holder is None)


HOLD = """
import sys
from pathlib import Path
from provenance_log.lock_files import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_projector_that_is_no_daemon_is_not_signalled(store: Store, provlog: Provlog) -> None:
    """Also where a daemon once had the same process id."""
    command = [sys.executable, "-c", HOLD, str(store.projector_lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        ticks = started_ticks(holder.pid)
        assert ticks is not None
        stale = STATE | {"pid": holder.pid, "ticks": ticks - 1}
        state_path(store).write_text(json.dumps(stale))
        ran = provlog("daemon", "stop")
        assert ran.returncode == 1
        assert f"held by process {holder.pid} (" in ran.stderr
        assert holder.poll() is None

        waiting = provlog("daemon", "--detach")
        assert waiting.returncode == 0
        assert f"which waits for process {holder.pid} (" in waiting.stdout
        assert holder.stdin is not None
        holder.stdin.close()
        until(lambda: look(store).daemon is not None)
    assert provlog("daemon", "stop").returncode == 0


def test_a_daemon_that_ends_at_once_tells_why(store: Store, provlog: Provlog) -> None:
    log_path(store).write_bytes(b"older\n" * 1_000_000)
    store.projector_lock.mkdir()
    ran = provlog("daemon", "--detach")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "ended at once with exit code 1:" in ran.stderr
    assert f"{store.projector_lock}: not a plain file" in ran.stderr
    assert "older" not in ran.stderr
    assert log_path(store).with_name("daemon.log.1").stat().st_size == 6_000_000


def test_options_before_a_subcommand_are_refused(store: Store, provlog: Provlog) -> None:
    """They would be those of a daemon that is not asked for, and of another store."""
    ran = provlog("daemon", "--root", str(store.root), "stop")
    assert ran.returncode == 2
    assert "options of 'stop' come after it" in ran.stderr


STATE: dict[str, object] = {
    "pid": 1,
    "ticks": None,
    "command": "",
    "since": "2026-01-02T03:04:05.678Z",
    "mode": "polling",
    "mode_reason": None,
    "rescan_s": 2,
    "stopped": None,
    "errors": [],
}


def test_a_state_that_can_not_be_read_is_none(store: Store) -> None:
    wrong: tuple[dict[str, object], ...] = (
        {"pid": "1"},
        {"more": 1},
        {"since": None},
        {"errors": 3},
        {"errors": [{}]},
    )
    bad = [json.dumps(STATE | change).encode() for change in wrong]
    for content in (*bad, b"", b"[]", b"{}", b"\xff"):
        state_path(store).write_bytes(content)
        assert read_state(store) is None
    state_path(store).write_text(json.dumps(STATE))
    assert read_state(store) is not None


def test_our_own_lock_file_names_its_holder_without_the_kernel(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system without /proc."""
    monkeypatch.setattr("projections.holders._PROC", store.root / "nowhere")
    with exclusive_lock(store.projector_lock):
        found = look(store)
        assert found.holder is not None
        assert found.holder.pid == os.getpid()
    store.projector_lock.write_text(f"{os.getpid()} left by one that was killed\n")
    assert look(store).holder is None
