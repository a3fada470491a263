"""Writing the derived files: what is ours is kept right, what is a person's is left alone."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from projections.database import connect
from projections.derived import (
    DerivedReport,
    ExpectedFile,
    NotWritten,
    expected_files,
    refresh,
    write_files,
)
from projections.projector import catch_up
from provenance_log import files
from provenance_log.recording import SessionHeader, reopen_session, start_session
from provenance_log.store import initialise_store, open_store

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from provenance_log.store import Store

IDS = ("id-a", "id-b")
DIRECTORIES = ("2026-01-11-09-00", "2026-01-11-10-00")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a store with two sessions, their rows and their derived files."""
    store = new_store(tmp_path_factory.mktemp("original"))
    for hour, session_id in zip((9, 10), IDS, strict=True):
        moment = datetime(2026, 1, 11, hour, tzinfo=UTC)
        header = SessionHeader("Agent", "ask", session_id)
        recording = start_session(store, header, started_at=moment)
        recording.append_many([call(number) for number in range(5)])
        recording.close()
    catch_up(store)
    return store.root


@pytest.fixture
def projected(original: Path, tmp_path: Path) -> Store:
    """A copy of that store, since making one takes longer than most of the tests."""
    root = tmp_path / "project" / ".claude" / "provenance"
    shutil.copytree(original, root)
    return open_store(root)


def new_store(directory: Path) -> Store:
    root = directory / "project" / ".claude" / "provenance"
    initialise_store(root)
    return open_store(root)


def call(number: int) -> dict[str, Any]:
    return {
        "timestamp": f"2026-01-11T11:00:{number:02}Z",
        "type": "execute",
        "tool": f"Tool{number % 3}",
        "status": "failure" if number % 4 == 1 else "success",
        "event_type": "tool_call",
        "files_affected": [f"{number}.py"],
        "details": {"input_params": {"command": f"make {number}"}},
    }


def refreshed(store: Store, session_ids: Collection[str] | None = None) -> DerivedReport:
    with connect(store.database, read_only=True) as connection:
        return refresh(store, connection, session_ids)


def derived_paths(store: Store) -> list[Path]:
    sessions = [
        path
        for session_id, name in zip(IDS, DIRECTORIES, strict=True)
        for path in (
            store.sessions_dir / name / "manifest.yaml",
            store.sessions_dir / name / "summary.md",
            store.by_id_dir / session_id,
        )
    ]
    indices = [store.indices_dir / f"{name}.jsonl" for name in ("sessions", "tools", "files")]
    return sessions + indices


def content_of(store: Store) -> dict[str, bytes]:
    """Return every derived file there is, by its path below the root."""
    found = [*store.sessions_dir.glob("*/*"), *store.indices_dir.rglob("*")]
    names = {"actions.jsonl"}
    return {
        str(path.relative_to(store.root)): path.read_bytes()
        for path in sorted(found)
        if path.name not in names and path.is_file()
    }


def test_projection_writes_every_file_and_no_other(projected: Store) -> None:
    paths = [str(path.relative_to(projected.root)) for path in derived_paths(projected)]

    assert sorted(content_of(projected)) == sorted(paths)
    assert not list(projected.root.rglob("*.tmp"))


def test_second_refresh_writes_nothing(projected: Store) -> None:
    """Invariant B10: equal content is not rewritten."""
    before = [path.stat().st_mtime_ns for path in derived_paths(projected)]

    report = refreshed(projected)

    assert report == DerivedReport(unchanged=tuple(derived_paths(projected)))
    assert [path.stat().st_mtime_ns for path in derived_paths(projected)] == before


def test_deleted_files_come_back_byte_for_byte(projected: Store) -> None:
    """Invariant B10: a pure function of the tables."""
    before = content_of(projected)
    for path in derived_paths(projected):
        path.unlink()
    shutil.rmtree(projected.indices_dir)

    report = refreshed(projected)

    assert report == DerivedReport(written=tuple(derived_paths(projected)))
    assert content_of(projected) == before


def test_only_the_sessions_asked_for_are_written(projected: Store) -> None:
    first_manifest, first_summary, entry, *_, sessions, tools, paths = derived_paths(projected)
    first_manifest.unlink()
    first_summary.unlink()

    report = refreshed(projected, ["id-b", "no such session"])

    assert report.written == ()
    assert not first_manifest.exists()
    assert refreshed(projected, ["id-a"]) == DerivedReport(
        written=(first_manifest, first_summary), unchanged=(entry, sessions, tools, paths)
    )


