"""The documents say what is there, and what they show works."""

import doctest
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import projections
import provenance_log
from projections.database import connect
from projections.projector import catch_up
from provenance_log.cli import provlog
from provenance_log.errors import ProvlogError
from provenance_log.format import REASONS
from provenance_log.store import Store

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for command_name in group.list_commands(context):
        command = group.get_command(context, command_name)
        assert command is not None
        yield f"{name} {command_name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {command_name}")


ALL_COMMANDS = dict(commands(provlog, "provlog"))


def test_command_reference_is_what_make_docs_writes() -> None:
    script = ROOT / "tools" / "command_reference.py"
    made = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)

    assert made.stdout == COMMANDS, "run `make docs`"


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_command_has_help_an_example_and_a_place_in_the_documents(name: str) -> None:
    command = ALL_COMMANDS[name]
    options = [option for option in command.params if isinstance(option, click.Option)]

    assert command.help
    assert f"Example:\n  {name}" in re.sub(r"\n +", "\n  ", command.help)
    assert re.search(rf"^## {name}( |$)", COMMANDS, re.MULTILINE)
    assert [option.name for option in options if not option.help] == []


def all_errors() -> set[str]:
    """The names of every subclass of ProvlogError, in whichever module of ours it is."""
    for package in (provenance_log, projections):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found: set[type[ProvlogError]] = set()
    left = [ProvlogError]
    while left:
        left += (children := left.pop().__subclasses__())
        found.update(children)
    ours = (provenance_log.__name__, projections.__name__)
    return {error.__name__ for error in found if error.__module__.startswith(ours)}


def test_every_error_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")

    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == all_errors()


def test_every_reason_of_an_invalid_line_is_documented() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")

    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(REASONS)


def test_every_table_and_column_is_documented(store: Store) -> None:
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        columns = connection.rows(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_name LIKE 'provenance_%'"
        )
    text = (ROOT / "docs" / "tables.md").read_text("utf-8")
    sections = {
        part.partition("\n")[0].strip("` "): set(re.findall(r"`(\w+)`", part))
        for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    }

    assert len(columns) > 50
    assert [
        f"{row['table_name']}.{row['column_name']}"
        for row in columns
        if row["column_name"] not in sections.get(row["table_name"], set())
    ] == []


def shell_sessions(text: str) -> Iterator[tuple[str, str]]:
    """The (command, expected output) pairs of the blocks fenced as `console`."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *rest = part.split("\n")
            while rest and (rest[0] == ">" or rest[0].startswith("> ")):
                command += "\n" + rest.pop(0)[2:]
            yield command, "\n".join(rest)


def test_shell_session_is_read_as_a_person_reads_it() -> None:
    text = "```console\n$ cat <<E\n> one\n>\n> E\none\n\n$ true\n```\n```\n$ no\n```\n"

    assert list(shell_sessions(text)) == [("cat <<E\none\n\nE", "one\n\n"), ("true", "")]


# What differs from run to run, and the word that stands for it in both texts.
VARYING = {
    r"\b[0-9a-f]{64}\b": "HASH",
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b": "ID",
    r"\b[0-9a-f]{8}\b": "ID",
    r"\b\d{4}-\d\d-\d\d[ -]\d\d[:-]\d\d(:\d\d)?\b": "TIME",
    r"\b\d\d:\d\d:\d\d\b": "TIME",
    r"\b\d+(\.\d+)? (ms|s)\b": "DURATION",
    r"\b\d+(\.\d+)? k?B\b": "SIZE",
}


def without_varying(text: str) -> str:
    for pattern, word in VARYING.items():
        text = re.sub(pattern, word, text)
    return text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_shell_sessions_of_a_document_print_what_it_shows(document: Path, tmp_path: Path) -> None:
    """In the order in which they stand, in one directory; `...` stands for anything."""
    session = list(shell_sessions(document.read_text("utf-8")))
    if any(command.startswith("jq ") for command, _ in session) and not shutil.which("jq"):
        pytest.skip("jq is not installed; `make system-packages` installs it")
    checker = doctest.OutputChecker()
    for command, expected in session:
        printed = run_in_shell(command, tmp_path).replace(str(tmp_path), "/home/me/project")
        assert checker.check_output(
            without_varying(expected),
            without_varying(printed),
            doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        ), f"{document.name} shows other output than:\n$ {command}\n{printed}"


def run_in_shell(command: str, directory: Path) -> str:
    """Standard output and error of a command, with `provlog` and `python` those of the tests."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env={**os.environ, "HOME": str(directory), "PATH": programs},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{document.name}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []
