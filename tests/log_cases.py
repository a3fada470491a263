"""Actions to append, and what every log must still be after whatever was done to it."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance_log.appender import Appender
from provenance_log.errors import LineInvalid
from provenance_log.format import GENESIS_PREV, decode, encode
from provenance_log.reader import RawLine, is_chained, read_log

TIME = "2026-01-10T14:30:15.000000Z"
APPEND_ONE = """if True:
    import sys
    from pathlib import Path
    from provenance_log.appender import Appender
    action = {"type": "read", "tool": "Read", "status": "success"}
    print(Appender(Path(sys.argv[1])).append(action).action_id)
"""
"""A script that appends one action to the log it is given, and prints its number."""


def action(**changes: Any) -> dict[str, Any]:
    return {"type": "read", "tool": "Read", "status": "success", **changes}


def line(action_id: int = 1, prev: str = GENESIS_PREV, **changes: Any) -> bytes:
    """One good line without its newline."""
    return encode(action(timestamp=TIME, **changes), action_id=action_id, prev=prev)


def chain(count: int) -> list[bytes]:
    """That many good lines, chained, each with its newline."""
    lines: list[bytes] = []
    prev = GENESIS_PREV
    for number in range(1, count + 1):
        content = line(number, prev, details={"number": number})
        lines.append(content + b"\n")
        prev = hashlib.sha256(content).hexdigest()
    return lines


@dataclass(frozen=True)
class Reading:
    """A log as a reader finds it."""

    good: list[bytes]
    values: list[dict[str, Any]]
    bad: list[tuple[int, str]]
    """Line number and reason of each line that is no action."""
    unchained: list[int]
    """Line numbers of good lines whose `prev` is not the hash of the line before."""


def raw_lines(log: Path) -> list[RawLine]:
    return [raw for chunk in read_log(log) for raw in chunk.lines]


def read_all(log: Path) -> Reading:
    reading = Reading([], [], [], [])
    for raw in raw_lines(log):
        if raw.content is None:
            reading.bad.append((raw.line_number, "too_long"))
            continue
        try:
            value = decode(raw.content)
        except LineInvalid as error:
            reading.bad.append((raw.line_number, error.reason))
            continue
        reading.good.append(raw.content)
        reading.values.append(value)
        if not is_chained(value, raw):
            reading.unchained.append(raw.line_number)
    return reading


def check_goes_on(log: Path) -> Reading:
    """The standard post-check: ten more appends succeed, and no earlier good line is lost.

    A fresh appender is used, as after a restart. Returns the log as it is then.
    """
    torn = log.exists() and not (log.read_bytes() or b"\n").endswith(b"\n")
    before = read_all(log) if log.exists() else Reading([], [], [], [])
    appender = Appender(log)
    appended = [appender.append(action(tool=f"after-{i}")) for i in range(10)]
    appender.close()
    after = read_all(log)
    start = len(after.good) - 10
    assert after.good[: len(before.good)] == before.good
    assert start - len(before.good) in ((0, 1) if torn else (0,))  # a whole line without newline
    assert [value["tool"] for value in after.values[start:]] == [f"after-{i}" for i in range(10)]
    assert [value["action_id"] for value in after.values[start:]] == [
        item.action_id for item in appended
    ]
    content = log.read_bytes()
    for item, good in zip(appended, after.good[start:], strict=True):
        assert content[item.offset : item.offset + item.length + 1] == good + b"\n"
        assert hashlib.sha256(good).hexdigest() == item.hash
    last = len(after.good) + len(after.bad)
    assert not [number for number in after.unchained if number > last - 10]
    return after


def numbers_of(log: Path) -> list[int]:
    return [value["action_id"] for value in read_all(log).values]


def locks_held() -> int:
    return Path("/proc/locks").read_text().count(f" {os.getpid()} ")


def run_python(script: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        **options,
    )
