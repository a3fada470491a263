"""`provlog verify --db`: whether the database and the derived files say what the logs say."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looking_cases import Ran, run_provlog
from projecting import Log, rewrite
from rebuilding import content, filled

from projections.database import Connection, connect
from projections.parity import check_parity
from projections.projector import catch_up
from provenance_log.store import MANIFEST_NAME, SUMMARY_NAME, Store

NAME = "2026-01-01"
"""The directory of the session `s0`, of the three that `filled` makes."""

Verify = Callable[..., Ran]


@pytest.fixture
def projected(store: Store) -> Store:
    """Three sessions of five lines and one bad line each, and all that is derived from them."""
    filled(store)
    catch_up(store)
    return store


@pytest.fixture
def ran(projected: Store, capsys: pytest.CaptureFixture[str]) -> Verify:
    return lambda *arguments: run_provlog(capsys, projected, "verify", *arguments, "--db", "--json")


def levels(result: Ran, name: str = NAME) -> dict[str, Any]:
    (found,) = (s for s in result.json["sessions"] if Path(s["log"]).parent.name == name)
    states: dict[str, Any] = {key: value["state"] for key, value in found["levels"].items()}
    return states | {"verdict": found["verdict"], "text": found["levels"]["database"]["text"]}


def change(store: Store, *statements: str) -> None:
    with connect(store.database, read_only=False) as connection:
        for statement in statements:
            connection.execute(statement)


def test_database_and_files_that_follow_from_the_logs_are_ok(ran: Verify) -> None:
    """E3; the bad line of each log is damage of the log and not of the database."""
    result = ran("--all")

    assert result.code == 2
    assert {s["verdict"] for s in result.json["sessions"]} == {"QUARANTINED(1)"}
    assert result.json["not_checked"] == []
    assert result.json["indices"]["state"] == "ok"
    found = levels(result)
    assert (found["derived"], found["database"]) == ("ok", "ok")
    assert found["text"] == "every table holds what the first 6 lines say"


def test_lines_that_are_not_projected_yet_are_a_note(ran: Verify, projected: Store) -> None:
    log = Log(projected, "2026-02-02", "new")
    catch_up(projected)
    size_bytes = log.path.stat().st_size
    log.add()
    late = Log(projected, "2026-02-03", "newer")

    result = ran("2026-02-02", "2026-02-03")

    assert result.code == 0
    pending_bytes = log.path.stat().st_size - size_bytes
    assert levels(result, "2026-02-02")["text"].endswith(
        f"; {pending_bytes} bytes are not projected yet"
    )
    assert levels(result, late.path.parent.name)["text"] == "nothing of this log is projected yet"


DATABASE_DAMAGE = {
    "a row changed": (
        (
            "UPDATE provenance_decisions SET decision_point = 'x' "
            "WHERE session_id = 's0' AND sequence_number = 3"
        ),
        "provenance_decisions differs from the log in 1 row",
    ),
    "a row lost": (
        "DELETE FROM provenance_events WHERE session_id = 's0' AND line_number = 4",
        "provenance_events differs from the log in 1 row",
    ),
    "a row doubled": (
        (
            "INSERT INTO provenance_entity_links FROM provenance_entity_links "
            "WHERE session_id = 's0' AND sequence_number = 2"
        ),
        "provenance_entity_links differs from the log in 1 row",
    ),
    "the session's row changed": (
        "UPDATE provenance_sessions SET agent_type = 'x' WHERE session_id = 's0'",
        "provenance_sessions differs from the log in 1 row",
    ),
    "a quarantined line forgotten": (
        "DELETE FROM provenance_quarantine WHERE session_id = 's0'",
        "provenance_quarantine differs from the log in 1 row",
    ),
    "an incident made up": (
        (
            "INSERT INTO provenance_incidents VALUES "
            f"('fork', '{NAME}', 's0', 'other', 1, 0, 'made up')"
        ),
        "provenance_incidents differs from the log in 1 row",
    ),
    "a hash in the checkpoint changed": (
        "UPDATE provenance_checkpoints SET chain_hash = 'x' WHERE session_id = 's0'",
        "provenance_checkpoints differs from the log in 1 row",
    ),
}


@pytest.mark.parametrize("damage", DATABASE_DAMAGE)
def test_damaged_row_is_found_in_its_session_and_no_other(
    ran: Verify, projected: Store, damage: str
) -> None:
    """F54: the log is beyond doubt, so the database is to be made anew."""
    statement, told = DATABASE_DAMAGE[damage]
    change(projected, statement)

    result = ran("--all")

    assert levels(result)["database"] == "damaged"
    assert levels(result)["text"] == f"{told}; `provlog rebuild` makes it anew"
    assert [levels(result, f"2026-01-0{number}")["database"] for number in (2, 3)] == ["ok", "ok"]


def recomputed(log: Path) -> None:
    """Change the third line, and compute the chain anew, as a forger would."""
    store_root = log.parent.parent.parent
    store = Store(store_root, store_root / "none.duckdb")
    kept = log.read_bytes().split(b"\n")[:2]
    log.write_bytes(b"".join(line + b"\n" for line in kept))
    forged = object.__new__(Log)
    forged.path, forged.number = store.sessions_dir / log.parent.name / log.name, 2
    for _ in range(3):
        forged.add(tool="Forged")
    forged.add_bytes(b"garbage\n")


def cut(log: Path) -> None:
    os.truncate(log, log.stat().st_size // 2)


@pytest.mark.parametrize(
    ("damage", "state", "verdict", "code"),
    [
        (recomputed, "tampered", "TAMPERED", 1),
        (cut, "truncated", "TRUNCATED-vs-database", 1),
    ],
)
def test_log_that_was_changed_after_it_was_projected_is_seen_without_an_anchor(
    *,
    ran: Verify,
    projected: Store,
    damage: Callable[[Path], None],
    state: str,
    verdict: str,
    code: int,
) -> None:
    """The manifest, which would be an anchor, was lost or forged too."""
    damage(projected.sessions_dir / NAME / "actions.jsonl")
    (projected.sessions_dir / NAME / MANIFEST_NAME).unlink()

    result = ran(NAME)

    assert (result.code, levels(result)["database"]) == (code, state)
    assert levels(result)["verdict"] == verdict
    if damage is recomputed:
        found = result.json["sessions"][0]["levels"]["database"]
        assert (found["line"], found["text"][:47]) == (
            3,
            "6 lines were projected from it, and they were o",
        )


def test_derived_file_that_is_not_what_the_tables_say_is_damaged(
    ran: Verify, projected: Store
) -> None:
    """A forger writes a manifest with a marker that fits; a person's edit is no damage."""
    there, other = (projected.sessions_dir / name for name in (NAME, "2026-01-02"))
    shutil.copyfile(other / MANIFEST_NAME, there / MANIFEST_NAME)
    with (other / SUMMARY_NAME).open("a") as file:
        file.write("mine\n")
    (projected.sessions_dir / "2026-01-03" / SUMMARY_NAME).unlink()
    (projected.indices_dir / "sessions.jsonl").write_text("{}\n")

    result = ran("--all")
    states = [levels(result, f"2026-01-0{number}")["derived"] for number in (1, 2, 3)]
    assert states == ["damaged", "note", "note"]
    assert result.json["indices"]["state"] == "damaged"
    texts = [s["levels"]["derived"]["text"] for s in result.json["sessions"]]
    assert texts[0] == (
        "3 files; manifest.yaml is not what the tables say; `provlog rebuild` makes it anew"
    )
    assert texts[1].endswith(
        "summary.md is a person's: it was edited after provenance-log wrote it"
    )


