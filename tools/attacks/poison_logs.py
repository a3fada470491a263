"""Every cut and every flipped bit of a log of 8 KiB, before the appender, the readers and SQL.

Whoever reads a damaged log has to say the same of it: the reader, `verify`, and the projector.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from sample_action import ACTION

from attacks.effort import Effort
from attacks.scoring import Attacked
from projections import layout
from projections.batch import decode_lines
from projections.database import Connection, connect
from projections.work import Projector
from provenance_log.appender import Appender
from provenance_log.errors import LineInvalid
from provenance_log.format import GENESIS_PREV, decode, encode, line_hash
from provenance_log.reader import START, RawLine, read_chunk, read_log
from provenance_log.store import Store
from provenance_log.verifying import verify_log
from provenance_log.verifying_levels import Schema

SIZE_BYTES = 8192
_LINES = 20
_LOGS_PER_DATABASE = 512
_TIME = "2026-01-10T14:30:15.000000Z"
_TEXTS = ("plain", "é € 𝄞", 'quotes " and \\ and \n', "\x00\x1f\x7f\u2028", "1e5", "[[{}]]")


def small_log(seed: int = 0) -> bytes:
    """Return a chained log of exactly 8 KiB with an id of its own, of many kinds of values."""
    lines: list[bytes] = []
    prev = GENESIS_PREV
    for number in range(1, _LINES + 1):
        size = sum(map(len, lines))
        content = _line(number, prev, seed, "")
        if number == _LINES:
            content = _line(number, prev, seed, "x" * (SIZE_BYTES - size - len(content) - 1))
        lines.append(content + b"\n")
        prev = line_hash(content)
    return b"".join(lines)


def _line(number: int, prev: str, seed: int, padding: str) -> bytes:
    action: dict[str, Any] = {"timestamp": _TIME, **ACTION}
    if number == 1:
        session = {"session_id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(seed)))}
        action |= {"event_type": "lifecycle", "event_name": "session_start"}
        return encode(action | {"details": {"session": session}}, action_id=1, prev=prev)
    details = {
        "call_id": f"c{number}",
        "output_data": [number, -number / 7, None, True, _TEXTS[number % len(_TEXTS)] + padding],
    }
    return encode(action | {"details": details}, action_id=number, prev=prev)


def chosen(effort: Effort, count: int) -> Iterator[int]:
    """Yield every case once where the effort has no limit, and random ones where it has."""
    if effort.times is None and math.isinf(effort.deadline):
        yield from range(count)
        return
    for number in effort.numbers():
        yield effort.random(number).randrange(count)


def cuts_then_append(effort: Effort) -> list[Attacked]:
    """Cut the log at every byte and append to what is left (F03: A5).

    What was there stays as it was, a fragment is sealed and is the one line in quarantine, and
    the line that is appended is chained to it. Exhaustive; a random sample of the cuts under a
    limit.
    """
    row = Attacked("poison: cut, then append", "cuts")
    content = small_log()
    log = effort.directory / "cut" / "actions.jsonl"
    log.parent.mkdir()
    for size_bytes in chosen(effort, len(content) + 1):
        log.write_bytes(content[:size_bytes])
        appender = Appender(log)
        appended = appender.append(ACTION)
        appender.close()
        row.injected += 1
        row.runs += 1
        found = list(_after_cut(log, content, size_bytes, appended.hash))
        row.violated(found, f"cut at byte {size_bytes}")
        effort.say(f"cut at byte {size_bytes}")
    return [row]


def _after_cut(log: Path, content: bytes, size_bytes: int, appended: str) -> Iterator[str]:
    kept = content[:size_bytes]
    whole = kept.count(b"\n")
    fragment = kept[kept.rfind(b"\n") + 1 :]
    is_line = bool(fragment) and content[size_bytes : size_bytes + 1] == b"\n"
    raws = _raw_lines(log)
    refused = _classified(raws)
    data = log.read_bytes()
    if not data.startswith(kept):
        yield "bytes that were there have changed"
    if [raw.content for raw in raws[:whole]] != content.split(b"\n")[:whole]:
        yield "a line before the cut has changed"
    if len(raws) != whole + bool(fragment) + 1 or raws[-1].hash != appended:
        yield f"there are {len(raws)} lines, or the last one is not what was appended"
    expected = [whole + 1] if fragment and not is_line else []
    if [number for number, _ in refused] != expected:
        yield f"lines {refused} are in quarantine, and it should be {expected}"
    if decode(raws[-1].content or b"")["prev"] != raws[-1].prev:
        yield "the appended line is not chained to the one before it"
    verdict = verify_log(log).verdict
    if verdict != (f"QUARANTINED({len(expected)})" if expected else "OK"):
        yield f"verify says {verdict}"


def flipped_bits(effort: Effort) -> list[Attacked]:
    """Flip every bit, and let each that reads say what it makes of the line (F70: B3).

    The reader, `verify` and the projector's decoding agree; a line that is taken is what Python's
    own parser makes of it; any division into chunks gives the same lines (B1). Exhaustive; a
    random sample under a limit.
    """
    row = Attacked("poison: flipped bit, read", "flipped bits")
    content = small_log()
    known = frozenset(content.split(b"\n"))
    fd = os.memfd_create("log")
    try:
        os.write(fd, content)
        for case in chosen(effort, len(content) * 8):
            position, bit = divmod(case, 8)
            os.pwrite(fd, bytes([content[position] ^ 1 << bit]), position)
            row.injected += 1
            row.runs += 1
            row.violated(_of_flip(fd, known, case), f"byte {position}, bit {bit}")
            os.pwrite(fd, content[position : position + 1], position)
    finally:
        os.close(fd)
    return [row]


def _of_flip(fd: int, known: frozenset[bytes], case: int) -> Iterator[str]:
    lines = read_chunk(fd, START).lines
    changed = [raw for raw in lines if raw.content not in known]
    yield from disagreements(changed)
    if case % 64 == 0 and _in_chunks(fd, 1 + case // 64 % 700) != lines:
        yield "read in chunks it has other lines"


def _in_chunks(fd: int, bytes_max: int) -> tuple[RawLine, ...]:
    lines: list[RawLine] = []
    chunk = read_chunk(fd, START, bytes_max=bytes_max)
    while chunk.lines:
        lines += chunk.lines
        chunk = read_chunk(fd, chunk.end, bytes_max=bytes_max)
    return tuple(lines)


def disagreements(raws: Sequence[RawLine]) -> Iterator[str]:
    """Yield where the reader, `verify` and the projector's decoding, or Python itself, differ."""
    schema = Schema()
    for raw in raws:
        schema.see(raw)
    refused = _classified(raws)
    rows, quarantine = decode_lines(raws, "s", "log")
    if [(row[2], row[5]) for row in quarantine] != refused:
        yield f"the projector refuses {quarantine}, the reader {refused}"
    if schema.level().count != len(refused) or sum(schema.reasons.values()) != len(refused):
        yield f"verify counts {dict(schema.reasons)}, the reader {refused}"
    if len(rows) + len(quarantine) != len(raws):
        yield "the projector's decoding lost a line"
    numbers = {number for number, _ in refused}
    for raw in raws:
        content = raw.content or b""
        if raw.line_number not in numbers and not same(decode(content), json.loads(content)):
            yield f"line {raw.line_number} is not what Python makes of it"


