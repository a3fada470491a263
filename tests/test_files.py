"""The one place that locks, syncs, truncates and renames."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from provenance_log import files, lock_files
from provenance_log.errors import AppendNotWritten, LockHeld, LogUnsafe, StoreNotWritable


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names are what is compared)


@pytest.fixture
def open_log(tmp_path: Path) -> Any:
    fd, _ = files.open_log(tmp_path, "log")
    yield fd
    os.close(fd)


def test_a_log_and_its_directory_are_their_owners_alone(tmp_path: Path) -> None:
    """A12: whatever the umask, which may even take the owner's own bits."""
    before = os.umask(0o777)
    try:
        files.make_directory(tmp_path / "session")
        os.close(files.open_log(tmp_path / "session", "log")[0])
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "session") == 0o700
    assert mode_of(tmp_path / "session" / "log") == 0o600


def test_what_is_no_plain_file_of_its_own_is_refused_without_waiting(tmp_path: Path) -> None:
    """A12, F40."""
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "symlink").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "one").write_bytes(b"")
    (tmp_path / "other").hardlink_to(tmp_path / "one")
    descriptors = open_descriptors()

    for name in ("symlink", "dangling", "pipe", "directory", "one", "other"):
        with pytest.raises(LogUnsafe) as raised:
            files.open_log(tmp_path, name)
        assert raised.value.path == tmp_path / name
    with pytest.raises(LogUnsafe):
        files.open_log(Path("/dev"), "null")
    with pytest.raises(LogUnsafe, match="2 names"):
        files.open_log(tmp_path, "one")
    (tmp_path / "linked").symlink_to("directory")
    with pytest.raises(LogUnsafe):
        files.open_log(tmp_path / "linked", "log")
    with pytest.raises(StoreNotWritable):
        files.open_log(tmp_path / "missing", "log")

    assert open_descriptors() == descriptors
    assert not (tmp_path / "nowhere").exists()


