"""From a session id to its directory, and back from whatever became of either."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from log_cases import action, line

from provenance_log.appender import Appender
from provenance_log.recording import SessionHeader, start_session
from provenance_log.store import (
    SessionDirectory,
    Store,
    read_session_id,
)

MINUTE = datetime(2026, 1, 10, 14, 30, 59, tzinfo=UTC)


def tree_of(root: Path) -> dict[str, tuple[bytes | None, int]]:
    """Everything below a directory: content and time of change."""
    return {
        str(path.relative_to(root)): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mtime_ns,
        )
        for path in sorted(root.rglob("*"))
    }


def session_in(store: Store, session_id: str) -> SessionDirectory:
    recording = start_session(store, SessionHeader(agent_type="test", session_id=session_id))
    recording.close()
    return recording.directory


def test_a_session_is_found_by_its_id_without_a_scan(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = {name: session_in(store, name) for name in ("one", "two", "three")}

    def no_scan(_: Store) -> None:
        raise AssertionError("scanned")

    monkeypatch.setattr(Store, "session_directories", no_scan)
    for name, directory in directories.items():
        assert store.find_session(name) == directory
        assert read_session_id(directory) == name


@pytest.mark.parametrize(
    "damage", ["deleted", "wrong", "unsafe", "not text", "a directory", "gone"]
)
def test_the_index_heals_itself(store: Store, damage: str) -> None:
    one, two = session_in(store, "one"), session_in(store, "two")
    entry = store.by_id_dir / "one"
    content = entry.read_bytes()
    entry.unlink()
    match damage:
        case "wrong":
            entry.write_text(two.name)
        case "unsafe":
            entry.write_text("../../../etc")
        case "not text":
            entry.write_bytes(b"\xff")
        case "a directory":
            entry.mkdir()
        case "gone":
            store.by_id_dir.joinpath("two").unlink()
            store.by_id_dir.rmdir()

    assert store.find_session("one") == one
    assert store.find_session("two") == two
    if damage != "a directory":  # which is not ours to remove
        assert entry.read_bytes() == content


def test_a_renamed_session_is_found_under_its_new_name(store: Store) -> None:
    """F37, F39: the identity is in the log, never the directory's name."""
    directory = session_in(store, "one")
    directory.path.rename(store.sessions_dir / "renamed")

    found = store.find_session("one")

    assert found == SessionDirectory("renamed", store.sessions_dir / "renamed")
    assert (store.by_id_dir / "one").read_text() == "renamed\n"


def test_a_session_that_is_gone_is_not_found_and_leaves_no_entry(store: Store) -> None:
    directory = session_in(store, "one")
    directory.log.unlink()

    assert store.find_session("one") is None
    assert not (store.by_id_dir / "one").exists()
    assert store.find_session("never there") is None


def test_a_session_is_found_in_a_store_that_can_only_be_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Healing is a service to the next one; looking must not depend on it."""
    directory = session_in(store, "one")
    (store.by_id_dir / "one").write_text("wrong")

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("replace", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, read_only)
    assert store.find_session("one") == directory
    assert store.find_session("two") is None


@pytest.mark.parametrize(
    "session_id", ["../../x", "a/b", "-", "", "nul", "ü", "\ud800", "x" * 300, "$(id)", "a\nb"]
)
def test_a_hostile_session_id_stays_within_the_index(store: Store, session_id: str) -> None:
    """F39, S8."""
    before = tree_of(store.root.parent.parent)
    store.register_session(session_id, "2026-01-10-14-30")

    names = [path.name for path in store.by_id_dir.iterdir()]
    assert len(names) == 1
    assert names[0].startswith("sha256-")
    after = tree_of(store.root.parent.parent)
    changed = [name for name in after if before.get(name) != after[name]]
    assert all("indices/by-id" in name for name in changed)
    assert store.find_session(session_id) is None


def test_the_identity_of_a_log_without_a_header_is_its_first_line(store: Store) -> None:
    """Design section 4: never the directory's name."""
    ids = []
    for name in ("a", "b", "c"):
        (store.sessions_dir / name).mkdir()
        content = line(1, tool="same" if name != "c" else "other")
        (store.sessions_dir / name / "actions.jsonl").write_bytes(b"\n" + content + b"\n")
        ids.append(read_session_id(SessionDirectory(name, store.sessions_dir / name)))

    assert ids[0] == ids[1] != ids[2]
    found = store.find_session(str(ids[0]))
    assert found is not None
    assert found.name == "a"


def test_a_directory_without_a_first_line_has_no_identity(store: Store) -> None:
    directory = store.create_session_directory(MINUTE)
    assert read_session_id(directory) is None
    directory.log.write_bytes(line())
    assert read_session_id(directory) is None
    directory.log.unlink()
    os.mkfifo(directory.log)
    assert read_session_id(directory) is None
    directory.log.unlink()
    directory.log.symlink_to("/etc/passwd")
    assert read_session_id(directory) is None


def test_many_threads_heal_the_index_at_once(store: Store) -> None:
    directory = session_in(store, "one")
    for _ in range(5):
        (store.by_id_dir / "one").unlink()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(store.find_session, ["one"] * 8))
        assert found == [directory] * 8
    Appender(directory.log).append(action())
    assert list(store.by_id_dir.iterdir()) == [store.by_id_dir / "one"]
