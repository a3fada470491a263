"""Payloads of hooks, and ways to hand them to the recorder: in this process, or in one each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from provenance_log.claude_code import hook
from provenance_log.claude_code.arrivals import Arrival
from provenance_log.claude_code.recorder import Recorder
from provenance_log.settings import Settings, default_settings
from provenance_log.store import Store

SESSION = "11111111-2222-4333-8444-555555555555"
SETTINGS: Settings = default_settings()
HOOK_FILE = Path(hook.__file__)
COMMAND = [sys.executable, "-I", "-S", str(HOOK_FILE)]

Payload = dict[str, Any]


def payload(event: str, /, **fields: Any) -> Payload:
    return {"session_id": SESSION, "hook_event_name": event, "cwd": "/home/me/lab", **fields}


def pre(tool_use_id: str | None, tool: str = "Bash", **fields: Any) -> Payload:
    return _of_call("PreToolUse", tool_use_id, tool, fields)


def post(tool_use_id: str | None, tool: str = "Bash", **fields: Any) -> Payload:
    fields = {"tool_response": {"stdout": f"of {tool_use_id}"}, **fields}
    return _of_call("PostToolUse", tool_use_id, tool, fields)


def failed(tool_use_id: str | None, error: str = "Exit code 2\nno", **fields: Any) -> Payload:
    return _of_call("PostToolUseFailure", tool_use_id, "Bash", {"error": error, **fields})


def _of_call(event: str, tool_use_id: str | None, tool: str, fields: Payload) -> Payload:
    fields = {"tool_name": tool, "tool_input": {"command": f"echo {tool_use_id}"}, **fields}
    return payload(event, **({"tool_use_id": tool_use_id} if tool_use_id else {}), **fields)


class Feed:
    """Records payloads one after the other, a second apart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.recorder = Recorder(store, SETTINGS, wait_s=10)
        self.count = 0

    def __call__(self, *payloads: Payload) -> None:
        for one in payloads:
            self.recorder.record(self.arrival(one))

    def arrival(self, one: Payload) -> Arrival:
        self.count += 1
        minute, second = divmod(self.count, 60)
        time = f"2026-03-01T09:{minute:02d}:{second:02d}.000000Z"
        context = {"working_directory": one.get("cwd", ""), "git_branch": "main"}
        return Arrival(one, time, context, f"00000000-0000-4000-8000-{self.count:012d}")


def run_hook(
    data: bytes, project: Path, *, cwd: Path | None = None, command: list[str] = COMMAND
) -> tuple[int, bytes, bytes]:
    """Run the recorder as Claude Code does; return its exit code and what it printed."""
    environment = {"PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(project)}
    done = subprocess.run(
        command, input=data, capture_output=True, env=environment, cwd=cwd, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


SILENT = (0, b"", b"")


def project_of(store: Store) -> Path:
    return store.root.parent.parent


def as_bytes(one: Payload) -> bytes:
    return json.dumps(one).encode()