def flips_projected(effort: Effort) -> list[Attacked]:
    """Flip one bit of each of many sessions and project them, hundreds to a database (B3, D2).

    Of each log the tables hold as many events, and the quarantine the same lines for the same
    reasons, as its reader finds. `times` counts logs, without it one flip per byte.
    """
    row = Attacked("poison: flipped bit, projected", "flipped bits")
    cases = iter(chosen(effort, SIZE_BYTES))
    number = 0
    while batch := list(islice(cases, _LOGS_PER_DATABASE)):
        store = effort.store(f"flips-{number}")
        logs = dict(enumerate(batch))
        for index, position in logs.items():
            _put(store, index, _flipped(small_log(index), position, effort.random(position)))
        row.injected += len(batch)
        row.runs += len(batch)
        found = [f"{text}; kept in {store.root}" for text in project_and_compare(store)]
        row.violated(found, f"flips {batch[0]} to {batch[-1]}, seed {effort.seed}")
        if not found:
            shutil.rmtree(store.root)
        number += 1
        effort.say(f"projected {row.runs} logs")
    return [row]


def _flipped(content: bytes, position: int, random: Random) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 1 << random.randrange(8)
    return bytes(changed)


def _put(store: Store, index: int, content: bytes) -> None:
    directory = store.sessions_dir / f"flip-{index:05d}"
    directory.mkdir()
    (directory / "actions.jsonl").write_bytes(content)


def project_and_compare(store: Store) -> Iterator[str]:
    """Project all logs of a store, and yield where the tables and a reader differ."""
    with connect(store.database, read_only=False) as connection:
        layout.create_tables(connection)
        projector = Projector(store)
        projector.run(connection)
        yield from projector.problems
        yield from _in_tables(store, connection)


def _in_tables(store: Store, connection: Connection) -> Iterator[str]:
    quarantine: dict[str, list[tuple[int, str]]] = {}
    sql = "SELECT log, line_number, reason FROM provenance_quarantine ORDER BY ALL"
    for log, line_number, reason in connection.execute(sql):
        quarantine.setdefault(log, []).append((line_number, reason))
    counts = dict(
        connection.execute(
            "SELECT s.log, count(*) FROM provenance_events JOIN provenance_sessions s"
            " USING (session_id) GROUP BY ALL"
        )
    )
    for directory in store.session_directories():
        raws = _raw_lines(directory.log)
        refused = _classified(raws)
        found = counts.get(directory.name, 0), quarantine.get(directory.name, [])
        if found != (len(raws) - len(refused), refused):
            yield f"{directory.name}: the tables have {found}, the reader refuses {refused}"


def _raw_lines(log: Path) -> list[RawLine]:
    return [raw for chunk in read_log(log) for raw in chunk.lines]


def _classified(raws: Sequence[RawLine]) -> list[tuple[int, str]]:
    """Return the number and reason of every line that is no action."""
    refused: list[tuple[int, str]] = []
    for raw in raws:
        try:
            decode(raw.content or b"")
        except LineInvalid as error:
            refused.append((raw.line_number, error.reason))
    return refused


def same(one: Any, other: Any) -> bool:
    """Say whether two parsed values are equal: 1.0 is 1, but true is not; keys in any order."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return float(one) == float(other)  # jq prints a large float without an exponent
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)
