"""The command `provlog copy`: which sessions it means, what it prints, how it ends."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from copying_cases import (
    FOUR,
    ID,
    NAME,
    OTHER_END,
    lines_of,
    log_in,
    names_in,
    new_store,
    noted,
    put,
    states,
    tree_of,
)
from projecting import Log, session_start

from provenance_log import cli
from provenance_log.copy_choice import Choice
from provenance_log.copying import copy_sessions
from provenance_log.errors import SessionNotFound
from provenance_log.store import Store


@pytest.fixture
def target(tmp_path: Path) -> Store:
    """The store that is copied into; `store` is the one copied from."""
    return new_store(tmp_path / "target")


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
    """Run the command in the project of `store`."""

    def run_it(*arguments: object) -> Result:
        code = cli.run(["copy", "--root", str(store.root), *map(str, arguments)])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run_it


def test_copying_to_a_project_prints_what_was_done(run: Run, store: Store, target: Store) -> None:
    put(store, NAME, b"".join(FOUR))
    put(store, "b", b"".join(lines_of("second")))
    put(target, "b", b"".join(lines_of("second")))

    result = run("--all", "--to", target.root)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.told == [
        "from to what lines added blobs",
        f"{NAME} {NAME} copied 4 {len(b''.join(FOUR)) / 1000:.1f} kB",
        "b b there already 1",
        "1 copied, 1 there already",
        f"next: provlog project --root {target.root}",
    ]


def test_copying_from_a_project_finds_its_store(run: Run, store: Store, tmp_path: Path) -> None:
    theirs = new_store(tmp_path / "theirs" / ".claude" / "provenance")
    put(theirs, NAME, b"".join(FOUR))

    assert run(ID[:8], "--from", tmp_path / "theirs").exit_code == 0
    assert log_in(store) == b"".join(FOUR)
    assert noted(store)[0]["source_root"] == str(theirs.root.resolve())


def test_a_fork_ends_with_1_and_says_how_to_keep_both(
    run: Run, store: Store, target: Store
) -> None:
    put(store, NAME, b"".join(FOUR))
    put(target, NAME, b"".join(OTHER_END))

    refused = run(NAME, "--to", target.root)
    kept = run(NAME, "--to", target.root, "--as-fork")

    assert refused.exit_code == 1
    assert refused.told[1] == f"{NAME} {NAME} refused 4"
    assert re.fullmatch(
        rf"refused: {NAME}: forked at line 3: the source has 4 lines and the head [0-9a-f]{{64}}, "
        rf"{NAME} has 4 and [0-9a-f]{{64}}\nhint: --as-fork keeps both\n",
        refused.stderr,
    )
    assert kept.exit_code == 0
    assert kept.told[1].startswith(f"{NAME} {NAME}-2 copied as a fork 4 ")


def test_json_has_every_session_with_its_fork(run: Run, store: Store, target: Store) -> None:
    put(store, NAME, b"".join(FOUR))
    put(store, "b", b"".join(lines_of("second")))
    put(target, NAME, b"".join(OTHER_END))
    (store.sessions_dir / "b" / "x.txt").touch()

    result = run("--all", "--to", target.root, "--json", "--dry-run")

    assert result.exit_code == 1
    report = json.loads(result.stdout)
    fork = report["sessions"][0].pop("fork")
    assert (fork["line"], fork["source_lines"], fork["lines"], fork["directory"]) == (3, 4, 4, NAME)
    assert fork["source_head"] != fork["head"]
    report["sessions"][0].pop("reason")
    nothing = {"bytes_added": 0, "blobs": 0, "left_behind": []}
    assert report == {
        "source": str(store.root),
        "destination": str(target.root),
        "dry_run": True,
        "refused": True,
        "sessions": [
            {
                **nothing,
                "session_id": ID,
                "source_directory": NAME,
                "directory": NAME,
                "state": "refused",
                "lines": 4,
            },
            {
                **nothing,
                "session_id": "second",
                "source_directory": "b",
                "directory": "b",
                "state": "copied",
                "lines": 1,
                "bytes_added": len(b"".join(lines_of("second"))),
                "reason": None,
                "fork": None,
            },
        ],
    }
    assert names_in(target) == [NAME]


def test_a_hostile_name_reaches_the_terminal_escaped(run: Run, store: Store, target: Store) -> None:
    """S1, D4."""
    put(store, "x\x1b[31m\n", b"".join(FOUR))

    result = run("--all", "--to", target.root)

    assert result.exit_code == 1
    assert "\x1b" not in result.stdout + result.stderr
    assert result.stderr == "refused: x\\x1b[31m\\n: its name is not safe\n"


def test_agent_and_since_choose_among_all_or_among_the_named(
    run: Run, store: Store, target: Store
) -> None:
    for name, agent, year in (("a", "one", 2015), ("b", "two", 2016), ("c", "two", 2010)):
        log = Log(store, name)
        log.add(**session_start(name, agent_type=agent), timestamp=f"{year}-05-01T00:00:00Z")
    put(store, "garbage", b"not json\n")

    def chosen(*arguments: str) -> list[str]:
        result = run(*arguments, "--to", target.root, "--dry-run", "--json")
        return [copy["source_directory"] for copy in json.loads(result.stdout)["sessions"]]

    assert chosen("--agent", "two") == ["b", "c"]
    assert chosen("--since", "2015-05-01") == ["a", "b"]
    assert chosen("--since", "2015-05-01T02:00:00+01:00") == ["b"]
    assert chosen("--since", "1m", "--all") == []
    assert chosen("--since", "2011-01-01", "--agent", "two", "b", "c") == ["b"]
    assert chosen("--all") == ["a", "b", "c", "garbage"]


def test_a_time_that_is_none_is_an_error(run: Run, target: Store) -> None:
    result = run("--since", "yesterday", "--to", target.root)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: 'yesterday' is not a time\nhint: ")


@pytest.mark.parametrize(
    "arguments",
    [
        (NAME,),
        ("--to", "x"),
        (NAME, "--to", "x", "--from", "y"),
        (NAME, "--all", "--to", "x"),
    ],
)
def test_a_command_line_that_can_mean_two_things_is_refused(
    run: Run, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments).exit_code == 2


def test_a_project_without_a_store_is_named_and_nothing_is_made_there(
    run: Run, store: Store, tmp_path: Path
) -> None:
    put(store, NAME, b"".join(FOUR))
    (tmp_path / "bare").mkdir()

    result = run("--all", "--to", tmp_path / "bare")

    assert result.exit_code == 1
    assert "no store in this directory" in result.stderr
    assert tree_of(tmp_path / "bare") == {}


def test_named_sessions_are_found_by_id_beginning_name_path_and_latest(
    store: Store, target: Store
) -> None:
    put(store, "a", b"".join(lines_of("1111-a")))
    put(store, "b", b"".join(lines_of("1112-b")))
    later = Log(store, "c")
    later.add(timestamp="2027-01-01T00:00:00Z")

    def chosen(*given: str) -> list[str]:
        report = copy_sessions(store, target, Choice(given), is_dry_run=True)
        return [copy.source_directory for copy in report.copies]

    assert chosen("1111-a") == ["a"]
    assert chosen("1112", "a", f"{store.sessions_dir}/b/") == ["a", "b"]
    assert chosen("latest") == ["c"]
    assert chosen(str(later.path)) == ["c"]
    with pytest.raises(SessionNotFound, match="2 sessions begin with 11"):
        chosen("11")
    with pytest.raises(SessionNotFound, match="no session nothing"):
        chosen("nothing")
    with pytest.raises(SessionNotFound, match="is not in"):
        chosen(str(target.sessions_dir / "a"))


def test_what_is_named_and_has_no_log_is_refused(store: Store, target: Store) -> None:
    (store.sessions_dir / "by-hand").mkdir()
    assert states(copy_sessions(store, target, Choice(("by-hand",)))) == {"by-hand": "refused"}
