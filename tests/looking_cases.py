"""Stores to look at, and text that should do no harm to whoever looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from provenance_log import SessionHeader, initialise_store, open_store, start_session
from provenance_log.cli import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

    from provenance_log.store import Store

STARTED_AT = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear screen": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "C1": "\x9b31m\x9d0;t\x9c",
    "bidi": "\u202egnp.exe\u2066x\u2069",
    "carriage return": "safe\rrm -rf /",
    "backspace": "good\b\b\b\bevil",
    "separators": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "hidden": "zero\u200bwidth\ufeff\U000e0041tag",
    "NUL and DEL": "a\x00b\x7fc",
    "lines": "one\ntwo\tthree",
}
"""Text as an agent may read it anywhere and as a log then holds it."""

ALL_HOSTILE = " ".join(HOSTILE.values())


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The printed JSON."""
        return orjson.loads(self.out)


Provlog: TypeAlias = Callable[..., Ran]
"""Called with a store and the arguments of a command."""


def run_provlog(capsys: pytest.CaptureFixture[str], store: Store, *arguments: str) -> Ran:
    """Run one command line in this process."""
    capsys.readouterr()
    code = run([*arguments, "--root", str(store.root)])
    captured = capsys.readouterr()
    return Ran(code, captured.out, captured.err)


def make_store(directory: Path) -> Store:
    """Make an empty store for tests that share one and only look."""
    root = directory / ".claude" / "provenance"
    initialise_store(root)
    return open_store(root)


def tool_call(
    tool: str,
    given: Mapping[str, Any],
    *,
    status: str = "success",
    duration_ms: int | None = 10,
    action_type: str = "read",
    **more: Any,
) -> dict[str, Any]:
    """Return the action of one tool call."""
    return {
        "timestamp": "2026-01-31T10:00:05Z",
        "type": action_type,
        "tool": tool,
        "status": status,
        "event_type": "tool_call",
        "event_name": tool,
        "duration_ms": duration_ms,
        "details": {"input_params": dict(given)},
        **more,
    }


def decision(point: str, taken: str, reason: str) -> dict[str, Any]:
    """Return the action of one decision."""
    return {
        "timestamp": "2026-01-31T10:00:07Z",
        "type": "decision",
        "tool": "Planner",
        "status": "success",
        "event_type": "decision",
        "event_name": "choice",
        "details": {"decision_point": point, "branch_taken": taken, "reason": reason},
    }


def message(message_id: str, model: str, output_tokens: int) -> dict[str, Any]:
    """Return one piece of a message of a model, with its usage so far."""
    usage = {
        "input_tokens": 5,
        "output_tokens": output_tokens,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 1000,
    }
    return {
        "timestamp": "2026-01-31T10:00:08Z",
        "type": "read",
        "tool": "Assistant",
        "status": "success",
        "event_type": "log",
        "event_name": "assistant_message",
        "details": {"text": "hello", "message_id": message_id, "model": model, "usage": usage},
    }


def record(
    store: Store,
    actions: Sequence[Mapping[str, Any]] = (),
    *,
    session_id: str,
    started_at: datetime = STARTED_AT,
    success: bool | None = None,
    **header: Any,
) -> str:
    """Record one session, ended if `success` says how, and return the name of its directory."""
    given = {"agent_type": "tester", "query": "what is there?", **header}
    recording = start_session(
        store, SessionHeader(session_id=session_id, **given), started_at=started_at
    )
    recording.append_many(list(actions))
    if success is None:
        recording.close()
    else:
        recording.end(success=success)
    return recording.directory.name


def hostile_session(store: Store) -> str:
    """Record a session whose every text is hostile, and return its id."""
    error = {"message": ALL_HOSTILE, "code": ALL_HOSTILE}
    actions = [
        tool_call(
            ALL_HOSTILE,
            {"command": ALL_HOSTILE},
            files_affected=[ALL_HOSTILE],
            entity_links=[
                {"entity_table": ALL_HOSTILE, "entity_id": "1", "link_type": ALL_HOSTILE}
            ],
        ),
        tool_call("Bash", {"command": ALL_HOSTILE}, status="failure", error=error),
        decision(ALL_HOSTILE, ALL_HOSTILE, ALL_HOSTILE),
        message("m", ALL_HOSTILE, 7),
    ]
    session_id = "evil" + ALL_HOSTILE
    record(
        store,
        actions,
        session_id=session_id,
        agent_type=ALL_HOSTILE,
        agent_version=ALL_HOSTILE,
        query=ALL_HOSTILE,
        model=ALL_HOSTILE,
        project=ALL_HOSTILE,
        goals=[ALL_HOSTILE],
        kwargs={ALL_HOSTILE: ALL_HOSTILE},
    )
    return session_id
