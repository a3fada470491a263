"""Lines of 100 MB, a million keys, and names that no file should have."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from looking_cases import HOSTILE, run_provlog
from projecting import Log

from faults.field_cases import run_script
from projections.projector import catch_up
from provenance_log.store import Store
from provenance_log.terminal import escape

MEASURE = """if True:
    import json, re, sys
    from pathlib import Path
    from projections.projector import catch_up
    from provenance_log.appender import Appender
    from provenance_log.reader import read_log
    from provenance_log.store import open_store
    from provenance_log.verifying import verify_log

    def peak():
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024

    log = Path(sys.argv[2])
    if sys.argv[3] == "read":
        found = [raw.length for chunk in read_log(log) for raw in chunk.lines]
    elif sys.argv[3] == "verify":
        found = verify_log(log).verdict
    elif sys.argv[3] == "append":
        found = Appender(log).append({"type": "read", "tool": "R", "status": "success"}).action_id
    else:
        report = catch_up(open_store(Path(sys.argv[1])))
        found = [report.lines, report.quarantined]
    print(json.dumps([found, peak()]))
"""
MEGABYTE = 1024 * 1024


def measured(store: Store, log: Path, work: str) -> tuple[Any, int]:
    found, peak_bytes = run_script(MEASURE, store.root, log, work)
    return found, peak_bytes


def test_line_of_100_mb_is_read_verified_projected_and_passed_in_bounded_memory(
    store: Store,
) -> None:
    """B3, B11, F42: the line is known by its length and hash only."""
    log = Log(store, "long", "s1")
    log.add()
    small, *_ = (measured(store, log.path, work)[1] for work in ("project",))
    log.add_bytes(b'{"a":"' + b"x" * (100 * MEGABYTE) + b'"}\n')
    log.number += 1
    (found, read), (verdict, verified), (projected, peak), (number, appended) = (
        measured(store, log.path, work) for work in ("read", "verify", "project", "append")
    )

    assert found == [len(log.path.read_bytes().split(b"\n")[0]), found[1], 100 * MEGABYTE + 8]
    assert (verdict, projected, number) == ("QUARANTINED(1)", [1, 1], 3)
    # A reader keeps 16 MiB of one line, and pieces of it while it is put together.
    assert max(read, verified, peak, appended) < small + 64 * MEGABYTE


def test_million_keys_and_a_million_lines_of_nothing_are_read_and_projected(store: Store) -> None:
    """B3, B11, F42, F43."""
    log = Log(store, "wide", "s1")
    line = log.add()
    members = ",".join(f'"{number}":0' for number in range(1_000_000))
    wide = line[:-1] + b',"details":{' + members.encode() + b"}}"
    assert len(wide) < 16 * MEGABYTE
    log.add_bytes(wide + b"\n" + b"\n" * 1_000_000)
    report = catch_up(store)

    assert (report.lines, report.quarantined, report.problems) == (1_000_003, 1_000_000, ())


def test_a_line_as_dense_as_a_line_can_be_is_projected(store: Store) -> None:
    """B3, F42: DuckDB takes more than 768 MB for the JSON of one such line."""
    log = Log(store, "dense", "s1")
    line = log.add()
    dense = line[:-1] + b',"details":{"a":[' + b",".join([b"0"] * 7_500_000) + b"]}}"
    assert len(dense) < 16 * MEGABYTE
    log.add_bytes(dense + b"\n")
    report = catch_up(store)

    assert (report.lines, report.quarantined, report.problems) == (3, 0, ())


NAMES = (
    *(value.replace("/", "-").replace("\x00", "")[:80] for value in HOSTILE.values()),
    *(
        "-rf",
        "--help",
        "...",
        " ",
        "a b",
        "CON",
        "nul.txt",
        "$(touch x)",
        "`id`",
        "'; DROP TABLE x",
    ),
    *("a" * 255, "é", "e\u0301", "A", "a.", "%s%n", "{0}", "<img src=x>", "=cmd|calc", "~", "*"),
    os.fsdecode(b"bytes-\xff\xfe"),
)


def test_directories_of_hostile_names_are_passed_over_and_told_without_harm(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D4, S1, S8, F39, F80: through the projector and every command that lists."""
    Log(store, "good", "good").add()
    content = (store.sessions_dir / "good" / "actions.jsonl").read_bytes()
    made = []
    for number, name in enumerate(NAMES):
        directory = store.sessions_dir / name
        if directory.exists() or name in {"", ".", ".."}:
            continue
        directory.mkdir()
        log = content.replace(b'"good"', b'"of-%d"' % number)
        (directory / "actions.jsonl").write_bytes(log)
        made.append(name)
    outside = sorted(path for path in tmp_path.iterdir())
    report = catch_up(store)
    unsafe = set(store.unsafe_names())

    assert len(made) > 30
    assert {one.name for one in store.session_directories()} == {"good", *made} - unsafe
    assert report.sessions == len({"good", *made} - unsafe)
    assert {name for name in made if not name.isascii() or not name[0].isalnum()} <= unsafe
    for command in (
        ["sessions"],
        ["status"],
        ["verify", "--all"],
        ["stats"],
        ["ask", "recent"],
        ["project"],
    ):
        for form in ([], ["--json"]):
            ran = run_provlog(capsys, store, *command, *form)
            assert escape(ran.out + ran.err, keep="\n") == ran.out + ran.err
            assert json.loads(ran.out) if form else ran.out + ran.err
    assert sorted(path for path in tmp_path.iterdir()) == outside
