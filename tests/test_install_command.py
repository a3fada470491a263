"""`provlog install claude-code` and `--uninstall`, as a person uses them."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hook_cases import SESSION, as_bytes, post
from imported_sessions import calls_of, logs_of

from provenance_log.claude_code.hook_settings import ALL_EVENTS, EVENTS_OF_EVERY_VERSION
from provenance_log.cli import provlog
from provenance_log.errors import SettingsInvalid, StoreNotWritable
from provenance_log.store import open_store


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, and a home without Claude Code."""
    for name in ("project", "home", "bin"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("CLAUDE_CONFIG_DIR", "CLAUDE_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "project"


def install(*arguments: str) -> Result:
    return CliRunner().invoke(provlog, ["install", "claude-code", *arguments])


def claude_says(project: Path, version: str) -> None:
    program = project.parent / "bin" / "claude"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)


def test_an_install_makes_the_store_and_its_command_records(project: Path) -> None:
    done = install()
    assert done.exit_code == 0, done.output
    assert done.output == (
        f"wrote our hooks to {project}/.claude/settings.json\n"
        "made a store in .claude/provenance; see `provlog init --help`\n"
        "hooked: the 9 events that every version knows (Claude Code was not found)\n"
        "--events all hooks 29; an older version then ignores the file\n"
    )
    settings = json.loads((project / ".claude" / "settings.json").read_text())
    assert set(settings["hooks"]) == set(EVENTS_OF_EVERY_VERSION)
    command = settings["hooks"]["PostToolUse"][0]["hooks"][0]["command"]
    ran = subprocess.run(
        ["sh", "-c", command], input=as_bytes(post("a")), capture_output=True, check=True
    )
    assert (ran.stdout, ran.stderr) == (b"", b"")
    assert len(calls_of(logs_of(open_store())[SESSION])) == 1


def test_installed_again_and_taken_out_it_leaves_nothing_behind(project: Path) -> None:
    install()
    file = project / ".claude" / "settings.json"
    first = file.read_bytes()
    again = install()
    assert again.output.startswith(f"nothing to do: {file} has the hooks\n")
    assert file.read_bytes() == first
    out = install("--uninstall")
    assert out.output == f"removed {file}, which held nothing but our hooks\n"
    assert not file.exists()
    assert [path.name for path in (project / ".claude").iterdir()] == ["provenance"]
    assert not (project / ".claude" / "provenance" / "claude-code-install.json").exists()
    assert install("--uninstall").output == f"nothing to do: {file} has no hooks of ours\n"


def test_an_update_of_claude_code_is_followed_by_an_install(project: Path) -> None:
    claude_says(project, "2.1.42 (Claude Code)")
    assert "(claude --version says 2.1.42 (Claude Code))" in install().output
    claude_says(project, "2.1.287 (Claude Code)")
    assert install().output.endswith("hooked: 29 events\n")
    file = project / ".claude" / "settings.json"
    assert set(json.loads(file.read_text())["hooks"]) == set(ALL_EVENTS)
    install("--uninstall")
    assert not file.exists()


def test_a_link_is_followed_and_the_mode_of_the_file_kept(project: Path) -> None:
    real = project.parent / "shared.json"
    real.write_text('{"model": "opus"}')
    real.chmod(0o640)
    (project / ".claude").mkdir()
    link = project / ".claude" / "settings.json"
    link.symlink_to(real)
    install()
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert json.loads(real.read_text())["hooks"]
    install("--uninstall")
    assert real.read_text() == '{"model": "opus"}'


def test_a_dry_run_shows_the_change_and_writes_nothing(project: Path) -> None:
    done = install("--dry-run", "--events", "base")
    assert '+    "SessionEnd": [' in done.output
    assert "dry run: nothing was written" in done.output
    assert list(project.iterdir()) == []
    facts = json.loads(install("--dry-run", "--json").output)
    assert (facts["would_change"], facts["changed"], facts["store_made"]) == (True, False, False)


def test_the_user_s_settings_record_every_project_with_a_store(project: Path) -> None:
    done = install("--user")
    file = project.parent / "home" / ".claude" / "settings.json"
    assert done.output.startswith(f"wrote our hooks to {file}\n")
    assert list(project.iterdir()) == []
    install("--user", "--uninstall")
    assert list(file.parent.iterdir()) == []


def test_a_store_elsewhere_is_named_in_the_command(project: Path) -> None:
    elsewhere = project.parent / "else where"
    install("--root", str(elsewhere))
    settings = json.loads((project / ".claude" / "settings.json").read_text())
    command = settings["hooks"]["Stop"][0]["hooks"][0]["command"]
    assert command.startswith(f"PROVENANCE_ROOT={shlex.quote(str(elsewhere))} ")
    subprocess.run(["sh", "-c", command], input=as_bytes(post("a")), check=True)
    assert len(logs_of(open_store(elsewhere))[SESSION]) == 2


@pytest.mark.parametrize("content", [b'{"a": 1, // no\n}', b"\xff{}", b"{'a': 1}"])
def test_a_file_that_is_not_json_is_refused_and_untouched(project: Path, content: bytes) -> None:
    (project / ".claude").mkdir()
    file = project / ".claude" / "settings.json"
    file.write_bytes(content)
    done = install()
    assert isinstance(done.exception, SettingsInvalid)
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"]


def test_what_can_not_be_written_is_said(project: Path) -> None:
    (project / ".claude").write_text("a file")
    done = install("--root", str(project.parent / "store"))
    assert isinstance(done.exception, (SettingsInvalid, StoreNotWritable))
    assert os.fspath(project / ".claude") in str(done.exception)
