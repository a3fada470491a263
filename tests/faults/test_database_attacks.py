"""The attacks on databases can fail: a product that hides a harm is found out (C1, C3, C4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attacks import databases_looks
from attacks.databases import healed
from attacks.databases_held import held
from attacks.databases_image import Image, make_image
from attacks.databases_kills import database_kills
from attacks.databases_layouts import layouts
from attacks.databases_limits import little_memory
from attacks.databases_looks import project, read, watch
from attacks.effort import Effort
from attacks.scoring import Attacked

from projections.daemon_database import ClosedDatabase
from projections.database import connect
from projections.projector import catch_up
from provenance_log.errors import DatabaseCorrupt, ProvlogError
from provenance_log.store import Store


def texts(rows: list[Attacked]) -> str:
    return " ".join(text for row in rows for text in row.violations)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return make_image(tmp_path)


def harm(image: Image, sql: str) -> None:
    image.put()
    with connect(image.store.database, read_only=False) as connection:
        connection.execute(sql)


ONE_ROW_LESS = "DELETE FROM provenance_events WHERE session_id = 'session-0' AND line_number = 5"


def test_a_row_that_is_gone_is_a_wrong_number_to_every_look(image: Image) -> None:
    """C1: as a flip would be that no checksum notices."""
    for look in (read, project):
        harm(image, ONE_ROW_LESS)
        assert "wrong numbers" in " ".join(look(image))
    harm(image, ONE_ROW_LESS)
    assert any("not healed" in text for text in watch(image, lambda: None, is_up=False))


def test_somebody_elses_row_that_is_gone_is_found(tmp_path: Path) -> None:
    """C3."""
    image = make_image(tmp_path, is_shared=True)
    harm(image, "DELETE FROM media WHERE id = 5")
    assert "somebody else's table changed" in project(image)


def test_a_log_that_a_look_changes_is_found(image: Image) -> None:
    """C3: logs are never modified."""
    image.put()
    with next(iter(image.logs)).open("ab") as file:
        file.write(b"x")
    assert any("was changed" in text for text in project(image))


def test_an_error_without_a_next_step_is_found(
    image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3."""

    def refuse(*_: Any, **__: Any) -> None:
        raise DatabaseCorrupt("no")

    monkeypatch.setattr(databases_looks, "catch_up", refuse)
    image.put()
    assert any("does not say what to do" in text for text in project(image))


def test_a_daemon_that_does_not_look_at_its_database_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: the one that trusts what it left."""
    trusting = ClosedDatabase.make_sure

    def trust(self: ClosedDatabase) -> bool:
        return False if self._was_ours else trusting(self)

    monkeypatch.setattr(ClosedDatabase, "make_sure", trust)
    assert "not healed" in texts(healed(Effort(tmp_path, 1, times=1)))


def test_a_projector_that_loses_a_row_after_a_kill_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B2."""

    def lose_a_row(store: Store) -> None:
        catch_up(store)
        with connect(store.database, read_only=False) as connection:
            connection.execute(ONE_ROW_LESS)

    monkeypatch.setattr(databases_looks, "catch_up", lose_a_row)
    assert "wrong numbers after" in texts(database_kills(Effort(tmp_path, 1, times=1)))


def test_a_newer_database_that_is_written_to_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4."""
    monkeypatch.setattr("projections.layout.check_layout", lambda _: None)
    assert "wrote to a newer database" in texts(layouts(Effort(tmp_path, 1, times=1)))


def test_an_older_table_that_is_taken_for_a_current_one_is_found(
    image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4."""
    harm(image, "DROP TABLE provenance_entity_links")
    monkeypatch.setattr("projections.layout.stale_tables", lambda _: [])
    assert project(image) != []


def test_memory_that_makes_lines_bad_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3: an error that does not say what to do, as out of memory was once."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ProvlogError("Out of Memory Error")

    monkeypatch.setattr("attacks.databases_limits.catch_up", refuse)
    assert "does not say what to do" in texts(little_memory(Effort(tmp_path, 1, times=1)))


def test_a_holder_that_is_not_named_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B8."""
    monkeypatch.setattr("projections.refusals.command_of", lambda _: "")
    monkeypatch.setattr("projections.status.holders", lambda _: ())
    assert "status names [], not" in texts(held(Effort(tmp_path, 1, times=1)))