def test_refresh_without_indices_leaves_them_out(projected: Store) -> None:
    with connect(projected.database, read_only=True) as connection:
        report = refresh(projected, connection, ["id-a"], with_indices=False)

    assert report == DerivedReport(unchanged=tuple(derived_paths(projected)[:3]))


def test_expected_files_are_what_is_on_the_disk(projected: Store) -> None:
    with connect(projected.database, read_only=True) as connection:
        expected = {file.path(projected): file.content for file in expected_files(connection)}

    assert expected == {path: path.read_bytes() for path in derived_paths(projected)}


@pytest.mark.parametrize("cut", [0, 3])
def test_files_do_not_depend_on_how_the_log_was_cut(store: Store, cut: int) -> None:
    """Invariant C1 for the files: caught up in two steps or in one."""
    moment = datetime(2026, 1, 11, 9, tzinfo=UTC)
    start_session(store, SessionHeader("Agent", "ask", "id-a"), started_at=moment).close()
    recording = reopen_session(store, "id-a")
    assert recording is not None
    recording.append_many([call(number) for number in range(cut + 1)])
    catch_up(store)
    recording.append_many([call(number) for number in range(cut + 1, 9)])
    recording.close()
    catch_up(store)
    in_steps = content_of(store)
    made = [*store.sessions_dir.glob("*/[ms]*"), *store.indices_dir.glob("*.jsonl")]
    for path in (store.database, *made):
        path.unlink()

    catch_up(store)

    assert content_of(store) == in_steps


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"session:\n  id: by hand\n", "it was not written by provenance-log"),
        (b"", "it was not written by provenance-log"),
        (b"# provenance-log: generated\n", "it was not written by provenance-log"),
        (None, "it was edited after provenance-log wrote it"),
    ],
)
def test_file_of_a_person_is_left_alone(
    projected: Store, content: bytes | None, reason: str
) -> None:
    manifest, summary, entry, *others = derived_paths(projected)
    theirs = manifest.read_bytes() + b"notes: mine\n" if content is None else content
    manifest.write_bytes(theirs)
    change_everything(projected)

    report = refreshed(projected, ["id-a"])

    assert manifest.read_bytes() == theirs
    assert report.left_alone == (NotWritten(manifest, reason, "id-a"),)
    assert report.written == (summary,)
    assert report.unchanged == (entry, *others[-3:])


def change_everything(store: Store) -> None:
    """Make the rows of session id-a say something new, without its files."""
    with connect(store.database, read_only=False) as connection:
        connection.execute(
            "UPDATE provenance_sessions SET error_message = 'x', python_version = 'y'"
        )


def test_generated_file_with_the_line_ends_of_windows_is_still_ours(projected: Store) -> None:
    manifest, *_ = derived_paths(projected)
    before = manifest.read_bytes()
    manifest.write_bytes(before.replace(b"\n", b"\r\n"))

    assert refreshed(projected, ["id-a"]).written == (manifest,)
    assert manifest.read_bytes() == before


def test_symbolic_link_is_neither_followed_nor_replaced(projected: Store, tmp_path: Path) -> None:
    """Invariant D4: a link out of the store must not make us write there."""
    manifest, summary, *_ = derived_paths(projected)
    target = tmp_path / "precious"
    target.write_bytes(manifest.read_bytes())
    manifest.unlink()
    manifest.symlink_to(target)
    summary.unlink()
    summary.symlink_to(tmp_path / "nowhere")
    change_everything(projected)
    before = target.read_bytes()

    report = refreshed(projected, ["id-a"])

    assert report.left_alone == tuple(
        NotWritten(path, "it is a symbolic link", "id-a") for path in (manifest, summary)
    )
    assert target.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()


def test_what_is_no_plain_file_is_left_alone(projected: Store) -> None:
    """A pipe would keep whoever opens it waiting for ever."""
    manifest, summary, *_ = derived_paths(projected)
    manifest.unlink()
    os.mkfifo(manifest)
    summary.unlink()
    summary.mkdir()

    report = refreshed(projected, ["id-a"])

    assert report.left_alone == tuple(
        NotWritten(path, "it is not a plain file", "id-a") for path in (manifest, summary)
    )


