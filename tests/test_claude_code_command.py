"""The command `provlog import claude-code`, and where it looks without a path."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from transcript_records import SESSION, Script

from provenance_log import cli
from provenance_log.claude_code.locate import transcripts_of
from provenance_log.errors import ProvlogError
from provenance_log.store import Store


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    script = Script(cwd=str(tmp_path / "my_lab.v2"))
    script.prompt("look")
    script.call("a", "Read", file_path="/x")
    script.result("a")
    script.add("holo\x1b[31mgram")
    return script.write(tmp_path / "transcripts" / "t.jsonl")


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def told(self) -> list[str]:
        """The lines that were printed, however wide their columns."""
        return [" ".join(line.split()) for line in self.stdout.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def run(store: Store, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command on the store."""

    def run_it(*arguments: object) -> Result:
        words = ["import", "claude-code", "--root", str(store.root), *map(str, arguments)]
        code = cli.run(words)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run_it


def test_the_table_counts_what_was_read_and_added(run: Run, transcript: Path) -> None:
    result = run(transcript)
    assert result.exit_code == 0
    assert result.told == [
        "what count",
        f"files 1 {transcript.stat().st_size / 1000:.1f} kB",
        "sessions new 1",
        "sessions grown 0",
        "sessions unchanged 0",
        "actions added 4 1 tool calls",
        "unknown record type holo\\x1b[31mgram 1 passed over",
        "next: provlog project",
    ]
    assert run(transcript).told[2:6] == [
        "sessions new 0",
        "sessions grown 0",
        "sessions unchanged 1",
        "actions added 0 0 tool calls",
    ]


def test_a_refused_file_is_named_and_the_exit_code_is_not_zero(run: Run, transcript: Path) -> None:
    other = transcript.with_name("other\n.jsonl")
    other.write_text('{\n "a": 1\n}\n')
    missing = transcript.with_name("missing.jsonl")
    result = run(other, transcript, missing)
    assert result.exit_code == 1
    assert "sessions new 1" in result.told
    assert result.stderr.count("refused: ") == 2
    assert f"{missing}: there is no such file" in result.stderr
    assert ", line 1, byte 0: not a Claude Code transcript: a JSON document" in result.stderr
    assert result.stderr.count("hint: ") == 2


def test_json_has_every_count_and_place(run: Run, transcript: Path) -> None:
    with transcript.open("ab") as file:
        file.write(b"garbage\n")
    result = run(transcript, "--json")
    report = json.loads(result.stdout)
    assert report["sessions"][0]["session_id"] == SESSION
    assert (report["actions_added"], report["tool_calls_added"]) == (4, 1)
    assert report["problems"][0]["line"] == 5
    assert report["unknown"] == {"holo\x1b[31mgram": 1}


def test_a_dry_run_says_so(run: Run, store: Store, transcript: Path) -> None:
    assert run(transcript, "--dry-run").stdout.endswith("dry run: nothing was written\n")
    assert store.session_directories() == []


def test_without_a_path_this_projects_transcripts_are_imported(
    run: Run, transcript: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "my_lab.v2"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
    result = run()
    assert result.exit_code == 1
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in str(project))
    kept = tmp_path / "config" / "projects" / name
    kept.mkdir(parents=True)
    transcript.rename(kept / "t.jsonl")
    assert "sessions new 1" in run().told


def test_where_there_are_no_transcripts_the_next_step_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ProvlogError, match="keeps no transcripts of /nowhere") as caught:
        transcripts_of(Path("/nowhere"))
    assert "provlog import claude-code PATH" in str(caught.value.hint)


def test_a_name_that_was_cut_is_found_by_what_the_records_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    project, other = Path("/" + "x" * 300), Path("/" + "x" * 301)
    for folder, cwd in (("aaa", other), ("bbb", project)):
        script = Script(cwd=str(cwd))
        script.prompt("go")
        script.write(tmp_path / "projects" / f"-{'x' * 199}-{folder}" / "t.jsonl")
    assert transcripts_of(project).name.endswith("bbb")


def test_the_directory_name_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("CLAUDE_CODE_PROJECT_DIR_NAME", "mine")
    (tmp_path / "projects" / "mine").mkdir(parents=True)
    assert transcripts_of(Path("/elsewhere")) == tmp_path / "projects" / "mine"


def test_the_help_shows_an_example(run: Run) -> None:
    assert "Example:\n    provlog import claude-code" in run("--help").stdout