def test_a_write_that_comes_in_pieces_is_completed(
    tmp_path: Path, open_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2, F04: every short count that the system may return."""
    write = os.write
    for size in range(1, 12):
        start = (tmp_path / "log").stat().st_size
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data, n=size: write(fd, data[:n]))
            assert files.append_bytes(open_log, b"0123456789\n", start, tmp_path) == start + 11

    assert (tmp_path / "log").read_bytes() == b"0123456789\n" * 11


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EAGAIN, 0])
@pytest.mark.parametrize("first", range(12))
def test_a_write_that_fails_part_way_takes_its_own_bytes_back(
    tmp_path: Path, open_log: int, monkeypatch: pytest.MonkeyPatch, first: int, code: int
) -> None:
    """A2, F04, F05; with code 0 the system writes nothing for ever."""
    write = os.write
    write(open_log, b"before\n")
    calls: list[int] = []

    def fail_after(fd: int, data: Any) -> int:
        calls.append(len(data))
        if len(calls) == 1 and first:
            return write(fd, bytes(data)[:first])
        if code == 0:
            return 0
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", fail_after)
    if first == 11:
        assert files.append_bytes(open_log, b"0123456789\n", 7, tmp_path) == 18
        return
    if first == 0 and code == 0:
        with pytest.raises(AppendNotWritten):
            files.append_bytes(open_log, b"0123456789\n", 7, tmp_path)
    else:
        with pytest.raises(AppendNotWritten, match="nothing was appended") as raised:
            files.append_bytes(open_log, b"0123456789\n", 7, tmp_path)
        assert (raised.value.path, raised.value.offset) == (tmp_path, 7)
        assert "fragment" not in str(raised.value)
    assert (tmp_path / "log").read_bytes() == b"before\n"


def test_bytes_that_are_not_ours_alone_any_more_are_not_cut(
    tmp_path: Path, open_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: never truncate what somebody else may have written."""
    write = os.write

    def fail_after_a_stranger(fd: int, data: bytes) -> int:
        if len(data) == 5:
            return write(fd, data[:2])
        with (tmp_path / "log").open("ab") as log:
            log.write(b"stranger\n")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", fail_after_a_stranger)
    with pytest.raises(AppendNotWritten, match="a fragment stays"):
        files.append_bytes(open_log, b"01234", 0, tmp_path)

    assert (tmp_path / "log").read_bytes() == b"01stranger\n"


def test_a_cut_that_fails_leaves_a_fragment_and_says_so(
    tmp_path: Path, open_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def once(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", refuse)
        return write(fd, data[:2])

    def refuse(*_: Any) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "write", once)
    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(AppendNotWritten, match="a fragment stays"):
        files.append_bytes(open_log, b"01234", 0, tmp_path)

    assert (tmp_path / "log").read_bytes() == b"01"


def test_an_interruption_between_two_pieces_takes_them_back(
    tmp_path: Path, open_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2: a signal handler may raise between any two calls."""
    write = os.write

    def interrupted(fd: int, data: bytes) -> int:
        if len(data) < 5:
            raise KeyboardInterrupt
        return write(fd, data[:2])

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.append_bytes(open_log, b"01234", 0, tmp_path)

    assert (tmp_path / "log").read_bytes() == b""


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, open_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F16."""

    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(AppendNotWritten, match="No locks available"):
        files.lock(open_log, tmp_path / "log")


def test_directories_are_made_with_everything_above_them(tmp_path: Path) -> None:
    files.make_directories(tmp_path / "a" / "b" / "c")
    files.make_directories(tmp_path / "a" / "b" / "c")

    assert mode_of(tmp_path / "a" / "b" / "c") == 0o700
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file"):
            files.make_directories(path)


def test_an_atomic_write_replaces_whole_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.write_atomically(path, b"one")
    inode = path.stat().st_ino
    assert not files.write_atomically(path, b"one")
    assert path.stat().st_ino == inode
    assert files.write_atomically(path, b"two", mode=0o640)

    assert (path.read_bytes(), mode_of(path), names_in(tmp_path)) == (b"two", 0o640, ["file"])


def test_an_atomic_write_syncs_the_content_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18: after a power cut the old content or the new one is there, never an empty file."""
    order: list[str] = []
    replace = os.replace

    def noted(source: Path, target: Path) -> None:
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda _: order.append("fsync"))
    monkeypatch.setattr(os, "replace", noted)
    files.write_atomically(tmp_path / "file", b"new")
    assert order == ["fsync", "replace", "fsync"]
    order.clear()
    files.replace_file(tmp_path / "file", tmp_path / "other")
    assert order == ["fsync", "replace", "fsync"]
    order.clear()
    files.make_directories(tmp_path / "a" / "b")
    assert order == ["fsync", "fsync"]


def test_an_atomic_write_replaces_a_symlink_and_does_not_follow_it(tmp_path: Path) -> None:
    """F40."""
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "file").symlink_to("target")

    assert files.write_atomically(tmp_path / "file", b"theirs")

    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"theirs"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_an_atomic_write_that_fails_leaves_the_old_content_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """F06, F08."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    descriptors = open_descriptors()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="full"):
            files.write_atomically(path, b"new")

    assert (path.read_bytes(), names_in(tmp_path)) == (b"old", ["file"])
    assert open_descriptors() == descriptors


def test_a_finished_file_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")

    files.replace_file(tmp_path / "new", tmp_path / "old")

    assert names_in(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"new"


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_finished_file_gets_a_name_that_nothing_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_hard_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not has_hard_links:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "new").write_bytes(b"new")
    files.place_file(tmp_path / "new", tmp_path / "place")
    assert names_in(tmp_path) == ["place"]
    assert (tmp_path / "place").read_bytes() == b"new"

    (tmp_path / "newer").write_bytes(b"newer")
    with pytest.raises(OSError, match=r"exists|not permitted"):
        files.place_file(tmp_path / "newer", tmp_path / "place")
    assert (tmp_path / "place").read_bytes() == b"new"


def test_a_held_lock_names_its_holder_and_is_free_once_the_holder_is_killed(tmp_path: Path) -> None:
    """A9: the kernel frees it; there is no stale lock file."""
    lock = tmp_path / "lock"
    script = """if True:
        import sys, time
        from pathlib import Path
        from provenance_log import lock_files
        with lock_files.exclusive_lock(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", script, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(LockHeld, match=f"held by process {holder.pid} "),
            lock_files.exclusive_lock(lock, wait_s=0.1),
        ):
            pass
        holder.kill()
        holder.wait()
        with lock_files.exclusive_lock(lock, wait_s=5):
            assert lock.read_text().startswith(f"{os.getpid()} ")
    assert lock.read_text() == ""


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []
    release = threading.Event()

    def hold() -> None:
        with lock_files.exclusive_lock(tmp_path / "lock"):
            order.append("first")
            release.wait(5)
            order.append("first leaves")

    thread = threading.Thread(target=hold)
    thread.start()
    while not order:
        pass
    threading.Timer(0.1, release.set).start()
    with lock_files.exclusive_lock(tmp_path / "lock", wait_s=10):
        order.append("second")
    thread.join()

    assert order == ["first", "first leaves", "second"]


def test_a_full_disk_keeps_nobody_from_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F06: the note in the lock file is for messages only."""

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", fail)
    entered = False
    with lock_files.exclusive_lock(tmp_path / "lock"):
        entered = True
    assert entered


def test_a_lock_file_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "lock").symlink_to("target")

    with pytest.raises(LogUnsafe), lock_files.exclusive_lock(tmp_path / "lock"):
        pass

    assert (tmp_path / "target").read_text() == "theirs"
