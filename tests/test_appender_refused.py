"""A system that refuses: short writes, full disks, failed syncs, files that are no logs."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from log_cases import (
    APPEND_ONE,
    action,
    check_goes_on,
    locks_held,
    numbers_of,
    read_all,
    run_python,
)

from provenance_log.appender import Appender
from provenance_log.errors import (
    AppendNotWritten,
    LogUnsafe,
    ProvlogError,
    StoreNotWritable,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "actions.jsonl"


@pytest.fixture
def appender(log: Path) -> Iterator[Appender]:
    made = Appender(log)
    yield made
    made.close()


def test_a_genuine_short_write_is_rolled_back_and_the_next_append_works(log: Path) -> None:
    """A2, F04, F07: RLIMIT_FSIZE cuts a write at a byte, as a quota or a full disk does."""
    script = """if True:
        import json, os, resource, signal, sys
        from pathlib import Path
        from provenance_log.appender import Appender
        from provenance_log.errors import AppendNotWritten
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = Path(sys.argv[1])
        appender = Appender(log)
        action = {"type": "read", "tool": "Read", "status": "success"}
        appender.append(action)
        size = log.stat().st_size
        refused = 0
        for room in (*range(0, size, 7), size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
            for call in (appender.append, lambda a: appender.append_many([a, a, a])):
                try:
                    call(action)
                except AppendNotWritten as error:
                    assert "File too large" in str(error) and "fragment" not in str(error)
                    refused += 1
                assert log.stat().st_size == size
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(refused, appender.append(action).action_id)
    """
    refused, action_id = run_python(script, str(log)).stdout.split()

    assert int(refused) > 40
    assert action_id == "2"
    reading = check_goes_on(log)
    assert (reading.bad, reading.unchained) == ([], [])


def test_a_full_disk_is_reported_and_recovers_without_a_restart(tmp_path: Path) -> None:
    """A2, F05: nothing of a refused append stays, and once there is space the same appender works.

    A kimi-code session lost half a day because one full disk ended its recording.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs can't be mounted here (needs root)")
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 60_000)
        log = disk / "actions.jsonl"
        appender = Appender(log)
        large = action(details={"text": "y" * 3_000})
        count = 0
        while shutil.disk_usage(disk).free:
            appender.append(large)
            count += 1
        with pytest.raises(AppendNotWritten, match="No space left") as raised:
            appender.append_many([large] * 2)
        assert "free some space" in str(raised.value)
        for _ in range(3):
            with pytest.raises(AppendNotWritten):
                appender.append(action(details={"text": "y" * 9_000}))
        filler.unlink()
        assert appender.append(action()).action_id == count + 1
        reading = check_goes_on(log)
        assert (reading.bad, reading.unchained) == ([], [])
        appender.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_system_error_is_never_raised_bare_and_never_keeps_the_lock(
    log: Path, appender: Appender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2: each system call of an append fails once, and the next append works."""
    appender.append(action())

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for module, name in [(os, "lstat"), (os, "pread"), (fcntl, "flock"), (os, "write")]:
        fresh = Appender(log)
        fresh.append(action(database_event_id=f"before {name}"))
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            with pytest.raises(AppendNotWritten, match="Input/output error"):
                fresh.append(action(database_event_id=f"during {name}"))
        assert locks_held() == 0
        assert run_python(APPEND_ONE, str(log), timeout=20).stdout
        fresh.append(action(database_event_id=f"after {name}"))
        fresh.close()

    reading = read_all(log)
    assert (reading.bad, reading.unchained) == ([], [])
    assert numbers_of(log) == list(range(1, len(reading.good) + 1))


@pytest.mark.parametrize("kind", ["symlink", "hard link", "pipe", "device", "directory"])
def test_a_log_that_is_no_plain_file_is_refused_without_waiting(
    log: Path, appender: Appender, kind: str
) -> None:
    """A12, F40."""
    target = log.with_name("target")
    target.write_bytes(b"theirs\n")
    make: dict[str, Callable[[], object]] = {
        "symlink": lambda: log.symlink_to(target),
        "hard link": lambda: log.hardlink_to(target),
        "pipe": lambda: os.mkfifo(log),
        "device": lambda: log.symlink_to("/dev/null"),
        "directory": log.mkdir,
    }
    make[kind]()

    with pytest.raises(LogUnsafe):
        appender.append(action())

    assert target.read_bytes() == b"theirs\n"


def test_a_log_swapped_for_a_symlink_while_open_is_refused(log: Path, appender: Appender) -> None:
    """A12, F40: the path is looked at under the lock, each time."""
    appender.append(action())
    target = log.with_name("target")
    target.write_bytes(b"")
    log.unlink()
    log.symlink_to(target)

    with pytest.raises(LogUnsafe):
        appender.append(action())

    assert target.read_bytes() == b""


def test_a_session_directory_that_is_gone_is_reported(tmp_path: Path) -> None:
    """F37."""
    directory = tmp_path / "session"
    directory.mkdir()
    appender = Appender(directory / "actions.jsonl")
    appender.append(action())
    directory.rename(tmp_path / "moved")

    with pytest.raises(StoreNotWritable):
        appender.append(action())

    directory.write_bytes(b"a file of that name")
    with pytest.raises(ProvlogError):
        appender.append(action())
    assert locks_held() == 0


def test_an_append_within_an_append_is_refused_and_does_not_hang(
    log: Path, appender: Appender
) -> None:
    """A signal handler that ends the session may interrupt the very append it waits for."""
    refused: list[str] = []
    appender.append(action())
    write = os.write

    def interrupted(fd: int, data: Any) -> int:
        os.kill(os.getpid(), signal.SIGUSR1)
        return write(fd, data)

    def on_signal(*_: object) -> None:
        try:
            appender.append(action(tool="handler"))
        except AppendNotWritten as error:
            refused.append(str(error))
        appender.close()

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "write", interrupted)
            appender.append(action(tool="main"))
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert len(refused) == 1
    assert "signal handler" in refused[0]
    assert [value["tool"] for value in read_all(log).values] == ["Read", "main"]
    check_goes_on(log)
