"""Where Claude Code keeps the transcripts of a project."""

from __future__ import annotations

import os
import re
from pathlib import Path

from provenance_log.claude_code.transcripts import open_transcript
from provenance_log.errors import ProvlogError, TranscriptInvalid

ENV_CONFIG = "CLAUDE_CONFIG_DIR"
ENV_PROJECT_NAME = "CLAUDE_CODE_PROJECT_DIR_NAME"
NAME_LENGTH_MAX = 200
"""Claude Code cuts longer names and adds a hash of its own."""

_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]")
_FILES_LOOKED_AT_MAX = 5


def expected_directory(project: Path) -> Path:
    """Return where the transcripts of a project are, or where the first one will come to be."""
    try:
        return transcripts_of(project)
    except ProvlogError:
        return config_directory() / "projects" / _name_of(project)


def transcripts_of(project: Path) -> Path:
    """Return the directory with the transcripts of a project.

    It is named after the project's path with every character but ASCII letters and digits
    replaced by `-`. Raises `ProvlogError` where there is none.
    """
    projects = config_directory() / "projects"
    name = _name_of(project)
    if len(name) <= NAME_LENGTH_MAX:
        directory = projects / name
        if directory.is_dir():
            return directory
    elif projects.is_dir():
        for directory in sorted(projects.glob(f"{name[:NAME_LENGTH_MAX]}*")):
            if directory.is_dir() and _is_of(directory, project):
                return directory
    raise ProvlogError(
        f"Claude Code keeps no transcripts of {project}",
        path=projects,
        hint="name the files or directories: `provlog import claude-code PATH`",
    )


def _name_of(project: Path) -> str:
    return os.environ.get(ENV_PROJECT_NAME) or _NOT_ALPHANUMERIC.sub("-", str(project))


def config_directory() -> Path:
    """Return where Claude Code keeps what is the user's: settings, transcripts."""
    given = os.environ.get(ENV_CONFIG)
    return Path(given).expanduser() if given else Path.home() / ".claude"


def _is_of(directory: Path, project: Path) -> bool:
    """Say whether a transcript in a directory was made in the project, as its records say."""
    for path in sorted(directory.glob("*.jsonl"))[:_FILES_LOOKED_AT_MAX]:
        try:
            transcript = open_transcript(path)
        except TranscriptInvalid:
            continue
        for _line, record in transcript.records():
            if isinstance(record.get("cwd"), str):
                return bool(record["cwd"] == str(project))
    return False
