"""The standard look after a fault finds each thing that a fault may leave (A1, A2, B2, C1)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.postcheck import CUT, SOUND, Expected, violations
from sample_action import ACTION

from projections.database import connect
from projections.projector import catch_up
from provenance_log.appender import Appender
from provenance_log.store import Store

HOLD = """
import fcntl, sys
files = [open(path, "a") for path in sys.argv[1:]]
for file in files:
    fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
IDS = ("first", "second", "third")


def fill(store: Store, ids: tuple[str, ...] = IDS) -> Expected:
    """A log of these events, all of them acknowledged."""
    directory = store.sessions_dir / "2026-01-01-10-00"
    directory.mkdir(mode=0o700)
    appender = Appender(directory / "actions.jsonl")
    acked = {}
    for event_id in ids:
        members = ACTION | {"context": {"of": event_id}}
        appender.append(members | {"database_event_id": event_id})
        acked[event_id] = {"tool": "Read", "context": {"of": event_id}}
    appender.close()
    catch_up(store)
    return Expected(directory / "actions.jsonl", acked)


def look(store: Store, expected: Expected, directory: Path) -> list[str]:
    return violations(store, [expected], directory)


def test_a_sound_store_has_no_violation(store: Store, tmp_path: Path) -> None:
    """A1, C1."""
    expected = fill(store)
    assert look(store, expected, tmp_path) == []
    assert look(store, expected, tmp_path) == [], "nor after its own appends"


def lose_a_line(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))


def double_a_line(log: Path) -> None:
    data = log.read_bytes()
    log.write_bytes(data + data.splitlines(keepends=True)[-1])


def change_a_line(log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"of":"third"', b'"of":"tampr"'))


def fuse_two_lines(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[1][:-1] + lines[2])


def add_a_strange_line(log: Path) -> None:
    appender = Appender(log)
    appender.append(ACTION | {"database_event_id": "strange"})
    appender.close()


@pytest.mark.parametrize(
    ("harm", "texts"),
    [
        (lose_a_line, ["the acknowledged event third is there 0 times"]),
        (double_a_line, ["verify says", "the acknowledged event third is there 2 times"]),
        (change_a_line, ["the event third is not as it was appended"]),
        (fuse_two_lines, ["verify says QUARANTINED", "second is there 0", "third is there 0"]),
        (add_a_strange_line, ["events that nobody appended: ['strange']"]),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_a_line_that_is_not_as_it_was_acknowledged_is_found(
    store: Store, tmp_path: Path, harm: Callable[[Path], None], texts: list[str]
) -> None:
    """A1, A2."""
    expected = fill(store)
    harm(expected.log)
    found = "; ".join(look(store, expected, tmp_path))
    for text in texts:
        assert text in found


def test_an_unacknowledged_line_may_be_there_once_and_not_twice(
    store: Store, tmp_path: Path
) -> None:
    """A2."""
    log = fill(store).log
    expected = Expected(log, {}, unknown=IDS, verdicts=SOUND)
    assert look(store, expected, tmp_path) == []
    double_a_line(log)
    log.write_bytes(log.read_bytes() + log.read_bytes().splitlines(keepends=True)[2])
    assert any("third is there 2 times" in text for text in look(store, expected, tmp_path))


def test_a_fragment_is_allowed_where_a_line_may_have_been_cut(store: Store, tmp_path: Path) -> None:
    """A5."""
    sound = fill(store)
    with sound.log.open("ab") as file:
        file.write(b'{"timestamp":"2026\n')
    cut = Expected(sound.log, sound.acked, verdicts=CUT)
    assert look(store, cut, tmp_path) == []
    assert any("verify says QUARANTINED" in text for text in look(store, sound, tmp_path))


def test_an_append_that_fails_afterwards_is_found(store: Store, tmp_path: Path) -> None:
    """A2: the next append tries again."""
    expected = fill(store)
    expected.log.with_name("another").hardlink_to(expected.log)
    assert any("an append failed" in text for text in look(store, expected, tmp_path))


def test_a_row_that_is_gone_is_found(store: Store, tmp_path: Path) -> None:
    """B2, C1."""
    expected = fill(store)
    with connect(store.database, read_only=False) as connection:
        connection.execute("DELETE FROM provenance_tool_calls WHERE sequence_number = 2")
    assert look(store, expected, tmp_path) == [
        "not what a rebuild gives: {'provenance_tool_calls': 1, 'provenance_sessions': 1}"
    ]


def test_a_database_that_can_not_be_projected_to_is_found(store: Store, tmp_path: Path) -> None:
    """C3."""
    expected = fill(store)
    store.database.write_bytes(b"noise" * 1000)
    assert any("the projector failed" in text for text in look(store, expected, tmp_path))


LEFT = (
    "archive/.2026-01.tar.xz.0a1b2c3d.tmp",
    "provenance.duckdb.corrupt-20260101T000000Z",
    "sessions/.archived-0a1b2c3d",
    "sessions/.copy-0a1b2c3d",
    "sessions/.restore-0a1b2c3d",
    "spool/.1.json.0a1b2c3d.tmp",
)


@pytest.mark.parametrize("is_directory", [False, True], ids=["files", "directories"])
def test_what_is_left_behind_is_found(store: Store, tmp_path: Path, *, is_directory: bool) -> None:
    """D5."""
    expected = fill(store)
    for name in LEFT:
        path = store.root / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if is_directory else path.touch()
    found = look(store, expected, tmp_path)
    assert sorted(found) == [f"left behind: {name}" for name in LEFT]
    assert violations(store, [expected], tmp_path, leftovers="0a1b2c3d|corrupt") == []


def test_a_lock_that_somebody_holds_is_found(store: Store, tmp_path: Path) -> None:
    """A9: of a log, and of what archives, copies, adopts or drains."""
    log = fill(store).log
    held = [log, *(store.root / f"{name}.lock" for name in ("archiving", "copying", "spool"))]
    command = [sys.executable, "-c", HOLD, *map(str, held)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        found = violations(store, [], tmp_path)  # a lock of the log would keep its appends waiting
        holder.communicate("")
    told = [text.partition(", by")[0] for text in found]
    assert sorted(told) == sorted(f"still locked: {path.relative_to(store.root)}" for path in held)


def test_a_descriptor_that_is_open_is_found(store: Store, tmp_path: Path) -> None:
    """A9."""
    expected = fill(store)
    with expected.log.open("rb"):
        found = look(store, expected, tmp_path)
    assert found == ["a descriptor is open: sessions/2026-01-01-10-00/actions.jsonl"]
