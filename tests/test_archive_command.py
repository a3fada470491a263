"""`provlog archive` and `provlog restore` as people call them, and who else must know of them."""

import json
from pathlib import Path

import pytest
from archive_cases import MONTH, NAME, archive, furnished, log_of, names_in, snapshot
from copying_cases import put
from test_claude_code_import import simple
from transcript_records import SESSION

from provenance_log.claude_code.importing import import_transcripts
from provenance_log.cli import run
from provenance_log.errors import SessionNotFound
from provenance_log.restoring import restore_sessions
from provenance_log.session_names import find_session_log
from provenance_log.store import Store

Capture = pytest.CaptureFixture[str]


def provlog(store: Store, *arguments: str) -> int:
    return run([*arguments, "--root", str(store.root)])


def test_archive_and_restore_say_what_they_did(store: Store, capsys: Capture) -> None:
    put(store, NAME, log_of("s1", "tool call", "end"))
    put(store, "open", log_of("s2", "tool call"))

    assert provlog(store, "archive", "--older-than", "4w", "--dry-run") == 0
    said = capsys.readouterr()
    assert "would archive 1 session, " in said.out
    assert "passed over: 1 unfinished, --unfinished takes them too" in said.out
    assert "dry run: nothing was changed" in said.out
    assert names_in(store.sessions_dir) == [NAME, "open"]

    assert provlog(store, "archive", "--all", "--keep-rows") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[:2][1].split()[:4] == [NAME, "s1", "2026-01", "3"]
    assert f"next: provlog project --root {store.root}" in said.out
    assert said.err == ""

    assert provlog(store, "restore", "--list") == 0
    said = capsys.readouterr()
    assert said.out.split()[-1] == "kept"
    assert provlog(store, "restore", NAME[:12]) == 0
    assert "restored s1 as 2026-01-02-03-04: 3 lines" in capsys.readouterr().out
    assert provlog(store, "restore", "s1") == 0
    assert capsys.readouterr().out == f"there already: s1 is in {NAME}\n"
    assert names_in(store.sessions_dir) == [NAME, "open"]


def test_what_they_print_for_programs(store: Store, capsys: Capture) -> None:
    furnished(store)
    (furnished(store, "bad", "bad") / "link").symlink_to("/etc")

    assert provlog(store, "archive", "--all", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    found = {one["directory"]: one for one in report.pop("sessions")}
    assert report == {
        "archive": str(store.archive_dir),
        "dry_run": False,
        "keep_rows": False,
        "refused": True,
    }
    assert {name: one["state"] for name, one in found.items()} == {
        NAME: "archived",
        "bad": "refused",
    }
    assert found[NAME]["month"] == "2026-01"
    assert 0 < found[NAME]["packed_bytes"] < found[NAME]["bytes"]
    assert "neither a plain file" in found["bad"]["reason"]

    assert provlog(store, "restore", "--list", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)["archived"]
    assert provlog(store, "restore", "--all", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["sessions"]
    assert one == {
        "session_id": "s1",
        "state": "restored",
        "directory": NAME,
        "lines": 3,
        "bytes": entry["size_bytes"],
        "head": entry["head"],
        "reason": None,
    }


def test_a_refusal_is_said_with_its_place_and_what_to_do(store: Store, capsys: Capture) -> None:
    """S1: whatever a name holds, it does not act on the terminal."""
    directory = furnished(store)
    (directory / "e\x1b[31m").symlink_to("/etc")
    assert provlog(store, "archive", NAME) == 1
    said = capsys.readouterr()
    assert said.out == "nothing to archive\n"
    assert said.err.startswith(f"refused: {NAME}: {directory}/e\\x1b[31m: neither a plain file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["archive"],
        ["archive", "--all", "--older-than", "1d"],
        ["archive", "--all", NAME],
        ["restore"],
        ["restore", "--all", "--list"],
        ["restore", "--all", NAME],
    ],
)
def test_a_command_line_that_is_unclear_is_refused(
    arguments: list[str], store: Store, capsys: Capture
) -> None:
    furnished(store)
    before = snapshot(store.root)
    assert provlog(store, *arguments) == 2
    assert "Give " in capsys.readouterr().err
    assert snapshot(store.root) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["archive", "--older-than", "soon"], "'soon' is not a time"),
        (["archive", "no-such"], "no session no-such"),
        (["restore", "no-such"], "no archived session no-such"),
        (["restore", "d"], "2 sessions begin with d"),
    ],
)
def test_what_is_not_there_is_said(
    arguments: list[str], said: str, store: Store, capsys: Capture
) -> None:
    furnished(store, "d1", "s1")
    furnished(store, "d2", "s2")
    archive(store)
    assert provlog(store, *arguments) == 1
    assert said in capsys.readouterr().err


