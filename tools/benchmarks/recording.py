"""hook: a whole process of the hook recorder against a Python that does nothing.

The processes are started as Claude Code starts a hook, but for the shell: same interpreter, same
flags, the payload on stdin. The log has some lines already, and each payload is the end of a call
that was not begun, so that the recorder looks for its start as far back as it ever does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring import Result, Setting, Target, alternate, ratios
from provenance_log.claude_code import hook as recorder
from provenance_log.store import ROOT_BELOW_PROJECT, initialise_store

SESSION = "11111111-2222-4333-8444-555555555555"
LINES_BEFORE = 50
ROUNDS_MIN = 50
"""A process is over so soon that fewer rounds tell little."""

_NOTHING = [sys.executable, "-I", "-S", "-c", "pass"]
_RECORDER = [sys.executable, "-I", "-S", recorder.__file__]


def hook(setting: Setting) -> list[Result]:
    """Record one PostToolUse by a process of its own against `python -I -S -c pass`."""
    initialise_store(setting.directory / ROOT_BELOW_PROJECT)
    for number in range(setting.scaled(LINES_BEFORE)):
        _run(setting, _RECORDER, -number - 1)
    rounds = max(setting.repeat, setting.scaled(ROUNDS_MIN))
    values = alternate(
        replace(setting, repeat=rounds),
        {
            "nothing": lambda number: _run(setting, _NOTHING, number),
            "ours": lambda number: _run(setting, _RECORDER, number),
        },
    )
    times = ratios(values["ours"], values["nothing"])
    target = Target("P6", 2.5, "time")
    return [Result("hook, whole process", "python -I -S -c pass", "time", times, target, values)]


def _run(setting: Setting, command: list[str], number: int) -> float:
    payload = record_payload(setting.directory, number)
    environment = {**os.environ, "CLAUDE_PROJECT_DIR": str(setting.directory)}
    started = time.perf_counter()
    subprocess.run(command, input=payload, env=environment, check=True)
    return time.perf_counter() - started


def record_command() -> list[str]:
    """Return the command that a hook runs."""
    return list(_RECORDER)


def record_payload(project: Path, number: int, event: str = "PostToolUse") -> bytes:
    """Return what Claude Code writes to the standard input of a hook."""
    payload = {
        "session_id": SESSION,
        "hook_event_name": event,
        "cwd": str(project),
        "tool_name": "Read",
        "tool_use_id": f"toolu_{number}",
        "tool_input": {"file_path": "src/agents/growth_media.py"},
        "tool_response": {"type": "text", "file": {"content": "x" * 400, "numLines": 20}},
    }
    return json.dumps(payload).encode()
