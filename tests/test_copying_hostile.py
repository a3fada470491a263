"""Copying from a tree that nobody vouches for: invariant D4."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from copying_cases import (
    ALL,
    FOUR,
    NAME,
    blob_of,
    lines_of,
    log_in,
    names_in,
    new_store,
    only,
    put,
    states,
    tree_of,
)

from provenance_log.copy_source import SourceRefused
from provenance_log.copying import copy_sessions
from provenance_log.errors import LogUnsafe
from provenance_log.store import Store


@pytest.fixture
def target(tmp_path: Path) -> Store:
    """The store that is copied into; `store` is the one copied from."""
    return new_store(tmp_path / "target")


def make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    except OSError:
        pytest.skip("only root may make a device")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)
        one.bind(path.name)
        os.chdir(here)


LOGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "symlink": (lambda path: path.symlink_to(path.parents[3] / "secret"), "a symlink"),
    "hard link": (lambda path: path.hardlink_to(path.parents[3] / "secret"), "2 names"),
    "pipe": (os.mkfifo, "a pipe"),
    "socket": (make_socket, "a socket"),
    "directory": (Path.mkdir, "a directory"),
    "device": (make_device, "a device"),
}


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_that_is_no_plain_file_is_refused_and_the_others_are_copied(
    kind: str, store: Store, target: Store
) -> None:
    """D4: nothing outside the store is read, and nothing is waited for."""
    (store.root.parent / "secret").write_bytes(b"".join(lines_of("secret")))
    put(store, NAME, b"".join(FOUR))
    make, reason = LOGS[kind]
    (store.sessions_dir / "bad").mkdir()
    make(store.sessions_dir / "bad" / "actions.jsonl")

    report = copy_sessions(store, target, ALL)

    assert states(report) == {NAME: "copied", "bad": "refused"}
    assert reason in str({copy.source_directory: copy.reason for copy in report.copies}["bad"])
    assert names_in(target) == [NAME]


def test_hostile_names_are_refused_and_what_is_no_session_is_passed_over(
    store: Store, target: Store
) -> None:
    """D4."""
    outside = put(store, "outside", b"".join(FOUR)).parent
    outside.rename(store.root.parent / "outside")
    (store.sessions_dir / "linked").symlink_to(store.root.parent / "outside")
    hostile = ["-rf", "a b", "x\x1b[31m", "nul", os.fsdecode(b"\xff\xfe"), "y" * 129, "end."]
    for name in hostile:
        put(store, name, b"".join(lines_of(ascii(name))))
    put(store, ".hidden", b"".join(lines_of("hidden")))
    (store.sessions_dir / "by-hand").mkdir()
    (store.sessions_dir / "README").write_text("x")
    put(store, "empty", b"")
    put(store, "torn", b'{"time')

    report = copy_sessions(store, target, ALL)

    assert states(report) == {
        **dict.fromkeys(hostile, "refused"),
        "linked": "refused",
        **dict.fromkeys((".hidden", "README", "by-hand", "empty", "torn"), "ignored"),
    }
    assert all(copy.reason for copy in report.copies)
    assert names_in(target) == []


def test_a_blobs_directory_that_is_a_symlink_is_not_followed_on_either_side(
    store: Store, target: Store, tmp_path: Path
) -> None:
    """D4."""
    outside = tmp_path / "outside"
    outside.mkdir()
    directory = put(store, NAME, b"".join(FOUR[:2])).parent
    (directory / "blobs").symlink_to(outside)
    first = only(copy_sessions(store, target, ALL))
    assert first.notes == ("blobs: a symlink, not a directory",)

    (target.sessions_dir / NAME / "blobs").symlink_to(outside)
    (directory / "blobs").unlink()
    blob_of(directory, b"payload")
    (directory / "actions.jsonl").write_bytes(b"".join(FOUR))
    second = only(copy_sessions(store, target, ALL))

    assert second.state == "refused"
    assert list(outside.iterdir()) == []
    assert log_in(target) == b"".join(FOUR[:2])


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_sessions_directory_that_is_a_symlink_is_refused(
    side: str, store: Store, target: Store, tmp_path: Path
) -> None:
    """D4: nothing outside the two roots is read or written."""
    put(store, NAME, b"".join(FOUR))
    linked = store if side == "source" else target
    linked.sessions_dir.rename(tmp_path / "elsewhere")
    linked.sessions_dir.symlink_to(tmp_path / "elsewhere")
    before = tree_of(tmp_path / "elsewhere")

    with pytest.raises((SourceRefused, LogUnsafe)):
        copy_sessions(store, target, ALL)

    assert tree_of(tmp_path / "elsewhere") == before