def test_files_that_are_about_to_be_written_are_a_note(ran: Verify, projected: Store) -> None:
    (projected.sessions_dir / NAME / MANIFEST_NAME).write_bytes(
        (projected.sessions_dir / "2026-01-02" / MANIFEST_NAME).read_bytes()
    )
    change(projected, "INSERT INTO provenance_unrefreshed VALUES ('s0')")

    assert levels(ran("--all"))["derived"] == "note"


def delete(store: Store) -> None:
    store.database.unlink()


def overwrite(store: Store) -> None:
    store.database.write_bytes(b"noise" * 10_000)


def make_stale(store: Store) -> None:
    change(store, "UPDATE provenance_definitions SET fingerprint = 'x' WHERE name = 'indexes'")


def empty(store: Store) -> None:
    store.database.unlink()
    connect(store.database, read_only=False).close()


@pytest.mark.parametrize("harm", [delete, overwrite, make_stale, empty])
def test_database_that_can_not_be_asked_leaves_the_verdict_open(
    ran: Verify, projected: Store, harm: Callable[[Store], None]
) -> None:
    harm(projected)

    result = ran(NAME)
    assert (result.code, levels(result)["verdict"]) == (3, "UNKNOWN")
    assert (levels(result)["database"], levels(result)["derived"]) == ("unreadable", "ok")
    assert "run `provlog " in levels(result)["text"]


