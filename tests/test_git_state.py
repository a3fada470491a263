"""Branch and commit are what git says, in every layout that git makes; changes are found."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance_log.git_changes import changed_files, work_tree
from provenance_log.git_state import GitState, git_state


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "-qb", "trunk")
    (directory / "a.txt").write_text("a\n")
    (directory / "old.txt").write_text("old\n")
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "first")
    return directory


def as_it_is(directory: Path) -> Path:
    return directory


def in_a_directory_below(directory: Path) -> Path:
    below = directory / "x" / "y"
    below.mkdir(parents=True)
    return below


def packed(directory: Path) -> Path:
    git(directory, "pack-refs", "--all")
    return directory


def on_a_branch_with_a_slash(directory: Path) -> Path:
    git(directory, "checkout", "-qb", "feature/one")
    return directory


def detached(directory: Path) -> Path:
    git(directory, "checkout", "-q", "--detach")
    return directory


def in_a_worktree(directory: Path) -> Path:
    git(directory, "worktree", "add", "-q", "-b", "side", "../side")
    return directory.parent / "side"


def before_the_first_commit(directory: Path) -> Path:
    empty = directory.parent / "empty"
    empty.mkdir()
    git(empty, "init", "-qb", "trunk")
    return empty


@pytest.mark.parametrize(
    "arrange",
    [
        as_it_is,
        in_a_directory_below,
        packed,
        on_a_branch_with_a_slash,
        detached,
        in_a_worktree,
        before_the_first_commit,
    ],
)
def test_branch_and_commit_are_what_git_says(
    repository: Path, arrange: Callable[[Path], Path]
) -> None:
    directory = arrange(repository)

    def ask(*arguments: str) -> str | None:
        try:
            return git(directory, *arguments)
        except subprocess.CalledProcessError:
            return None

    expected = GitState(
        ask("symbolic-ref", "--short", "-q", "HEAD"), ask("rev-parse", "-q", "--verify", "HEAD")
    )
    assert git_state(directory) == expected
    assert expected != GitState()


def without_git(directory: Path) -> None:
    shutil.rmtree(directory / ".git")


def with_noise_as_head(directory: Path) -> None:
    (directory / ".git" / "HEAD").write_bytes(b"\xff\xfe")


def with_a_head_that_leads_away(directory: Path) -> None:
    (directory / ".git" / "HEAD").write_text("ref: refs/heads/../../../etc/passwd\n")


def with_a_git_file_to_nowhere(directory: Path) -> None:
    shutil.rmtree(directory / ".git")
    (directory / ".git").write_text("gitdir: /nowhere\n")


@pytest.mark.parametrize(
    "harm",
    [without_git, with_noise_as_head, with_a_head_that_leads_away, with_a_git_file_to_nowhere],
)
def test_what_is_no_repository_tells_nothing_and_raises_nothing(
    repository: Path, harm: Callable[[Path], None]
) -> None:
    harm(repository)

    assert git_state(repository) == GitState()


def write_new(directory: Path) -> None:
    (directory / "new dir").mkdir()
    (directory / "new dir" / "n\u00e9w.txt").write_text("n")


def edit(directory: Path) -> None:
    (directory / "a.txt").write_text("changed\n")


def delete(directory: Path) -> None:
    (directory / "a.txt").unlink()


def edit_what_was_changed_already(directory: Path) -> None:
    (directory / "old.txt").write_text("changed once more\n")


def commit_a_change(directory: Path) -> None:
    edit(directory)
    git(directory, "commit", "-qam", "second")


def rename(directory: Path) -> None:
    git(directory, "mv", "a.txt", "b.txt")


def do_nothing(_directory: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (write_new, ["new dir/n\u00e9w.txt"]),
        (edit, ["a.txt"]),
        (delete, ["a.txt"]),
        (edit_what_was_changed_already, ["old.txt"]),
        (commit_a_change, ["a.txt"]),
        (rename, ["b.txt"]),
        (do_nothing, []),
    ],
)
def test_changed_files_are_those_that_the_work_touched(
    repository: Path, work: Callable[[Path], None], expected: list[str]
) -> None:
    (repository / "old.txt").write_text("changed before\n")
    (repository / "untouched.txt").write_text("untracked before\n")
    before = work_tree(repository)
    work(repository)

    found = changed_files(before, work_tree(repository))
    assert found == [str(repository / name) for name in expected]


def test_without_a_work_tree_no_file_is_known_to_have_changed(tmp_path: Path) -> None:
    assert work_tree(tmp_path) is None
    assert changed_files(None, None) == []


def test_first_commit_counts_every_file_in_it_that_was_not_there(tmp_path: Path) -> None:
    git(tmp_path, "init", "-qb", "trunk")
    before = work_tree(tmp_path)
    (tmp_path / "one").write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")

    assert changed_files(before, work_tree(tmp_path)) == [str(tmp_path / "one")]
