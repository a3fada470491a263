"""The one-liners of the README, which people copy into their Makefile or justfile."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from looking_cases import record, tool_call

from provenance_log.store import open_store

TARGETS = ("init-provenance", "show-sessions", "provenance-stats", "query-provenance")


def block(repository: Path, language: str) -> str:
    """The one block of the README in this language."""
    text = (repository / "README.md").read_text("utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return str(found)


def run(directory: Path, *command: str) -> str:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=directory,
        env={"PATH": programs, "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


@pytest.mark.parametrize(
    ("program", "language", "file", "sql"),
    [
        ("make", "make", "Makefile", "SQL={}"),
        pytest.param(
            *("just", "just", "justfile", "{}"),
            marks=pytest.mark.skipif(not shutil.which("just"), reason="just is not installed"),
        ),
    ],
)
def test_the_one_liners_of_the_readme_work(
    repository: Path, tmp_path: Path, program: str, language: str, file: str, sql: str
) -> None:
    (tmp_path / file).write_text(block(repository, language))

    made = run(tmp_path, program, "init-provenance")
    record(open_store(tmp_path), [tool_call("Read", {})], session_id="s1", success=True)
    shown = run(tmp_path, program, "show-sessions")
    figures = run(tmp_path, program, "provenance-stats")
    question = "SELECT 'it''s' || \"tool\" AS t FROM provenance_tool_calls -- `touch x`"
    answer = run(tmp_path, program, "query-provenance", sql.format(question))

    assert made.startswith("made in ")
    assert [line.split()[0] for line in shown.splitlines()] == ["session", "s1"]
    assert "Read" in figures
    assert answer == "t\nit'sRead\n"


def test_both_files_have_the_same_recipes(repository: Path) -> None:
    commands = {
        language: re.findall(r"^([\w-]+)(?: \$SQL)?:\s+(?:; )?@(.*)$", text, re.MULTILINE)
        for language in ("make", "just")
        for text in [block(repository, language).replace("$$", "$")]
    }

    assert [name for name, _ in commands["make"]] == list(TARGETS)
    assert commands["make"] == commands["just"]