def test_copy_and_fork_are_told_and_counted_once(ran: Verify, projected: Store) -> None:
    """D2."""
    for name in ("copy", "fork"):
        shutil.copytree(projected.sessions_dir / NAME, projected.sessions_dir / name)
    log = projected.sessions_dir / "fork" / "actions.jsonl"
    log.write_bytes(log.read_bytes().replace(b"garbage", b"trash!!"))
    catch_up(projected)

    result = ran("--all")
    assert [levels(result, name)["database"] for name in (NAME, "copy", "fork")] == [
        *("ok", "note", "note"),
    ]
    assert levels(result, "fork")["text"].startswith("a fork of another directory's log")


def test_nothing_is_written_and_no_lock_is_needed(ran: Verify, projected: Store) -> None:
    """E1."""
    for path in projected.root.rglob("*"):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = {path: path.stat().st_mtime_ns for path in projected.root.rglob("*")}

    assert levels(ran("--all"))["database"] == "ok"
    assert {path: path.stat().st_mtime_ns for path in projected.root.rglob("*")} == before


def test_log_outside_the_store_is_a_usage_error(ran: Verify, tmp_path: Path) -> None:
    (tmp_path / "actions.jsonl").write_bytes(b"")

    assert ran(str(tmp_path / "actions.jsonl")).code == 4


def test_what_is_committed_while_the_logs_are_read_again_is_compared_as_well(
    projected: Store,
) -> None:
    """The projector goes on meanwhile: the second turn compares what it committed."""
    log = Log(projected, "2026-02-02", "live")
    catch_up(projected)
    turns = 0

    def append_and_project(_done: int, _total: int) -> None:
        nonlocal turns
        if turns == 0:
            turns += 1
            log.add()
            catch_up(projected)

    names = [NAME, "2026-02-02"]
    found, _ = check_parity(
        projected, names, with_indices=False, wait_s=1, on_progress=append_and_project
    )
    assert turns == 1
    assert [found[name][-1].text for name in names] == [
        "every table holds what the first 6 lines say",
        "every table holds what the first 2 lines say",
    ]


def test_the_comparison_finds_what_a_rebuild_would_change(projected: Store) -> None:
    """C1: after a rewrite that the projector has seen, both agree again."""
    log = object.__new__(Log)
    log.path, log.number = projected.sessions_dir / NAME / "actions.jsonl", 5
    rewrite(log, log.lines[:3])
    catch_up(projected)

    found, _ = check_parity(projected, [NAME], with_indices=False, wait_s=1)
    assert found[NAME][-1].state == "ok"
    assert content(projected).keys() >= {"provenance_events"}


def test_connection_is_closed_afterwards(projected: Store) -> None:
    check_parity(projected, [NAME], with_indices=True, wait_s=1)

    with connect(projected.database, read_only=False, wait_s=0) as connection:
        assert isinstance(connection, Connection)
