"""`provlog verify`: which logs are meant, what they are held against, and the exit codes."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import click
import orjson
import pytest
from looking_cases import ALL_HOSTILE, STARTED_AT, Ran, record, run_provlog, tool_call

from projections.projector import catch_up
from projections.verify_command import verify
from provenance_log.cli import run
from provenance_log.format import line_hash
from provenance_log.recording import reopen_session
from provenance_log.terminal import escape
from provenance_log.verifying import LEVELS

if TYPE_CHECKING:
    from pathlib import Path

    from provenance_log.store import Store

Verify: TypeAlias = Callable[..., Ran]
FIRST = "2026-01-31-10-00"
SECOND = "2026-01-31-10-05"


@pytest.fixture
def filled(store: Store) -> Store:
    """Two sessions: `alpha-1`, and `alpha-2` five minutes later; no manifest, no database."""
    record(store, [tool_call("Read", {"file_path": "a"})], session_id="alpha-1", success=True)
    later = STARTED_AT + timedelta(minutes=5)
    record(store, session_id="alpha-2", started_at=later, success=True)
    return store


@pytest.fixture
def ran(filled: Store, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run `provlog verify` over the two sessions."""
    return lambda *arguments: run_provlog(capsys, filled, "verify", *arguments)


def log_of(store: Store, name: str = FIRST) -> Path:
    return store.sessions_dir / name / "actions.jsonl"


def verified_names(result: Ran) -> list[str]:
    return [session["log"].split("/")[-2] for session in result.json["sessions"]]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("alpha-1", [FIRST]),
        ("alpha-2", [SECOND]),
        (FIRST, [FIRST]),
        ("2026-01-31-10-05", [SECOND]),
        ("2026-01-31-10-00", [FIRST]),
        ("latest", [SECOND]),
    ],
)
def test_session_is_named_by_id_directory_or_latest(
    ran: Verify, given: str, names: list[str]
) -> None:
    assert verified_names(ran(given, "--json")) == names


def test_session_is_named_by_a_beginning_that_only_one_has(ran: Verify, filled: Store) -> None:
    record(filled, session_id="beta", success=True)

    assert verified_names(ran("be", "--json")) == [f"{FIRST}-2"]
    several = ran("alp")
    assert (several.code, several.out) == (3, "")
    assert "2 sessions begin with alp:" in several.err
    assert f"alpha-2  {SECOND}" in several.err
    for absent in ("gamma", ""):
        none = ran(absent)
        assert (none.code, none.out) == (3, "")
        assert f"no session {absent}" in none.err


