"""Which files of a git work tree changed between two moments, as git itself tells it.

A file counts as changed when what `git status` says of it changed, when it was changed already and
its size or time changed since, and when a commit in between touched it. Ignored files and what
changed and changed back are not seen.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class WorkTree:
    """A work tree at one moment."""

    top: str
    """Where it is; paths are relative to this."""
    commit: str
    """Empty before the first commit."""
    changed: Mapping[str, tuple[object, ...]]
    """Path → what git says of it, with size and time, for each file that differs from HEAD."""


def work_tree(directory: Path) -> WorkTree | None:
    """Return the state of the work tree that a directory is in; None where there is none.

    Also None where git is not installed, or takes too long.
    """
    top = _git(directory, "rev-parse", "--show-toplevel")
    if not top:
        return None
    root = os.fsdecode(top.rstrip(b"\n"))
    status = _git(directory, "status", "--porcelain=v1", "-z", "--untracked-files=all")
    if status is None:
        return None
    commit = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD") or b""
    return WorkTree(root, commit.decode().strip(), _entries(status, root))


def changed_files(before: WorkTree | None, after: WorkTree | None) -> list[str]:
    """Return the absolute paths that changed in between, in order."""
    if before is None or after is None or before.top != after.top:
        return []
    names = {
        name
        for name in before.changed.keys() | after.changed.keys()
        if before.changed.get(name) != after.changed.get(name)
    }
    if before.commit != after.commit and after.commit:
        old = before.commit or _EMPTY_TREE
        found = _git(after.top, "diff", "--name-only", "-z", "--no-renames", old, after.commit)
        names |= {os.fsdecode(name) for name in (found or b"").split(b"\0") if name}
        names -= {name for name in before.changed if _is_committed_as_it_was(name, before, after)}
    return sorted(os.path.join(after.top, name) for name in names)  # noqa: PTH118 - texts


_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""What git calls a tree without files."""


def _is_committed_as_it_was(name: str, before: WorkTree, after: WorkTree) -> bool:
    """Say whether a file that was changed before was committed and not touched."""
    return name not in after.changed and before.changed[name][1:] == _look(after.top, name)


def _entries(status: bytes, top: str) -> dict[str, tuple[object, ...]]:
    entries: dict[str, tuple[object, ...]] = {}
    fields = iter(status.split(b"\0"))
    for field in fields:
        if len(field) < 4:
            continue
        code, name = field[:2], os.fsdecode(field[3:])
        if code[:1] in b"RC":
            next(fields, b"")  # the name that it had before
        entries[name] = (code, *_look(top, name))
    return entries


def _look(top: str, name: str) -> tuple[int, int] | tuple[()]:
    try:
        status = os.lstat(os.path.join(top, name))  # noqa: PTH118 - texts
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns


def _git(directory: Path | str, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(directory), *arguments],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
