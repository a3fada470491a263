"""The projectors of a world, in memory and in its database, held against what they must say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from attacks.memory_tables import cleared_tables, rebuilt
from attacks.model_appending import Killed
from attacks.model_bytes import digest_of, lines_of, value_of, whole
from attacks.model_tables import Looks, Told, chosen_logs, table_differences, told_by
from attacks.model_world import World
from projections.database import Connection, connect
from projections.dump import dump_tables
from projections.indices import render_indices
from projections.projector import catch_up
from projections.rebuild import rebuild
from projections.work import Projector
from provenance_log.anchors import Anchor, anchor_of_manifest
from provenance_log.errors import DatabaseNewer, ProvlogError
from provenance_log.store import MANIFEST_NAME

BY_HAND = b"# kept by hand"
"""How the manifests begin that the model writes as a person."""


def check_tables(world: World, connection: Connection) -> None:
    """Compare the tables with the model, and the logs with what they were."""
    found = table_differences(world, connection)
    assert not found, "; ".join(found)
    differences = world.differences()
    assert not differences, f"projecting changed logs: {differences}"


class InMemory:
    """A projector that lives long, as a daemon does, with tables in memory."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.looks = Looks(world)
        self._connection = cleared_tables("model")
        self._projector = Projector(world.store)

    def restart(self, batch_bytes: int) -> None:
        """Go on with a projector that knows nothing but what the tables hold."""
        self._projector = Projector(self.world.store, batch_bytes=batch_bytes)

    def project(self) -> None:
        """Catch up and compare; what may hide from a look is projected from nothing instead."""
        if self.looks.may_be_blind():
            self._start_over()
        required, allowed = self.looks.incidents()
        self._projector.run(self._connection)
        self._check(required, allowed)

    def project_interrupted(self, statements: int) -> None:
        """Have the projector die after some statements, and go on with another one."""
        if self.looks.may_be_blind():
            self._start_over()
        required, allowed = self.looks.incidents()
        try:
            with _dying_after(statements):
                self._projector.run(self._connection)
        except Killed:
            self._check_between()
            self.restart(1 << 20)
            self._projector.run(self._connection)
        self._check(required, allowed)

    def compare_with_rebuild(self) -> None:
        """Demand of the tables what the logs give when they are projected from nothing (C1)."""
        self.project()
        found, wanted = dump_tables(self._connection), rebuilt(self.world.store)
        differing = [name for name in wanted if found[name] != wanted[name]]
        assert not differing, f"not what a rebuild gives: {differing}"

    def _start_over(self) -> None:
        self._connection = cleared_tables("model")
        self._projector = Projector(self.world.store)
        self.looks.forget()

    def _check(self, required: Any, allowed: Any) -> None:
        check_tables(self.world, self._connection)
        _check_told(self.looks, self._connection, required, allowed)

    def _check_between(self) -> None:
        """Demand that rows and checkpoints are of the same moment (B2)."""
        sql = (
            "SELECT session_id, line_number FROM provenance_checkpoints WHERE role = 'projected' "
            "EXCEPT SELECT session_id, count(*) FROM (SELECT session_id FROM provenance_events "
            "UNION ALL SELECT session_id FROM provenance_quarantine) GROUP BY session_id"
        )
        differing = self._connection.execute(f"SELECT * FROM ({sql}) WHERE line_number > 0")
        assert not differing, f"rows and checkpoints are not of one moment: {differing}"


def _check_told(looks: Looks, connection: Connection, required: Any, allowed: Any) -> None:
    told = told_by(connection)
    new = told - looks.told
    assert not looks.told - told, f"incidents are forgotten: {looks.told - told}"
    assert required <= new <= required + allowed, (
        f"told of {dict(new)}, not of {dict(required)} and perhaps {dict(allowed)}"
    )
    looks.told = told
    looks.note()


@contextmanager
def _dying_after(statements: int) -> Iterator[None]:
    left = statements
    execute: Callable[..., Any] = Connection.execute

    def counted(self: Connection, sql: str, params: Any = ()) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return execute(self, sql, params)

    with patch.object(Connection, "execute", counted):
        yield


