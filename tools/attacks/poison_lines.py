"""Lines that three parsers may read differently: Python, DuckDB and jq, over the same ones (T14).

Generated, not recorded: numbers at the limits, escapes, halves of surrogate pairs, keys that are
there twice, depth, raw bytes, and good lines with something cut out of them or put into them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import duckdb

from attacks.effort import Effort
from attacks.poison_logs import disagreements, same
from attacks.scoring import Attacked
from projections.database import connect
from projections.projector import catch_up
from provenance_log.errors import LineInvalid
from provenance_log.format import REASONS, decode
from provenance_log.reader import RawLine, read_log
from provenance_log.store import Store

LINES_PER_BATCH = 4_000
_HEAD = (
    b'{"timestamp":"2026-01-10T14:30:15.000000Z","action_id":%d,"type":"read","tool":"Read",'
    b'"status":"success","details":'
)
_NUMBERS = (
    *("0", "-0", "1", "-1", "1.0", "0.1", "1e3", "1E+3", "1e-3", "123456789012345678"),
    *("9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740991"),
    *("-9007199254740993", "9223372036854775807", "9223372036854775808", "1e308", "1e309"),
    *("1.7976931348623157e308", "1.7976931348623159e308", "5e-324", "2e-324", "1e-400"),
    *("0.30000000000000004", "2.2250738585072011e-308", "3.141592653589793238462643", "1e400"),
    *("NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "1e", "0x10", "1_000", "9" * 400),
)
_TEXTS = (
    *('""', '"a"', '"\\u0000"', '"\\ud800"', '"\\udc00"', '"\\ud83c\\udff7"', '"\\ud83c\\ud83c"'),
    *('"\\u2028\\u2029\\u0085"', '"\u2028\u2029\u0085"', '"\\/\\b\\f\\n\\r\\t"', '"\\x41"'),
    *('"\\u00e9 é e\u0301"', '"\U0001f3f7 \ufeff \u202e"', '"<script>"', "'a'", '"\t"', '"\x7f"'),
    *('"\\uD834\\uDD1E"', '"[redacted:x:00000000]"', '"=1+1"', '"\\u12"', '"a', '"\\"'),
)
_WORDS = ("true", "false", "null", "True", "nil", "[]", "{}", "[,]", "[1,]", '{"a":1,}', "{a:1}")
_RAW = (b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80", b"\r")
_SPACE = ("", " ", "\t", "\r", "  \t", "\x0b", "\u00a0", "\x0c")


def documents(random: Random, depth: int = 0) -> str:
    """Return one JSON value, or something that is nearly one."""
    kind = random.randrange(8) if depth < 5 else random.randrange(4)
    if kind < 2:
        return random.choice(_NUMBERS)
    if kind == 2:
        return random.choice(_TEXTS)
    if kind == 3:
        return random.choice(_WORDS)
    space = random.choice(_SPACE) if random.random() < 0.1 else ""
    items = [documents(random, depth + 1) for _ in range(random.randrange(4))]
    if kind < 6:
        return "[" + f",{space}".join(items) + "]"
    keys = [random.choice(('"a"', '"b"', '"a\\u0000"', '"\\u0061"', '""')) for _ in items]
    members = [f"{key}:{space}{item}" for key, item in zip(keys, items, strict=True)]
    return "{" + ",".join(members) + "}"


def tame(random: Random, depth: int = 0) -> str:
    """Return a value that any parser should take, so that many lines are accepted."""
    kind = random.randrange(6) if depth < 5 else random.randrange(3)
    if kind == 0:
        return repr(random.choice((random.randrange(-(2**53) + 1, 2**53), random.random() * 1e9)))
    if kind == 1:
        text = "".join(chr(random.choice((0x0A, 0x41, 0xE9, 0x2028, 0x1F3F7))) for _ in range(5))
        return json.dumps(text, ensure_ascii=random.random() < 0.5)
    if kind == 2:
        return random.choice(("true", "false", "null", "[]", "{}"))
    items = [tame(random, depth + 1) for _ in range(random.randrange(4))]
    if kind < 5:
        return "[" + ",".join(items) + "]"
    return "{" + ",".join(f'"k{index}":{item}' for index, item in enumerate(items)) + "}"


def line(random: Random, number: int) -> bytes:
    """Return one line without its newline: hostile, tame, or tame and then damaged."""
    value = documents(random) if random.random() < 0.5 else tame(random)
    if random.random() < 0.02:
        depth = random.choice((100, 126, 127, 128, 129, 1_000, 20_000))
        value = "[" * depth + value + "]" * depth
    data = _HEAD % number + b'{"value":' + value.encode("utf-8", "surrogatepass") + b"}"
    data += random.choice((b"", b"", b',"prev":null', b',"duration_ms":%d' % random.randrange(99)))
    data += b"}"
    if random.random() < 0.15:
        position = random.randrange(len(data) + 1)
        end = position + random.choice((0, 0, 1, 3))
        data = data[:position] + random.choice((*_RAW, b"")) + data[end:]
    return data.replace(b"\n", b" ")


def parsers(effort: Effort) -> list[Attacked]:
    """Let Python, DuckDB and jq read the same lines, and the projector project them (A3, B3).

    What our reader takes is one value to all three, and is an event; what it refuses has a reason
    that is documented, and is in quarantine. `times` counts batches of `LINES_PER_BATCH` lines.
    """
    row = Attacked("poison: lines for three parsers", "lines")
    for number in effort.numbers():
        random = effort.random(number)
        lines = [line(random, index + 1) for index in range(LINES_PER_BATCH)]
        store = effort.store(f"lines-{number}")
        row.injected += len(lines)
        row.runs += 1
        found = list(of_lines(store, lines))
        row.violated(found, f"seed {effort.seed}, batch {number}, kept in {store.root}")
        if not found:
            shutil.rmtree(store.root)
        effort.say(f"{row.injected} lines")
    return [row]


def of_lines(store: Store, lines: Sequence[bytes]) -> Iterator[str]:
    """Yield every disagreement over some lines, as the log of one session."""
    log = store.sessions_dir / "lines" / "actions.jsonl"
    log.parent.mkdir()
    log.write_bytes(b"".join(one + b"\n" for one in lines))
    raws = [raw for chunk in read_log(log) for raw in chunk.lines]
    if [raw.content for raw in raws] != list(lines):
        yield "the lines that are read are not those that were written"
    yield from disagreements(raws)
    accepted = [raw for raw in raws if _is_taken(raw)]
    without_doubles = [raw for raw in accepted if not has_key_twice(raw.content or b"")]
    yield from _differing("DuckDB", without_doubles, by_duckdb)
    if shutil.which("jq"):
        yield from _differing("jq", accepted, by_jq)
    yield from _in_tables(store, raws, accepted)


def _is_taken(raw: RawLine) -> bool:
    try:
        decode(raw.content or b"")
    except LineInvalid:
        return False
    return True


def _differing(
    name: str, accepted: Sequence[RawLine], parse: Callable[[Sequence[bytes]], list[Any]]
) -> Iterator[str]:
    values = parse([raw.content or b"" for raw in accepted])
    if len(values) != len(accepted):
        yield f"{name} reads {len(values)} values of {len(accepted)} lines"
        return
    for raw, value in zip(accepted, values, strict=True):
        content = raw.content or b""
        if not same(decode(content).get("details"), value):
            yield f"{name} reads another value: {content.hex()}"


def has_key_twice(line: bytes) -> bool:
    """Say whether an object of a line has a key twice.

    The last one counts in Python, in jq and in the tables; DuckDB's own operators take the first.
    """
    found = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.append(len(dict(pairs)) < len(pairs))
        return dict(pairs)

    json.loads(line, object_pairs_hook=look)
    return any(found)


def by_jq(lines: Sequence[bytes]) -> list[Any]:
    """Return the details of each line as jq reads them, up to the first that it refuses."""
    data = b"".join(one + b"\n" for one in lines)
    done = subprocess.run(["jq", "-ca", ".details"], input=data, capture_output=True, check=False)
    return [json.loads(text) for text in done.stdout.splitlines()]


def by_duckdb(lines: Sequence[bytes]) -> list[Any]:
    """Return the details of each line as DuckDB reads them."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT (line::JSON)->'$.details' FROM (SELECT unnest(?::VARCHAR[]) AS line)",
            [[one.decode() for one in lines]],
        ).fetchall()
    return [None if text is None else json.loads(text) for (text,) in rows]


def _in_tables(store: Store, raws: Sequence[RawLine], accepted: Sequence[RawLine]) -> Iterator[str]:
    report = catch_up(store)
    yield from report.problems
    with connect(store.database, read_only=True) as connection:
        details = dict(connection.execute("SELECT line_number, details FROM provenance_events"))
        refused = connection.execute("SELECT line_number, reason FROM provenance_quarantine")
    if details.keys() != {raw.line_number for raw in accepted}:
        yield f"events: {len(details)} lines, and {len(accepted)} were accepted"
        return
    if len(refused) + len(details) != len(raws) or not {why for _, why in refused} <= {*REASONS}:
        yield f"quarantine: {len(refused)} of {len(raws)} lines, { ({why for _, why in refused}) }"
    for raw in accepted:
        expected = decode(raw.content or b"").get("details") or {}
        if not same(expected, json.loads(details[raw.line_number])):
            yield f"the tables hold another value: {(raw.content or b'').hex()}"
