"""What the field failures share: sessions as agents record them, ways to die, what is left."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from log_cases import read_all

from projections.database import Connection, connect
from projections.projector import catch_up
from provenance_log import Recording, SessionHeader, start_session
from provenance_log.recording import reopen_session
from provenance_log.store import Store
from provenance_log.verifying import verify_log

WAIT_S = 60.0
"""Only a failure takes this long."""

KILLED = """if True:
    import os, signal, sys
    from pathlib import Path
    from provenance_log.appender import Appender

    whole = os.write

    def torn(fd, data):
        whole(fd, bytes(data)[:int(sys.argv[2])])
        os.kill(os.getpid(), signal.SIGKILL)

    os.write = torn
    action = {"type": "read", "tool": sys.argv[3], "status": "success"}
    action["database_event_id"] = sys.argv[3]
    action["details"] = {"output_data": "x" * int(sys.argv[4])}
    Appender(Path(sys.argv[1])).append(action)
"""
"""Appends one action (log, bytes until the kill, tool and event id, bytes of output), and dies."""


def started(store: Store, session_id: str = "s1", *tools: str) -> Recording:
    """A session with one call of each tool."""
    recording = start_session(store, SessionHeader(agent_type="example", session_id=session_id))
    for tool in tools:
        recording.append(call(tool))
    return recording


def resumed(store: Store, session_id: str = "s1", *tools: str) -> Recording:
    recording = reopen_session(store, session_id)
    assert recording is not None
    for tool in tools:
        recording.append(call(tool))
    return recording


def call(tool: str, output: Any = None, **more: Any) -> dict[str, Any]:
    details = {} if output is None else {"output_data": output}
    return {
        "type": "read",
        "tool": tool,
        "status": "success",
        "event_type": "tool_call",
        "details": details,
        **more,
    }


def die_appending(log: Path, size_bytes: int, tool: str, *, output_bytes: int = 40) -> None:
    """Append from a process that is killed after so many bytes of its line."""
    arguments = [str(log), str(size_bytes), tool, str(output_bytes)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=WAIT_S, check=False)
    assert done.returncode == -signal.SIGKILL


def tools_of(log: Path) -> list[str]:
    """The tools of the session's calls, as a reader finds them."""
    return [value["tool"] for value in read_all(log).values if value["tool"] != "AgentExecution"]


Found = tuple[list[str], list[tuple[int, str]]]
"""The tools of the calls of a session, and its lines that are none, with line and reason."""


def seen(store: Store) -> dict[str, Found]:
    """What the tables have of each session, by its id, after catching up.

    The reader and `verify` have to agree with them on what is an action and what is none.
    """
    report = catch_up(store)
    assert report.problems == ()
    with connect(store.database, read_only=True, wait_s=WAIT_S) as connection:
        logs = dict(connection.execute("SELECT session_id, log FROM provenance_sessions"))
        return {
            session_id: _of_session(connection, session_id, store.sessions_dir / log)
            for session_id, log in sorted(logs.items())
        }


def _of_session(connection: Connection, session_id: str, directory: Path) -> Found:
    tools = connection.execute(
        "SELECT tool FROM provenance_events WHERE session_id = ? AND tool <> 'AgentExecution'"
        " ORDER BY line_number",
        [session_id],
    )
    bad = connection.execute(
        "SELECT line_number, reason FROM provenance_quarantine WHERE session_id = ?"
        " ORDER BY line_number",
        [session_id],
    )
    log = directory / "actions.jsonl"
    found = [tool for (tool,) in tools], bad
    assert (tools_of(log), read_all(log).bad) == found
    (schema,) = (level for level in verify_log(log).levels if level.name == "schema")
    assert schema.count == len(bad)
    return found


def run_script(script: str, *arguments: object) -> Any:
    """Run Python in a process of its own and return the JSON that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=WAIT_S * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