class OnDisk:
    """The database of a world, which is lost now and then, and its derived files."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.looks = Looks(world)
        self._survivors: Told = Counter()

    def catch_up(self) -> None:
        """Project into the database as `provlog project` does, and compare."""
        if self.looks.may_be_blind():
            self.rebuild(verify=True)
            return
        required, allowed = self.looks.incidents()
        report = catch_up(self.world.store)
        assert report.derived.problem is None, report.derived.problem
        self._check(required, allowed)

    def rebuild(self, *, verify: bool, survivors: Told | None = None) -> None:
        """Rebuild as `provlog rebuild` does; what a look was blind to shows by comparing.

        `survivors` are incidents that may still be read in a database that was damaged.
        """
        is_blind, is_new = self.looks.may_be_blind(), not self.world.store.database.exists()
        required, allowed = self.looks.incidents()
        allowed += survivors or Counter()
        report = rebuild(self.world.store, verify=verify)
        if is_blind and report.differences:
            assert verify
            assert not report.is_swapped
            report = rebuild(self.world.store)
            with connect(self.world.store.database, read_only=True) as connection:
                self.looks.told = told_by(connection)
            required.clear()
        if not verify or is_new or is_blind:
            # Nobody looked at what was there before: what happened since is not told.
            allowed += required
            required.clear()
        assert is_blind or not report.differences, f"the tables were wrong: {report.differences}"
        assert report.is_swapped
        self._check(required, allowed)

    def lose(self, how: str) -> None:
        """Let the database be lost, and see that everything comes back from the logs."""
        path = self.world.store.database
        self._survivors = sum(self.looks.incidents(), self.looks.told)
        self.looks.forget()
        if how == "deleted":
            path.unlink(missing_ok=True)
        else:
            if not path.exists():
                self.catch_up()
                self._survivors = Counter(self.looks.told)
                self.looks.forget()
            size_bytes = {"emptied": 0, "cut": path.stat().st_size // 2}.get(how)
            data = b"no database" * 999 if size_bytes is None else path.read_bytes()[:size_bytes]
            path.write_bytes(data)
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        if how != "deleted":
            self._refuses(how)
            self.rebuild(verify=False, survivors=self._survivors if how == "cut" else None)
            for aside in path.parent.glob(f"{path.name}.corrupt-*"):
                aside.unlink()
            return
        self.catch_up()

    def _refuses(self, how: str) -> None:
        before = self.world.store.database.read_bytes()
        try:
            catch_up(self.world.store)
        except ProvlogError:
            assert self.world.store.database.read_bytes() == before
        else:
            assert how == "cut", "a file that is no database was projected into"

    def age(self, how: str) -> None:
        """Make the tables look like those of another version, and see what becomes of them."""
        self.catch_up()
        with connect(self.world.store.database, read_only=False) as connection:
            connection.execute(_AGES[how])
        if how == "newer":
            for refused in (catch_up, rebuild):
                try:
                    refused(self.world.store)
                except DatabaseNewer:
                    continue
                raise AssertionError(f"{refused.__name__} wrote into a newer database")
            with connect(self.world.store.database, read_only=False) as connection:
                connection.execute(_AGES["as new"])
            return
        report = catch_up(self.world.store)
        assert report.rebuilt, "the tables of another version were taken for ours"
        with connect(self.world.store.database, read_only=True) as connection:
            check_tables(self.world, connection)

    def _check(self, required: Any, allowed: Any) -> None:
        with connect(self.world.store.database, read_only=True) as connection:
            check_tables(self.world, connection)
            _check_told(self.looks, connection, required, allowed)
            counted = render_indices(connection, are_counted=True)
            assert counted == render_indices(connection), "tools or files are counted wrongly"
        self.check_manifests()

    def check_manifests(self) -> None:
        """Demand that each generated manifest names the end of its log (B10).

        A session that was adopted has the manifest of whoever kept it, or none.
        """
        for chosen in chosen_logs(self.world):
            path = self.world.directory(chosen.log).path / MANIFEST_NAME
            if chosen.log not in self.world.places or not any(map(value_of, lines_of(chosen.data))):
                continue
            if whole(self.world.readable(chosen.log) or b"") != chosen.data:
                continue  # an archived session, whose directory is another's now, or has a symlink
            content = path.read_bytes() if path.exists() else b""
            if content.startswith(BY_HAND) or b'"reconstructed":true' in chosen.data:
                continue
            lines = lines_of(chosen.data)
            wanted = Anchor(digest_of(lines[-1]), len(lines), len(chosen.data))
            assert anchor_of_manifest(content) == wanted, f"the manifest of {chosen.log} is old"


_AGES = {
    "stale": "UPDATE provenance_definitions SET fingerprint = 'older' "
    "WHERE name = 'provenance_events'",
    "without a table": "DROP TABLE provenance_decisions",
    "with another table": "INSERT INTO provenance_definitions VALUES ('dropped', 'x', 1)",
    "newer": "UPDATE provenance_definitions SET layout_version = 99",
    "as new": "UPDATE provenance_definitions SET layout_version = 1",
}
AGES = ("stale", "without a table", "with another table", "newer")
LOSSES = ("deleted", "emptied", "cut", "garbage")
