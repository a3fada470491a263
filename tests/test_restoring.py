"""Where restored sessions go, what is left alone, and what is unpacked without being restored."""

import tempfile
from pathlib import Path

import pytest
from archive_cases import NAME, archive, entry_of, furnished, log_of, names_in, restored, snapshot
from copying_cases import put
from test_claude_code_import import simple

from provenance_log import files
from provenance_log.anchors import Anchor
from provenance_log.archive_index import read_index
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.errors import ArchiveDamaged
from provenance_log.restoring import restore_sessions, unpacked_session
from provenance_log.store import Store
from provenance_log.verifying import NOT_PROVED_END, verify_log


@pytest.mark.parametrize(
    ("taken", "name"),
    [([], NAME), ([NAME], f"{NAME}-2"), ([NAME, f"{NAME}-2"], f"{NAME}-3")],
)
def test_a_name_that_is_taken_gives_the_next_free_one(
    taken: list[str], name: str, store: Store
) -> None:
    directory = furnished(store)
    before = snapshot(directory)
    archive(store)
    for other in taken:
        (store.sessions_dir / other).mkdir()
    assert restored(store, NAME) == {"s1": ("restored", name)}
    assert snapshot(store.sessions_dir / name) == before
    assert (store.by_id_dir / "s1").read_text() == f"{name}\n"
    assert names_in(store.sessions_dir) == sorted([*taken, name])


def test_a_name_that_is_taken_at_that_moment_gives_the_next_free_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnished(store)
    archive(store)
    place_directory = files.place_directory

    def start_first(staged: Path, target: Path) -> None:
        monkeypatch.setattr(files, "place_directory", place_directory)
        target.mkdir()
        place_directory(staged, target)

    monkeypatch.setattr(files, "place_directory", start_first)
    assert restored(store) == {"s1": ("restored", f"{NAME}-2")}
    assert names_in(store.sessions_dir) == [NAME, f"{NAME}-2"]


@pytest.mark.parametrize(
    ("live", "state"),
    [
        (log_of("s1", "tool call", "end"), "live"),
        (log_of("s1", "tool call", "end", "annotation"), "live"),
        (log_of("s1", "tool call"), "refused"),
        (log_of("s1", "decision", "end", "annotation"), "refused"),
    ],
)
def test_a_session_that_is_live_is_left_alone_and_one_that_lacks_lines_is_told(
    live: bytes, state: str, store: Store
) -> None:
    """D2."""
    put(store, NAME, log_of("s1", "tool call", "end"))
    archive(store)
    put(store, "other", live)
    (outcome,) = restore_sessions(store)
    assert outcome.state == state
    assert (outcome.directory == "other") == (state == "live")
    assert ("without the 3 lines" in str(outcome.reason)) == (state == "refused")
    assert names_in(store.sessions_dir) == ["other"]
    assert (store.sessions_dir / "other" / "actions.jsonl").read_bytes() == live


def test_the_archive_keeps_its_copy_and_a_directory_that_is_lost_again_comes_back(
    store: Store,
) -> None:
    directory = furnished(store)
    before = snapshot(directory)
    archive(store)
    archived = snapshot(store.archive_dir)
    for _ in range(2):
        restored(store)
        assert snapshot(directory) == before
        assert snapshot(store.archive_dir) == archived
        directory.rename(store.root / f"lost-{len(names_in(store.root))}")


def test_an_archived_log_is_verified_against_the_head_in_the_index_without_being_restored(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E1, E2: the index anchors the log, and nothing of it stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    furnished(store)
    archive(store)
    before = snapshot(store.root)
    entry = entry_of(store)
    with unpacked_session(store, entry) as unpacked:
        report = verify_log(unpacked.log, Anchor(entry.head, entry.lines, entry.bytes))
        assert unpacked.log.parent.name == NAME
        assert names_in(unpacked.log.parent) == ["actions.jsonl", "blobs"]
        assert report.verdict == "OK"
        assert NOT_PROVED_END not in report.not_proved
    with unpacked_session(store, entry, with_blobs=False) as unpacked:
        assert names_in(unpacked.log.parent) == ["actions.jsonl"]
    assert snapshot(store.root) == before
    assert [name for name in names_in(tmp_path) if name.startswith("provlog-")] == []


def test_an_index_that_is_lost_stops_whoever_would_forget_what_is_archived(
    store: Store, tmp_path: Path
) -> None:
    furnished(store)
    archive(store)
    put(store, "new", log_of("s2", "end"))
    index = store.archive_dir / "index.jsonl"
    index.rename(tmp_path / "index")
    transcript = simple().write(tmp_path / "t.jsonl")
    with pytest.raises(ArchiveDamaged, match="is missing"):
        import_transcripts(store, [transcript])
    for work in (read_index, archive, restore_sessions):
        with pytest.raises(ArchiveDamaged, match=r"is missing, and 2026-01\.tar\.xz are there"):
            work(store)
    assert names_in(store.sessions_dir) == ["new"]
    (tmp_path / "index").rename(index)
    assert restored(store) == {"s1": ("restored", NAME)}
