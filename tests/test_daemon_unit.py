"""What `provlog daemon unit` prints is read back by those who will read it."""

from __future__ import annotations

import configparser
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.daemon_control import command_line
from projections.daemon_unit import PathNotUsable, launchd_plist, systemd_unit, unit_name
from provenance_log.store import Store, initialise_store, open_store

HOSTILE = """a b"c'd%h$HOME${x}\\n\\x41;#é =e"""


def store_at(path: str) -> Store:
    return Store(Path(path), Path(path) / "provenance.duckdb")


def words(line: str) -> list[str]:
    """The words of an ExecStart as systemd.syntax(7) and systemd.service(5) read it."""
    is_literal = line.startswith(":")
    found, word, characters = [], None, iter(line.removeprefix(":"))
    for character in characters:
        if character == '"':
            if word is not None:
                found.append(word)
            word = "" if word is None else None
        elif word is None:
            assert character == " "
        elif character in "\\%":
            following = next(characters)
            assert following in ('\\"' if character == "\\" else "%")
            word += following
        else:
            assert character != "$" or is_literal
            word += character
    assert word is None
    return found


def parsed(unit: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    return parser


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1))
def test_every_path_is_read_back_as_it_is(name: str) -> None:
    for path in (f"/home/{HOSTILE}/{name}", f"/{name}"):
        store = store_at(path)
        service = parsed(systemd_unit(store))["Service"]
        assert words(service["ExecStart"]) == command_line(store)
        content = plistlib.loads(launchd_plist(store).encode())
        assert content["ProgramArguments"] == command_line(store)
        assert content["Label"] == unit_name(store)
        assert unit_name(store).isascii()


def test_a_unit_starts_again_after_a_failure_only() -> None:
    store = store_at("/home/me/lab/.claude/provenance")
    service = parsed(systemd_unit(store))["Service"]
    assert (service["Type"], service["Restart"]) == ("exec", "on-failure")
    content = plistlib.loads(launchd_plist(store).encode())
    assert (content["RunAtLoad"], content["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert content["StandardErrorPath"] == "/home/me/lab/.claude/provenance/daemon.log"
    assert unit_name(store).startswith("provlog-lab-")


def test_stores_in_directories_of_one_name_have_units_of_two() -> None:
    names = {unit_name(store_at(f"/home/{who}/lab/.claude/provenance")) for who in ("a", "b")}
    assert len(names) == 2


@pytest.mark.parametrize("bad", ["a\nb", "a\x1bb", "a\x85b", "a\udc80b"])
def test_a_path_that_can_not_be_written_down_is_refused(bad: str) -> None:
    store = store_at(f"/home/{bad}")
    with pytest.raises(PathNotUsable):
        systemd_unit(store)
    with pytest.raises(PathNotUsable):
        launchd_plist(store)


@pytest.mark.parametrize("is_hostile_python", [False, True])
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_accepts_the_unit_of_a_hostile_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_hostile_python: bool
) -> None:
    root = tmp_path / HOSTILE / ".claude" / "provenance"
    initialise_store(root)
    if is_hostile_python:
        (root / "python").symlink_to(sys.executable)
        monkeypatch.setattr(sys, "executable", str(root / "python"))
    text = systemd_unit(open_store(root))
    assert words(parsed(text)["Service"]["ExecStart"])[-9:] == command_line(open_store(root))
    unit = tmp_path / "provlog.service"
    unit.write_text(text)
    command = ["systemd-analyze", "verify", "--user", "--man=no", str(unit)]
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