def test_an_empty_archive_is_said_and_not_made(store: Store, capsys: Capture) -> None:
    assert provlog(store, "restore", "--list") == 0
    assert provlog(store, "restore", "--all") == 0
    assert capsys.readouterr().out == "nothing is archived\n" * 2
    assert not store.archive_dir.exists()


def test_git_leaves_month_files_out_or_a_store_from_before_is_told_how(
    store: Store, capsys: Capture
) -> None:
    ignore = store.root / ".gitignore"
    assert "archive/*.tar.xz" in ignore.read_text().splitlines()
    ignore.write_text("*.lock\n")
    furnished(store)
    assert provlog(store, "archive", "--all") == 0
    assert "note: git sees the month files" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["s1-whole", "s1", NAME, NAME[:9], f"sessions/{NAME}"])
def test_whoever_looks_for_an_archived_session_is_told_how_to_restore_it(
    given: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnished(store, NAME, "s1-whole")
    archive(store)
    monkeypatch.chdir(store.root)
    with pytest.raises(SessionNotFound, match="provlog restore s1-whole"):
        find_session_log(store, given)


def test_a_transcript_whose_session_is_archived_is_passed_over_until_it_is_restored(
    store: Store, tmp_path: Path, capsys: Capture
) -> None:
    """D2: it would be there twice."""
    script = simple()
    path = script.write(tmp_path / "t.jsonl")
    import_transcripts(store, [path])
    archive(store)
    script.prompt("and then?")
    script.write(path)

    report = import_transcripts(store, [path])

    assert [(one.state, one.added_count) for one in report.sessions] == [("archived", 0)]
    assert names_in(store.sessions_dir) == []
    assert provlog(store, "import", "claude-code", str(path)) == 0
    said = capsys.readouterr()
    assert "sessions archived" in said.out
    assert f"provlog restore {SESSION}" in said.err
    restore_sessions(store)
    report = import_transcripts(store, [path])
    assert [(one.state, one.added_count) for one in report.sessions] == [("grown", 1)]
    assert len(names_in(store.sessions_dir)) == 1


def test_archived_sessions_are_verified_against_the_heads_in_the_index(
    store: Store, capsys: Capture
) -> None:
    """E3: on every level but the derived files; a damaged part leaves its own verdict open."""
    furnished(store)
    put(store, "other", log_of("s2", "end"))
    archive(store)

    assert provlog(store, "verify", "--archived", "--json") == 0
    found = json.loads(capsys.readouterr().out)["sessions"]
    assert [(one["session_id"], one["verdict"]) for one in found] == [("s1", "OK"), ("s2", "OK")]
    assert {one["levels"]["anchor"]["state"] for one in found} == {"ok"}
    month = store.archive_dir / MONTH
    assert found[0]["log"] == str(month / NAME / "actions.jsonl")

    content = bytearray(month.read_bytes())
    content[100] ^= 1
    month.write_bytes(content)
    assert provlog(store, "verify", "--archived") == 3
    said = capsys.readouterr().out
    assert "1 OK, 1 UNKNOWN" in said.splitlines()
    assert provlog(store, "verify", "--archived", "s2") == 0
    assert provlog(store, "verify", "--archived", "--all") == 4
