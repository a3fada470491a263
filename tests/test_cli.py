"""The command line: the table of commands, `init`, and what an error looks like."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest

from provenance_log import cli
from provenance_log.cli import COMMANDS, Entry, LazyGroup, provlog, run
from provenance_log.errors import DatabaseHeld, ProvlogError
from provenance_log.store import Store

INITIAL_ENTRIES = {
    ".gitignore",
    "README.md",
    "action-types.yaml",
    "indices/",
    "indices/by-id/",
    "manifest-template.yaml",
    "metadata-schema.json",
    "sessions/",
}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `fail` that raises the exception put into the list."""
    exceptions: list[BaseException] = []

    @click.command()
    def fail() -> NoReturn:
        raise exceptions[0]

    monkeypatch.setattr(cli, "_test_command", fail, raising=False)
    entry = Entry("provenance_log.cli:_test_command", "Fail.")
    monkeypatch.setattr(provlog, "entries", {**COMMANDS, "fail": entry})
    return exceptions


def provlog_process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "provenance_log.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def snapshot(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(directory)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_help_lists_every_command_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0

    listed = capsys.readouterr().out.split("Commands:\n")[1].splitlines()
    assert [line.split(maxsplit=1) for line in listed] == [
        [name, entry.summary] for name, entry in COMMANDS.items()
    ]


def test_help_loads_no_command_and_no_database() -> None:
    script = (
        "import sys\n"
        "from provenance_log.cli import run\n"
        "run(['--help'])\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded & {"projections", "duckdb", "nanoarrow", "yaml", "watchdog"} == set()
    assert "provenance_log.commands" not in done.stderr.split()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_entry_of_the_table_is_a_command_with_help(name: str) -> None:
    command = COMMANDS[name].load()

    assert command.help
    if isinstance(command, LazyGroup):
        assert all(entry.load().help for entry in command.entries.values())


def test_target_that_is_no_command_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="is a function, not a click command"):
        Entry("provenance_log.cli:run", "").load()


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("projct", "There is no command 'projct'. Did you mean project?"),
        ("stat", "There is no command 'stat'. Did you mean stats or start?"),
        ("xyzzy", "There is no command 'xyzzy'."),
    ],
)
def test_unknown_command_is_refused_and_its_likeness_named(
    typed: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([typed]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"Error: {answer}"


def test_init_makes_a_store_and_names_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(["init"]) == 0

    root = tmp_path / ".claude" / "provenance"
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"made in {root}:"
    assert {line.strip() for line in rest} == INITIAL_ENTRIES
    assert all((root / entry).exists() for entry in INITIAL_ENTRIES)


def test_init_again_changes_nothing_and_says_so(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(store.root)

    assert run(["init", "--root", str(store.root)]) == 0

    assert capsys.readouterr().out == f"nothing to do: the store at {store.root} is complete\n"
    assert snapshot(store.root) == before


def test_init_completes_a_store_and_keeps_what_is_there(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    (store.root / "README.md").write_text("mine")
    (store.root / "action-types.yaml").unlink()

    assert run(["init", "--root", str(store.root), "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["created"] == ["action-types.yaml"]
    assert set(report["kept"]) == INITIAL_ENTRIES - {"action-types.yaml"}
    assert (store.root / "README.md").read_text() == "mine"


def test_init_with_a_database_remembers_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, database = tmp_path / "store", tmp_path / "lab's data.duckdb"

    assert run(["init", "--root", str(root), "--db", str(database), "--json"]) == 0
    assert run(["init", "--root", str(root), "--json"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["database"] for line in lines] == [str(database)] * 2


def test_init_says_when_a_database_path_could_not_be_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        assert run(["init", "--root", str(tmp_path), "--db", str(tmp_path / name)]) == 0

    assert "--db was not written to it" in capsys.readouterr().err


def test_init_takes_the_root_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVENANCE_ROOT", str(tmp_path / "elsewhere"))

    assert run(["init"]) == 0
    assert (tmp_path / "elsewhere" / "sessions").is_dir()


def test_expected_error_becomes_a_message_with_a_hint(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ProvlogError("is a picture", path="a.jsonl", line=3, hint="look at it"))

    assert run(["fail"]) == ProvlogError.exit_code
    assert capsys.readouterr().err == "error: a.jsonl, line 3: is a picture\nhint: look at it\n"


def test_error_carries_its_own_exit_code(failing: list[BaseException]) -> None:
    held = DatabaseHeld("in use")
    held.exit_code = 75
    failing.append(held)

    assert run(["fail"]) == 75


def test_error_that_quotes_a_log_cannot_act_on_the_terminal(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """S1"""
    failing.append(ProvlogError("unknown type \x1b]0;owned\x07\u202e"))

    run(["fail"])
    assert capsys.readouterr().err == "error: unknown type \\x1b]0;owned\\x07\\u202e\n"


def test_error_of_the_system_names_path_and_reason_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()

    assert run(["init", "--root", str(in_the_way / "store")]) == 1

    message, hint = capsys.readouterr().err.splitlines()
    assert str(in_the_way) in message
    assert "can't be written: " in message
    assert hint.startswith("hint: ")


def test_system_error_that_no_command_expected_still_names_its_path(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(OSError(28, "No space left on device", "/store/x"))

    assert run(["fail"]) == 1
    assert capsys.readouterr().err == (
        "error: /store/x: No space left on device\n"
        "hint: free some space, then run the command again\n"
    )


def test_bug_keeps_its_traceback(failing: list[BaseException]) -> None:
    failing.append(KeyError("a bug"))

    with pytest.raises(KeyError):
        run(["fail"])


def test_interrupt_ends_with_130_and_no_traceback(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(KeyboardInterrupt())

    assert run(["fail"]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_closed_pipe_ends_quietly_as_by_sigpipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "provenance_log.cli", "init", "--root", str(tmp_path / "store")],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")


def test_output_is_printed_in_a_locale_that_lacks_its_characters(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = provlog_process("init", "--root", str(tmp_path / "漢"), env=environment)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"made in {tmp_path}/\\u6f22:"
