"""What fuzzing begins with: valid inputs of each target, and tokens that are hostile in all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attacks.poison_logs import small_log

_SESSION = "11111111-2222-4333-8444-555555555555"
_TOKENS = (
    b'"timestamp":"2026-01-10T14:30:15.000000Z"',
    *(b'"action_id":', b'"type":"read"', b'"tool":"Read"', b'"status":"success"', b'"prev":'),
    *(b'"details":{', b'"context":{}', b'"files_affected":[]', b'"entity_links":[{}]'),
    *(b'"duration_ms":', b'"read_only":true', b'"error":{}', b'"event_type":"lifecycle"'),
    *(b'"event_name":"session_start"', b'"session":{"session_id":"x"}', b'"usage":{}'),
    *(b'"parentUuid":null', b'"sessionId":"', b'"message":{"role":"user","content":"'),
    *(b'"type":"tool_use"', b'"type":"tool_result"', b'"tool_use_id":"t1"', b'"isSidechain":true'),
    *(b'"hook_event_name":"PostToolUse"', b'"session_id":"', b'"tool_name":"Bash"', b'"cwd":"/"'),
    *(b"9007199254740993", b"1e309", b"-0", b"NaN", b"Infinity", b"2147483648", b"1e-400"),
    *(b"\\ud800", b"\\udc00", b"\\u0000", b"\\u2028", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xff"),
    *(b"\x00", b"\r", b"\n", b"\\n", b"[[[[", b"{{", b"\\\\", b"\x1b[31m", b"\xef\xbb\xbf"),
    *(b"2026-13-01T25:61:60Z", b"0000-01-01T00:00:00Z", b"9999-12-31T23:59:60.999999+14:00"),
    *(b"password=", b"Bearer ", b"-----BEGIN PRIVATE KEY-----", b"AKIAIOSFODNN7EXAMPLE"),
    *(b"[redacted:x:00000000]", b'"_redacted":[', b"ghp_", b"://user:pass@", b"--token", b"eyJ"),
)


def dictionary() -> str:
    """Return the tokens in the form that libFuzzer reads."""
    return "".join(f'"{_escaped(token)}"\n' for token in _TOKENS)


def _escaped(token: bytes) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\x{byte:02x}"
        for byte in token
    )


def _log_seeds() -> list[bytes]:
    lines = small_log().splitlines(keepends=True)
    by_hand = (
        b'{"timestamp":"2026-01-10 14:30:15","action_id":7,"type":"read","tool":"R",'
        b'"status":"partial","duration_ms":-3,"details":null}\n'
    )
    return [
        *lines[:4],
        b"".join(lines[:4]),
        b"".join(lines[:3]) + lines[3][:70],
        b"".join(lines[:2]) + b"\0" * 50 + lines[2],
        b"not json\n\n\xff\n" + lines[0],
        by_hand,
    ]


def _line_seeds() -> list[bytes]:
    lines = small_log().split(b"\n")
    return [*lines[:5], b"{}", b"[1]", b'"a"', b"null", b" ", lines[3].replace(b'"', b' "', 3)]


def _transcript_seeds() -> list[bytes]:
    envelope = {
        "parentUuid": None,
        "isSidechain": False,
        "cwd": "/home/me/lab",
        "sessionId": _SESSION,
        "version": "2.1.42",
        "gitBranch": "main",
    }
    use = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "done"}
    answer = {"id": "m1", "role": "assistant", "model": "claude", "usage": {"input_tokens": 3}}
    bodies: list[dict[str, Any]] = [
        {"type": "user", "message": {"role": "user", "content": "hello"}},
        {"type": "assistant", "message": {**answer, "content": [use]}, "requestId": "r1"},
        {"type": "user", "message": {"role": "user", "content": [result]}},
        {"type": "system", "subtype": "compact_boundary", "content": "x"},
        {"type": "summary", "summary": "what it was", "leafUuid": "u1"},
    ]
    records = [
        json.dumps(
            {**envelope, "uuid": f"u{number}", "timestamp": f"2026-02-01T10:00:0{number}Z", **body}
        ).encode()
        for number, body in enumerate(bodies)
    ]
    whole = b"\n".join(records) + b"\n"
    return [whole, *(record + b"\n" for record in records), whole[:500], records[0] + records[1]]


def _payload_seeds() -> list[bytes]:
    common = {"session_id": _SESSION, "cwd": "/home/me/lab", "transcript_path": "/x.jsonl"}
    call = {"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "t1"}
    events: list[dict[str, Any]] = [
        {"hook_event_name": "SessionStart", "source": "startup"},
        {"hook_event_name": "SessionStart", "source": "resume", "model": "claude"},
        {"hook_event_name": "UserPromptSubmit", "prompt": "hello", "prompt_id": "p"},
        {"hook_event_name": "PreToolUse", **call},
        {"hook_event_name": "PostToolUse", **call, "tool_response": {"stdout": "a"}},
        {"hook_event_name": "PostToolUseFailure", **call, "error": "Exit code 2"},
        {"hook_event_name": "Notification", "message": "m", "effort": {"level": "high"}},
        {"hook_event_name": "SubagentStop", "agent_id": "a1", "agent_type": "x"},
        {"hook_event_name": "Stop", "stop_hook_active": False},
        {"hook_event_name": "SessionEnd", "reason": "exit"},
        {**call, "tool_response": ["old", "payload"]},
    ]
    return [json.dumps({**common, **event}).encode() for event in events]


def _secret_seeds() -> list[bytes]:
    return [
        b'{"command":"curl -H \'Authorization: Bearer abcdefghijklmnop1234567890\'"}',
        b'{"env":[{"name":"DB_PASSWORD","value":"hunter2hunter2"}],"password":"s3cr3t-s3cr3t"}',
        b'["--token","ghp_0123456789abcdefghijABCDEFGHIJ012345"]',
        b"postgres://user:pa55word@db.example/x AKIAIOSFODNN7EXAMPLE",
        b"-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        b'{"note":"no secret at all","count":12}',
        b'{"out":"\\u001b[1;31mpassword\\u001b[0m: \\u001b[32mhunter2hunter2\\u001b[0m"}',
        b"AKIA33LLKEVZ5N4TFH4Xghp_0123456789abcdefghijABCDEFGHIJ012345",
        b'{"a":["sk-","live_","0123456789abcdefghijklmnop"]}',
    ]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "reader": _log_seeds,
    "decoder": _line_seeds,
    "redaction": _secret_seeds,
    "projector": _log_seeds,
    "importer": _transcript_seeds,
    "hook": _payload_seeds,
}
"""Valid inputs, and some that are nearly so, by target."""