def test_unsafe_directory_in_the_tables_gets_no_files(projected: Store) -> None:
    """Invariant D4: names come from the database, which anybody might have changed."""
    before = sorted(projected.root.parent.rglob("*"))
    names = ["../outside", "/outside", ".", "..", "a/b", "con", "x.", "", "a\0b", "a" * 200]

    report = write_files(projected, [ExpectedFile("manifest.yaml", b"", name) for name in names])

    assert [item.reason for item in report.left_alone] == (
        ["the name of its directory is not safe"] * len(names)
    )
    assert sorted(projected.root.parent.rglob("*")) == before


def test_linked_session_directory_gets_no_files(projected: Store, tmp_path: Path) -> None:
    directory = projected.sessions_dir / DIRECTORIES[0]
    shutil.move(directory, tmp_path / "moved")
    (tmp_path / "moved" / "manifest.yaml").unlink()
    directory.symlink_to(tmp_path / "moved")

    report = refreshed(projected, ["id-a"])

    assert {item.reason for item in report.left_alone} == {"its directory is a symbolic link"}
    assert not (tmp_path / "moved" / "manifest.yaml").exists()


def test_vanished_directory_is_reported_and_the_others_are_written(projected: Store) -> None:
    """B10: the projector is about to see why; the files are due again if it comes back."""
    gone, _, third, fourth, *_ = derived_paths(projected)
    shutil.rmtree(gone.parent)
    third.unlink()
    fourth.unlink()

    report = refreshed(projected)

    assert report.failed == ()
    assert [(item.path.name, item.reason) for item in report.gone] == [
        ("manifest.yaml", "No such file or directory"),
        ("summary.md", "No such file or directory"),
    ]
    assert report.failed_sessions == {"id-a"}
    assert report.written == (third, fourth)
    assert not gone.parent.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_refused_write_is_reported_and_the_next_refresh_tries_again(
    projected: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Invariant B10: reported, retried."""
    manifest, *_ = derived_paths(projected)
    before = content_of(projected)
    manifest.unlink()

    def refuse(path: Path, data: bytes, **_: Any) -> bool:
        raise OSError(code, os.strerror(code), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(files, "create_atomically", refuse)
        report = refreshed(projected)
    assert report.failed == (NotWritten(manifest, os.strerror(code), "id-a"),)

    assert refreshed(projected, report.failed_sessions).written == (manifest,)
    assert content_of(projected) == before


def test_full_disk_leaves_the_old_file_whole(projected: Store) -> None:
    """Invariant B10, with a real refusal by the kernel: no file may grow beyond one byte."""
    import resource

    manifest, *_ = derived_paths(projected)
    before = content_of(projected)
    change_everything(projected)
    with connect(projected.database, read_only=True) as connection:
        expected = list(expected_files(connection, ["id-a"]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        report = write_files(projected, expected)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert manifest in [item.path for item in report.failed]
    assert content_of(projected) == before


def test_what_a_killed_projector_left_half_written_is_removed_when_its_file_is_written(
    projected: Store,
) -> None:
    """B10: a session's directory does not fill with files that nobody reads."""
    directory = projected.sessions_dir / DIRECTORIES[0]
    left = [directory / ".manifest.yaml.0123abcd.tmp", directory / ".summary.md.89ef4567.tmp"]
    left.append(projected.indices_dir / ".sessions.jsonl.0123abcd.tmp")
    others = [directory / ".hers.yaml.0123abcd.tmp", directory / ".manifest.yaml.hers.tmp"]
    for path in (*left, *others):
        path.write_bytes(b"half")
    recording = reopen_session(projected, IDS[0])
    assert recording is not None
    recording.append(call(9))
    recording.close()

    catch_up(projected)

    assert [path.exists() for path in left] == [False] * 3
    assert [path.read_bytes() for path in others] == [b"half"] * 2


def test_copy_of_a_session_gets_no_files(projected: Store) -> None:
    """Invariant D2: only the directory that was projected; a copy keeps what it came with."""
    log = projected.sessions_dir / DIRECTORIES[0] / "actions.jsonl"
    copy = projected.sessions_dir / "copy"
    copy.mkdir()
    shutil.copy(log, copy)

    catch_up(projected)
    report = refreshed(projected)

    assert report.failed == report.left_alone == ()
    assert [path.name for path in copy.iterdir()] == ["actions.jsonl"]


def test_linked_indices_directory_gets_no_files(projected: Store, tmp_path: Path) -> None:
    shutil.rmtree(projected.indices_dir)
    projected.indices_dir.symlink_to(tmp_path)

    report = refreshed(projected, [])

    assert {item.reason for item in report.left_alone} == {"its directory is a symbolic link"}
    assert not list(tmp_path.glob("*.jsonl"))
