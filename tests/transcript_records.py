"""Small records of Claude Code transcripts, for tests that need a transcript of their own."""

import json
from pathlib import Path
from typing import Any

SESSION = "11111111-2222-4333-8444-555555555555"

Record = dict[str, Any]


class Script:
    """Writes records one after the other, a second apart, in the shape that Claude Code gives."""

    def __init__(self, session_id: str = SESSION, **envelope: Any) -> None:
        self.records: list[Record] = []
        self.envelope = {
            "isSidechain": False,
            "userType": "external",
            "cwd": "/home/me/lab",
            "sessionId": session_id,
            "version": "2.1.42",
            "gitBranch": "main",
            **envelope,
        }

    def add(self, kind: str, **fields: Any) -> Record:
        number = len(self.records)
        minute, second = divmod(number, 60)
        speaker = f"{self.envelope['sessionId'][:8]}-{self.envelope.get('agentId', 'main')}"
        record = {
            **self.envelope,
            "type": kind,
            "uuid": f"uuid-{speaker}-{number}",
            "timestamp": f"2026-02-01T10:{minute:02d}:{second:02d}.000Z",
            **fields,
        }
        self.records.append(record)
        return record

    def prompt(self, text: Any, **fields: Any) -> Record:
        return self.add("user", message={"role": "user", "content": text}, **fields)

    def answer(self, *blocks: Any, message_id: str = "msg_1", **fields: Any) -> Record:
        body = {
            "id": message_id,
            "role": "assistant",
            "model": fields.pop("model", "claude-opus-4"),
            "content": list(blocks),
            "stop_reason": None,
            "usage": fields.pop("usage", {"input_tokens": 3, "output_tokens": 5}),
        }
        return self.add("assistant", message=body, requestId=f"req-{message_id}", **fields)

    def result(
        self, tool_use_id: str, content: Any = "done", *, is_error: bool = False, **fields: Any
    ) -> Record:
        block = {"type": "tool_result", "tool_use_id": tool_use_id, "content": content}
        if is_error:
            block["is_error"] = True
        return self.add("user", message={"role": "user", "content": [block]}, **fields)

    def call(self, tool_use_id: str, name: str = "Read", **tool_input: Any) -> Record:
        return self.answer(use(tool_use_id, name, **tool_input), message_id=f"msg_{tool_use_id}")

    def agent_progress(self, agent_id: str, parent: str, said: Record) -> Record:
        data = {"type": "agent_progress", "agentId": agent_id, "message": said, "prompt": "go"}
        return self.add("progress", data=data, parentToolUseID=parent, toolUseID="x")

    def write(self, path: Path, count: int | None = None) -> Path:
        return write_records(path, self.records[:count])


def use(tool_use_id: str, name: str = "Read", **tool_input: Any) -> Record:
    """A tool_use block."""
    return {"type": "tool_use", "id": tool_use_id, "name": name, "input": tool_input}


def text(value: str) -> Record:
    """A text block."""
    return {"type": "text", "text": value}


def write_records(path: Path, records: list[Record]) -> Path:
    """Write a transcript and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path