def test_session_is_named_by_a_path_also_outside_of_a_store(
    filled: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """E1: a copy on any disk can be verified, without a store, a database or a lock."""
    copied = tmp_path / "copy"
    shutil.copytree(filled.sessions_dir / FIRST, copied)
    monkeypatch.chdir(copied)

    for given in (".", "./", "actions.jsonl", "./actions.jsonl", str(copied), "../copy"):
        assert run(["verify", given, "--json"]) == 0
        (session,) = orjson.loads(capsys.readouterr().out)["sessions"]
        assert session["session_id"] == "alpha-1"
    assert run(["verify", "./nowhere"]) == 3
    assert run(["verify", str(tmp_path)]) == 3


def test_copy_of_a_session_is_named_by_its_directory(ran: Verify, filled: Store) -> None:
    shutil.copytree(filled.sessions_dir / FIRST, filled.sessions_dir / "copied")
    log_of(filled, "copied").write_bytes(log_of(filled).read_bytes()[:-10])
    assert ran("alpha-1").code == 3

    result = ran(FIRST, "copied", FIRST, "--json")

    assert verified_names(result) == [FIRST, "copied"]
    assert [s["verdict"] for s in result.json["sessions"]] == ["OK", "OK-unsealed-tail"]


def test_empty_log_is_named_by_its_directory(ran: Verify, filled: Store) -> None:
    (filled.sessions_dir / "empty").mkdir()
    assert ran("empty").code == 3

    log_of(filled, "empty").touch()
    assert ran("empty").code == 0


def test_latest_is_the_session_that_began_last_whatever_its_directory_is_called(
    ran: Verify, filled: Store
) -> None:
    (filled.sessions_dir / SECOND).rename(filled.sessions_dir / "a-name-given-by-hand")
    (filled.sessions_dir / "zzz").mkdir()
    log_of(filled, "zzz").write_bytes(b"no action\n")

    assert verified_names(ran("latest", "--json")) == ["a-name-given-by-hand"]


def test_one_session_is_reported_level_by_level_with_what_is_not_proved(ran: Verify) -> None:
    """E3, E4."""
    result = ran("alpha-1")

    assert (result.code, result.err) == (0, "")
    title, *rest = result.out.splitlines()
    assert title == f"{FIRST}  alpha-1  OK"
    assert [
        text.split()[:2]
        for text in rest
        if text[:3].strip() and text[:2] == "  " and text[2] != "-"
    ] == [
        ["framing", "ok"],
        ["schema", "ok"],
        ["chain", "ok"],
        ["anchor", "unknown"],
        ["blobs", "ok"],
        ["derived", "note"],
    ]
    flowing = " ".join(result.out.split())
    assert "Not proved: - that no line was cut off the end" in flowing
    assert "- that what the log says is true" in flowing
    assert max(map(len, result.out.splitlines())) <= 80


def test_all_sessions_are_counted_by_verdict_and_the_worst_is_the_exit_code(
    ran: Verify, filled: Store
) -> None:
    good = ran("--all")
    assert good.code == 0
    assert "2 OK" in good.out.splitlines()

    with log_of(filled).open("ab") as file:
        file.write(b"not json\n")
    damaged = ran("--all")
    assert damaged.code == 2
    assert "QUARANTINED(1)" in damaged.out
    assert f"schema: line 4, byte {log_of(filled).stat().st_size - 9}" in damaged.out

    log_of(filled, SECOND).unlink()
    log_of(filled, SECOND).mkdir()
    assert ran("--all").code == 3

    content = log_of(filled).read_bytes()
    log_of(filled).write_bytes(content.replace(b'"Read"', b'"Bash"'))
    assert ran("--all").code == 1
    assert "1 TAMPERED, 1 UNKNOWN" in ran("--all").out.splitlines()


def test_directories_without_a_log_are_noted_and_change_nothing(ran: Verify, filled: Store) -> None:
    (filled.sessions_dir / "by-hand").mkdir()
    (filled.sessions_dir / "by-hand" / "manifest.yaml").write_text("session:\n  id: x\n")
    (filled.sessions_dir / "\x1b[31munsafe").mkdir()

    result = ran("--all")

    assert result.code == 0
    assert "2 OK" in result.out.splitlines()
    assert "note: there is no log in by-hand\n" in result.err
    assert "its name is not safe: \\x1b[31munsafe\n" in result.err


def test_manifest_beside_the_log_is_its_anchor(ran: Verify, filled: Store) -> None:
    """The manifest that the projector wrote, read without a YAML parser."""
    catch_up(filled)
    result = ran("--all", "--json")
    assert [s["levels"]["anchor"]["state"] for s in result.json["sessions"]] == ["ok", "ok"]

    recording = reopen_session(filled, "alpha-1")
    assert recording is not None
    recording.append(tool_call("Read", {"file_path": "b"}))
    recording.close()
    assert "grown since by 1 line" in " ".join(ran("alpha-1").out.split())

    lines = log_of(filled).read_bytes().splitlines(keepends=True)
    log_of(filled).write_bytes(b"".join(lines[:2]))
    cut = ran("alpha-1", "--json")
    (session,) = cut.json["sessions"]
    assert (cut.code, session["verdict"]) == (1, "TRUNCATED-vs-anchor")
    assert session["first_bad"] == {
        "level": "anchor",
        "line": 3,
        "offset": len(lines[0] + lines[1]),
    }


def test_log_that_only_its_manifest_still_tells_of_can_not_be_read(
    ran: Verify, filled: Store
) -> None:
    catch_up(filled)
    log_of(filled).unlink()

    result = ran("--all")

    assert result.code == 3
    assert "1 OK, 1 UNKNOWN" in result.out.splitlines()


def test_committed_manifest_from_a_file_or_stdin_is_the_anchor(
    ran: Verify, filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forger who rewrites log and manifest together is seen against a copy kept elsewhere."""
    catch_up(filled)
    manifest = log_of(filled).with_name("manifest.yaml")
    committed = tmp_path / "committed.yaml"
    shutil.copy(manifest, committed)
    lines = log_of(filled).read_bytes().splitlines(keepends=True)
    log_of(filled).write_bytes(b"".join(lines[:2]))
    manifest.unlink()
    catch_up(filled)

    assert ran("alpha-1").code == 0
    assert ran("alpha-1", "--against", str(committed)).code == 1
    stdin = io.TextIOWrapper(io.BytesIO(committed.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert ran("alpha-1", "--against", "-").code == 1


def test_hash_of_a_line_is_an_anchor(ran: Verify, filled: Store) -> None:
    head = line_hash(log_of(filled).read_bytes().splitlines()[-1])

    assert ran("alpha-1", "--against", head).code == 0
    assert ran("alpha-2", "--against", head).code == 1


def test_anchor_that_can_not_be_read_is_neither_ok_nor_tampering(
    ran: Verify, filled: Store, tmp_path: Path
) -> None:
    by_hand = tmp_path / "by-hand.yaml"
    by_hand.write_text("goals: []\n")
    assert ran("alpha-1", "--against", str(by_hand)).code == 3
    assert ran("alpha-1", "--against", str(tmp_path / "missing.yaml")).code == 3
    assert ran("alpha-1", "--against", str(tmp_path)).code == 3

    log_of(filled).with_name("manifest.yaml").write_text("log:\n  lines: 3\n")
    result = ran("--all", "--json")
    assert result.code == 3
    assert [s["verdict"] for s in result.json["sessions"]] == ["UNKNOWN", "OK"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--all", "alpha-1"),
        ("--al",),
        ("--nonsense",),
        ("alpha-1", "--json=yes"),
        ("--all", "--against", "0" * 64),
        ("alpha-1", "alpha-2", "--against", "0" * 64),
    ],
    ids=" ".join,
)
def test_wrong_command_line_ends_with_four_and_not_with_the_code_for_damage(
    ran: Verify, arguments: tuple[str, ...]
) -> None:
    """E5."""
    result = ran(*arguments)
    assert (result.code, result.out) == (4, "")
    assert "Error: " in result.err


def test_missing_store_ends_with_three(tmp_path: Path) -> None:
    assert run(["verify", "--all", "--root", str(tmp_path)]) == 3


def test_json_holds_every_level_and_what_was_not_checked(ran: Verify) -> None:
    document = ran("alpha-1", "--json").json

    (session,) = document["sessions"]
    assert document["exit_code"] == session["exit_code"] == 0
    assert document["not_checked"] == ["database"]
    assert list(session["levels"]) == list(LEVELS)
    assert session["levels"]["chain"] == {
        "state": "ok",
        "text": "3 of 3 lines chained",
        "line": None,
        "offset": None,
        "count": 0,
    }
    assert len(session["not_proved"]) == 2


@pytest.mark.parametrize("arguments", [("--all",), ("--all", "--json"), ("evil",)])
def test_no_control_character_of_a_log_reaches_the_terminal(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """S1, E5."""
    record(store, session_id="evil" + ALL_HOSTILE, success=True)
    with log_of(store).open("ab") as file:
        line = {"timestamp": ALL_HOSTILE, "action_id": 9, "type": "a", "tool": "b", "status": "c"}
        file.write(orjson.dumps(line) + b"\n\x1b[31m\xff\n")

    result = run_provlog(capsys, store, "verify", *arguments)

    assert result.code == 2
    assert "evil" in result.out
    assert escape(result.out, keep="\n") == result.out
    assert escape(result.err, keep="\n") == result.err


def test_verify_loads_no_database_and_changes_no_file(filled: Store) -> None:
    """E1: also beside a database that is no database."""
    filled.database.write_bytes(b"noise")
    before = {p: p.stat().st_mtime_ns for p in filled.root.rglob("*")}
    script = (
        "import sys\n"
        "from provenance_log.cli import run\n"
        f"code = run(['verify', '--all', '--root', {str(filled.root)!r}])\n"
        "print(code, *sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    code, *loaded = done.stderr.split()

    assert code == "0"
    assert not {"duckdb", "watchdog", "yaml"} & set(loaded)
    assert {p: p.stat().st_mtime_ns for p in filled.root.rglob("*")} == before


def test_help_names_the_exit_codes_and_the_levels() -> None:
    text = verify.get_help(click.Context(verify, info_name="provlog verify"))

    assert [f"{code}  " in text for code in range(5)] == [True] * 5
    assert [name for name in (*LEVELS, "database") if f"\n    {name}  " not in text] == []
