"""What the tests of the projector share: logs written line by line, and tables to look into."""

import hashlib
from datetime import datetime
from typing import Any

import orjson
from attacks.memory_tables import (
    LINES,
    cleared_tables,
    empty_tables,
    project,
    rebuilt,
    session_end,
    session_start,
)
from hypothesis import settings

from projections.database import Connection
from provenance_log.format import GENESIS_PREV, line_hash
from provenance_log.store import Store

__all__ = [
    "LINES",
    "cleared_tables",
    "empty_tables",
    "project",
    "rebuilt",
    "session_end",
    "session_start",
]


def examples(count: int) -> settings:
    """Fewer examples than usual, for a property of which each costs a database or two.

    A profile that asks for more than the usual hundred gets them.
    """
    usual = settings.default.max_examples if settings.default else 100
    return settings(max_examples=usual if usual > 100 else count)


def action(number: int, **changes: Any) -> dict[str, Any]:
    """One action as an appender would write it, but for what `changes` says; None leaves out."""
    value = {
        "timestamp": f"2026-01-02T03:04:05.{number:06d}Z",
        "action_id": number,
        "type": "read",
        "tool": "Read",
        "status": "success",
        "event_type": "tool_call",
        "event_name": "Read",
        "database_event_id": f"event-{number}",
        **changes,
    }
    return {key: item for key, item in value.items() if item is not None}


def time_of(number: int) -> datetime:
    """The time of `action(number)` as a TIMESTAMP column gives it."""
    return datetime.fromisoformat(f"2026-01-02T03:04:05.{number:06d}")


class Log:
    """A log that grows line by line, chained, or with whatever bytes somebody adds to it."""

    def __init__(self, store: Store, name: str, session_id: str | None = None) -> None:
        self.path = store.sessions_dir / name / "actions.jsonl"
        self.path.parent.mkdir()
        self.path.touch()
        self.number = 0
        if session_id is not None:
            self.add(**session_start(session_id))

    @property
    def lines(self) -> list[bytes]:
        return self.path.read_bytes().split(b"\n")[:-1]

    def add(self, **changes: Any) -> bytes:
        """Append one chained action, and return its line without the newline."""
        self.number += 1
        lines = self.lines
        prev = hashlib.sha256(lines[-1]).hexdigest() if lines else GENESIS_PREV
        line = orjson.dumps(action(self.number, prev=prev, **changes))
        self.add_bytes(line + b"\n")
        return line

    def add_bytes(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)


def rows_of(connection: Connection, table: str, columns: str = "*") -> list[dict[str, Any]]:
    return connection.rows(f"SELECT {columns} FROM provenance_{table} ORDER BY ALL")


RAW_LINES = {
    "garbage": b"not json \xff\n",
    "blank": b"\n",
    "by hand": orjson.dumps(action(5, event_type=None, prev=None)) + b"\n",
    "lone surrogate": b'{"a":"\\ud800"}\n',
}


def content_of(session_id: str, kinds: list[str]) -> bytes:
    """The bytes of a log with these lines."""
    data, prev = b"", GENESIS_PREV
    for number, kind in enumerate(["start", *kinds], start=1):
        if kind in RAW_LINES:
            line = RAW_LINES[kind][:-1]
        else:
            changes = session_start(session_id) if kind == "start" else LINES[kind]
            event_id = f"{session_id}-{number}"
            line = orjson.dumps(action(number, database_event_id=event_id, **changes, prev=prev))
        data += line + b"\n"
        prev = line_hash(line)
    return data


def rewrite(log: Log, lines: list[bytes]) -> None:
    """Write these lines into the same file, as an editor would that keeps the inode."""
    with log.path.open("r+b") as file:
        file.truncate(0)
        file.write(b"".join(line + b"\n" for line in lines))
