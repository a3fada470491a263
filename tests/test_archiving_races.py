"""What happens to a session while it is archived: nothing is deleted that is not in the archive."""

from pathlib import Path

import pytest
from archive_cases import NAME, archive, furnished, names_in, reason, restored, snapshot, states

from provenance_log import files
from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_index import read_index
from provenance_log.archiving import archive_sessions
from provenance_log.errors import ArchiveDamaged
from provenance_log.recording import SessionHeader, reopen_session, start_session
from provenance_log.store import Store


def test_a_log_that_grows_while_it_is_packed_stays_and_the_others_go(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = furnished(store, "a", "s1") / "actions.jsonl"
    furnished(store, "b", "s2")
    write_new = files.write_new

    def grow_first(path: Path, pieces: object) -> None:
        write_new(path, pieces)  # type: ignore[arg-type]
        monkeypatch.setattr(files, "write_new", write_new)
        with log.open("ab") as file:
            file.write(b'{"more": 1}\n')

    monkeypatch.setattr(files, "write_new", grow_first)

    report = archive(store)

    assert states(report) == {"a": "refused", "b": "archived"}
    assert "changed while it was archived" in reason(report)
    assert names_in(store.sessions_dir) == ["a"]
    assert list(read_index(store)) == ["s2"]


def test_a_note_written_at_the_last_moment_keeps_the_directory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is deleted that is not in the archive, though the index has the session already."""
    directory = furnished(store)
    rename = files.rename_directory

    def write_first(source: Path, target: Path) -> None:
        (source / "notes" / "late.md").write_text("late\n")
        rename(source, target)

    monkeypatch.setattr(files, "rename_directory", write_first)
    report = archive(store)
    monkeypatch.undo()

    assert states(report) == {NAME: "refused"}
    assert (directory / "notes" / "late.md").read_text() == "late\n"
    assert names_in(store.sessions_dir) == [NAME]
    assert states(archive(store)) == {NAME: "archived"}
    restored(store)
    assert (directory / "notes" / "late.md").read_text() == "late\n"


def test_what_is_read_back_otherwise_removes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that keeps other bytes than it was given is found out before anything is lost."""
    directory = furnished(store)
    before = snapshot(directory)
    write_new = files.write_new

    def lose_a_bit(path: Path, pieces: object) -> None:
        write_new(path, pieces)  # type: ignore[arg-type]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(files, "write_new", lose_a_bit)
    with pytest.raises(ArchiveDamaged):
        archive(store)

    assert snapshot(directory) == before
    assert names_in(store.archive_dir) == ["index.jsonl"]


def test_an_agent_that_goes_on_is_told_that_its_log_is_gone(store: Store) -> None:
    """A2: it is not appended to a file that nobody sees."""
    session = start_session(store, SessionHeader("agent", session_id="s1"))
    session.append({"type": "read", "tool": "Read", "status": "success"})
    archive_sessions(store, ArchiveChoice(with_unfinished=True))
    with pytest.raises(Exception, match="No such file"):
        session.append({"type": "read", "tool": "Read", "status": "success"})
    session.close()
    assert names_in(store.sessions_dir) == []
    assert reopen_session(store, "s1") is None
    assert names_in(store.by_id_dir) == []
