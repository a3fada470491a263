"""Any cut, any order, any restart, any history of the directories: the same tables."""

import os
import random
import shutil
import tempfile
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st
from projecting import (
    LINES,
    RAW_LINES,
    Log,
    action,
    cleared_tables,
    content_of,
    examples,
    project,
    rebuilt,
)

from projections.dump import dump_tables
from projections.work import Projector
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.store import Store, initialise_store, open_store

KINDS = st.lists(st.sampled_from([*LINES, *RAW_LINES]), max_size=6)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 3000), st.sampled_from(["wait", "same", "new"])),
    max_size=6,
)


def fresh_store(folder: str) -> Store:
    root = Path(folder) / "provenance"
    initialise_store(root)
    return open_store(root)


@examples(8)
@given(st.lists(KINDS, min_size=3, max_size=3), STEPS, st.sampled_from([1, 700, 1 << 20]))
def test_any_cut_into_batches_in_any_order_with_any_restart_gives_what_a_rebuild_gives(
    sessions: list[list[str]], steps: list[tuple[int, int, str]], batch_bytes: int
) -> None:
    """C1, B1, B2: logs grow by any number of bytes, projectors come and go in between."""
    connection = cleared_tables()
    with tempfile.TemporaryDirectory() as folder:
        store = fresh_store(folder)
        contents = [content_of(f"s{i}", kinds) for i, kinds in enumerate(sessions)]
        logs = [Log(store, f"2026-01-0{3 - i}") for i in range(3)]
        projector = Projector(store, batch_bytes=batch_bytes)
        for index, length, then in [*steps, (0, 10**6, "same"), (1, 10**6, ""), (2, 10**6, "")]:
            start = logs[index].path.stat().st_size
            logs[index].add_bytes(contents[index][start : start + length])
            if then == "new":
                projector = Projector(store, batch_bytes=batch_bytes)
            if then != "wait":
                projector.run(connection)
        project(store, connection, batch_bytes=batch_bytes)
        assert dump_tables(connection) == rebuilt(store)
        lines = sum(content.count(b"\n") for content in contents)
        taken = connection.count("provenance_events") + connection.count("provenance_quarantine")
        assert taken == lines


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "copy", "rename", "swap", "remove", "truncate", "edit", "replace", "project"]
        ),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=3,
    max_size=12,
)


def operate(store: Store, operation: str, one: int, other: int) -> None:
    """Do something to the directories d0 to d3 that a person or a program could do."""
    names = [store.sessions_dir / f"d{number}" for number in (one, other)]
    logs = [name / "actions.jsonl" for name in names]
    if operation == "append":
        if not logs[0].exists():
            Log(store, names[0].name, f"session-{one % 2}")
        number = len(logs[0].read_bytes().split(b"\n"))
        with logs[0].open("ab") as file:
            file.write(orjson.dumps(action(number, tool=f"T{other}")) + b"\n")
    elif operation == "copy" and names[0].exists() and not names[1].exists():
        shutil.copytree(names[0], names[1])
    elif operation == "rename" and names[0].exists() and not names[1].exists():
        names[0].rename(names[1])
    elif operation == "swap" and names[0].exists() and names[1].exists() and one != other:
        spare = store.sessions_dir / "spare"
        names[0].rename(spare)
        names[1].rename(names[0])
        spare.rename(names[1])
    elif operation == "remove" and names[0].exists():
        shutil.rmtree(names[0])
    elif names[0].exists():
        damage(operation, logs[0], other)


def damage(operation: str, log: Path, how: int) -> None:
    data = log.read_bytes()
    if operation == "truncate":
        lines = data.split(b"\n")
        log.write_bytes(b"\n".join(lines[: how + 1]) + b"\n" if how else b"")
    elif operation == "edit":
        with log.open("r+b") as file:  # the same inode, the same size
            file.write(data.replace(b"success", b"failure"))
    elif operation == "replace":
        log.unlink()
        log.write_bytes(content_of(f"session-{how % 2}", ["tool call"] * how))


@examples(12)
@given(OPERATIONS)
def test_any_history_of_copies_renames_and_damages_gives_what_a_rebuild_gives(
    operations: list[tuple[str, int, int]],
) -> None:
    """C1, B4, D2: the tables are a function of what the directories hold now."""
    connection = cleared_tables()
    with tempfile.TemporaryDirectory() as folder:
        store = fresh_store(folder)
        for number, (operation, one, other) in enumerate(operations):
            if operation == "project":
                project(store, connection, batch_bytes=300)
                continue
            operate(store, operation, one, other)
            for directory in store.session_directories():
                if directory.log.exists():  # time passes between two operations
                    status = directory.log.stat()
                    if status.st_mtime_ns > 10**18 // 2:
                        os.utime(directory.log, ns=(number, number))
        project(store, connection)
        assert dump_tables(connection) == rebuilt(store)


def test_one_line_at_a_time_gives_the_same_rows_as_all_at_once(store: Store) -> None:
    """C1: f(A and B) = f(A) and f(B), for each of the five tables."""
    Log(store, "a").add_bytes(content_of("s", list(LINES)))
    tables = cleared_tables()
    project(store, tables, batch_bytes=1)
    assert dump_tables(tables) == rebuilt(store)


def test_recorded_sessions_cut_at_random_give_what_a_rebuild_gives(
    store: Store, shared_data: Path, tmp_path: Path
) -> None:
    """C1: real transcripts, imported, revealed in pieces in a random order."""
    folder = shared_data / "claude-code" / "transcripts"
    paths = sorted(folder.rglob("*.jsonl"), key=lambda path: path.stat().st_size)
    recorded = fresh_store(str(tmp_path / "recorded"))
    import_transcripts(recorded, paths[5:60:9])
    chance = random.Random(11)
    contents = {item.name: item.log.read_bytes() for item in recorded.session_directories()}
    assert len(contents) == 7
    logs = {name: Log(store, name) for name in contents}
    connection = cleared_tables()
    for size in (0.3, 0.7, 1.0):
        for name in chance.sample(sorted(contents), len(contents)):
            start = logs[name].path.stat().st_size
            end = max(start, int(len(contents[name]) * size * chance.uniform(0.8, 1.0)))
            logs[name].add_bytes(contents[name][start : end if size < 1 else None])
        project(store, connection, batch_bytes=100_000)
    assert dump_tables(connection) == rebuilt(store)
    assert connection.count("provenance_quarantine") == 0
    lines = sum(content.count(b"\n") for content in contents.values())
    assert connection.count("provenance_events") == lines
