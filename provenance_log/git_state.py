"""The branch and the commit that a working directory stands on, read without starting git.

Reads what gitrepository-layout(5) describes: `HEAD`, loose references, `packed-refs`, and the
`.git` file of a worktree or submodule. A repository whose references are kept in another way (the
reftable format) tells nothing here, rather than something wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADS = "refs/heads/"
_BYTES_MAX = 4096
_PACKED_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GitState:
    """Where a repository stands; None for what is not known."""

    branch: str | None = None
    """None also where no branch is checked out."""
    commit: str | None = None
    """None also on a branch without a commit."""


def git_state(directory: Path) -> GitState:
    """Return the state of the repository that a directory is in; nothing is raised."""
    try:
        git = _git_directory(directory.absolute())
        return GitState() if git is None else _state(git)
    except (OSError, ValueError):  # not readable, or not text where there should be some
        return GitState()


def _git_directory(directory: Path) -> Path | None:
    for candidate in (directory, *directory.parents):
        git = candidate / ".git"
        if git.is_dir():
            return git
        if git.is_file():
            where = _first_line(git).removeprefix("gitdir:").strip()
            return candidate / where
    return None


def _state(git: Path) -> GitState:
    head = _first_line(git / "HEAD")
    if _is_hash(head):
        return GitState(commit=head)
    reference = head.removeprefix("ref:").strip()
    if not reference.startswith(_HEADS) or ".." in reference:
        return GitState()
    return GitState(reference.removeprefix(_HEADS), _commit(git, reference))


def _commit(git: Path, reference: str) -> str | None:
    """Return the commit of a branch: of its own file, else of the packed ones."""
    shared = git
    if (git / "commondir").is_file():  # a worktree keeps its branches with the main repository
        shared = git / _first_line(git / "commondir")
    if (shared / reference).is_file():
        found = _first_line(shared / reference)
        return found if _is_hash(found) else None
    packed = shared / "packed-refs"
    if not packed.is_file() or packed.stat().st_size > _PACKED_BYTES_MAX:
        return None
    for line in packed.read_text("utf-8", "replace").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference and _is_hash(commit):
            return commit
    return None


def _is_hash(text: str) -> bool:
    return len(text) in {40, 64} and not text.strip("0123456789abcdef")


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_BYTES_MAX).split(b"\n", 1)[0].decode().strip()
