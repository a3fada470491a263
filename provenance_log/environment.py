"""What surrounds a session that starts: who, where, on what, with which versions of what.

Everything is looked up, nothing is assumed; what can't be found out is left out.
"""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance_log.git_state import GitState, git_state

if TYPE_CHECKING:
    from collections.abc import Mapping


def user_context(*, db_path: Path | None = None) -> dict[str, Any]:
    """Return what surrounds this process, and what it runs on, for a session's header.

    As `surroundings`, and `python_version`, `python_executable`, `pid`, `command`,
    `dependencies` (version by distribution, of what is imported), and `db_path` where it is given.
    """
    context = surroundings() | {
        "python_version": sys.version,
        "python_executable": sys.executable,
        "pid": os.getpid(),
        "command": list(getattr(sys, "orig_argv", sys.argv)),
        "dependencies": dict(imported_versions()),
        "db_path": None if db_path is None else str(db_path),
    }
    return {key: value for key, value in context.items() if value not in (None, "", [], {})}


def surroundings() -> dict[str, Any]:
    """Return what is true of every program that runs here now, in whatever language.

    `user`, `host`, `platform`, `working_directory`, `git_branch`, `git_commit`.
    """
    directory = working_directory()
    state = git_state(Path(directory)) if directory else GitState()
    context = {
        "user": _user(),
        "host": platform.node(),
        "platform": platform.platform(),
        "working_directory": directory,
        "git_branch": state.branch,
        "git_commit": state.commit,
    }
    return {key: value for key, value in context.items() if value}


def working_directory() -> str | None:
    """Return the working directory; None where it was removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - a text is what is recorded
    except OSError:
        return None


def imported_versions() -> Mapping[str, str]:
    """Return the version of every installed distribution of which something is imported."""
    found = {}
    distributions = _distributions_of_modules()
    for module in list(sys.modules):
        for name in distributions.get(module, ()):
            found[name] = _version_of(name)
    return dict(sorted(found.items()))


def _user() -> str | None:
    import getpass  # noqa: PLC0415 - brings in the password database, for one call a session

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in a container
        return None


@cache
def _distributions_of_modules() -> Mapping[str, list[str]]:
    """Return the distributions that each top-level module belongs to; looked up once."""
    from importlib import metadata  # noqa: PLC0415 - dear, and for sessions only

    return metadata.packages_distributions()


@cache
def _version_of(distribution: str) -> str:
    from importlib import metadata  # noqa: PLC0415 - as above

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
