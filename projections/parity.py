"""Whether the database and the derived files say what the logs say, without changing anything.

The logs are projected a second time, each as far as its checkpoint goes, into a database in a
temporary directory, and the rows of both are compared. The real database is opened for reading,
and while the logs are read again it is free: what a daemon commits meanwhile is compared in a
second, shorter turn. No lock is taken and the store may be on a read-only disk (invariant E1).
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from projections import layout
from projections.checkpoints import Checkpoint, has_same_chain
from projections.database import connect
from projections.definitions import LINE_TABLES
from projections.derived import expected_files, standing_of
from projections.dump import differing_sessions
from projections.planning import open_log
from projections.rebuild import open_database
from projections.waiting import end_of_lines
from projections.work import OnProgress, Projector
from provenance_log.errors import LogUnsafe, ProvlogError
from provenance_log.store import LOG_NAME
from provenance_log.verifying_levels import Level, counted, reason_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from projections.database import Connection
    from projections.derived import ExpectedFile
    from projections.dump import Difference
    from provenance_log.store import Store

_REBUILD = "`provlog rebuild` makes it anew"


@dataclass(slots=True)
class _Findings:
    """What the database was found to hold of the sessions that were asked for."""

    checkpoints: dict[str, Checkpoint]
    """By the name of the log's directory."""
    differences: dict[str, list[Difference]] = field(default_factory=lambda: defaultdict(list))
    """By session."""
    files: dict[str, list[tuple[str, Level]]] = field(default_factory=lambda: defaultdict(list))
    """By the name of the directory of the log that is projected; the indices have none: ``""``."""


def check_parity(
    store: Store,
    names: Collection[str],
    *,
    with_indices: bool,
    wait_s: float,
    on_progress: OnProgress | None = None,
) -> tuple[dict[str, tuple[Level, ...]], Level | None]:
    """Compare what the database holds of the logs in these directories with the logs themselves.

    Returns the levels `derived` and `database` of each log, and with `with_indices` the one of the
    files in `indices/`. Raises nothing for a database that is missing, held or can't be read: then
    there is the level `database` alone, which says why.
    """
    try:
        found = _look(store, names, with_indices=with_indices, wait_s=wait_s, advance=on_progress)
    except ProvlogError as error:
        level = Level("database", "unreadable", f"{error.message}: {error.hint or store.database}")
        return dict.fromkeys(names, (level,)), None
    levels = {
        name: (*_derived_levels(name, found), _database_level(store, name, found)) for name in names
    }
    return levels, _summed("indices", found.files[""]) if with_indices else None


def _look(
    store: Store,
    names: Collection[str],
    *,
    with_indices: bool,
    wait_s: float,
    advance: OnProgress | None,
) -> _Findings:
    with _opened(store, wait_s) as connection:
        known = _checkpoints(connection)
    session_ids = {item.session_id for item in known if item.log in names}
    with tempfile.TemporaryDirectory(prefix="provlog-verify-") as folder:
        wanted = _of_sessions(known, session_ids)
        side = _replayed(store, Path(folder) / "first.duckdb", wanted.values(), advance)
        with _opened(store, wait_s) as connection:
            now = _of_sessions(_checkpoints(connection), session_ids)
            found = _Findings(now)
            moved = {item.session_id for item in _unequal(wanted, now)}
            _compare(connection, side, session_ids - moved, found)
            if moved:  # live sessions: nobody commits while we have the database open
                items = [item for item in now.values() if item.session_id in moved]
                side = _replayed(store, Path(folder) / "second.duckdb", items, None)
                _compare(connection, side, moved, found)
            _check_files(store, connection, session_ids, found, with_indices=with_indices)
    return found


def _opened(store: Store, wait_s: float) -> Connection:
    if not store.database.exists():
        hint = "run `provlog project`"
        raise ProvlogError("there is no database", path=store.database, hint=hint)
    connection = open_database(store, read_only=True, wait_s=wait_s)
    try:
        layout.check_layout(connection)
        stale = not layout.is_ours(connection) or layout.stale_tables(connection)
    except BaseException:
        connection.close()
        raise
    if not stale:
        return connection
    connection.close()
    message = "its tables were not made by this version of the program"
    raise ProvlogError(message, path=store.database, hint="run `provlog project`")


def _checkpoints(connection: Connection) -> list[Checkpoint]:
    return [Checkpoint._make(row) for row in connection.query("checkpoints")]


def _of_sessions(
    checkpoints: Iterable[Checkpoint], session_ids: Collection[str]
) -> dict[str, Checkpoint]:
    return {item.log: item for item in checkpoints if item.session_id in session_ids}


def _unequal(
    before: Mapping[str, Checkpoint], now: Mapping[str, Checkpoint]
) -> Iterable[Checkpoint]:
    for log in before.keys() | now.keys():
        if before.get(log) != now.get(log):
            yield from (item for item in (before.get(log), now.get(log)) if item is not None)


def _replayed(
    store: Store, side: Path, checkpoints: Iterable[Checkpoint], on_progress: OnProgress | None
) -> Path:
    """Project these logs anew, each up to its checkpoint, and return where the rows are."""
    projector = Projector(store)
    with connect(side, read_only=False) as connection:
        layout.create_tables(connection)
        projector.plan({item.log: item.line_offset for item in checkpoints})
        projector.apply_all(connection, on_progress)
    return side


def _compare(
    connection: Connection, side: Path, session_ids: Collection[str], found: _Findings
) -> None:
    for difference in differing_sessions(connection, side, session_ids):
        found.differences[difference.session_id].append(difference)


def _check_files(
    store: Store,
    connection: Connection,
    session_ids: Collection[str],
    found: _Findings,
    *,
    with_indices: bool,
) -> None:
    rows = connection.execute("SELECT DISTINCT session_id FROM provenance_unrefreshed")
    unrefreshed = {session_id for (session_id,) in rows}
    projected = {
        item.session_id: item.log for item in found.checkpoints.values() if item.role == "projected"
    }
    for file in expected_files(connection, sorted(session_ids), with_indices=with_indices):
        of_index = file.session_id is None
        is_late = bool(unrefreshed) if of_index else file.session_id in unrefreshed
        log = "" if of_index else projected.get(file.session_id or "", "")
        found.files[log].append((file.name, _file_level(store, file, is_late=is_late)))


def _file_level(store: Store, file: ExpectedFile, *, is_late: bool) -> Level:
    try:
        standing, reason = standing_of(store, file)
    except OSError as error:
        return Level("derived", "note", f"can't be read: {error.strerror or error}")
    if standing == "equal":
        return Level("derived", "ok", "as the tables say")
    if standing == "a person's":
        return Level("derived", "note", f"is a person's: {reason}")
    if is_late:
        return Level("derived", "note", "is older than the tables; the projector is about to write")
    if standing == "missing":
        return Level("derived", "note", f"is not there; {_REBUILD}")
    return Level("derived", "damaged", f"is not what the tables say; {_REBUILD}", count=1)


def _derived_levels(name: str, found: _Findings) -> tuple[Level, ...]:
    return (_summed("derived", found.files[name]),) if name in found.files else ()


def _summed(level_name: str, files: Iterable[tuple[str, Level]]) -> Level:
    """Return one level for several files: those that are not as they should be are named."""
    levels = [level for _, level in files]
    unusual = [f"{name} {level.text}" for name, level in files if level.state != "ok"]
    text = counted(len(levels), "file") + " as the tables say" * (not unusual)
    damaged = sum(level.state == "damaged" for level in levels)
    return Level(
        level_name,
        "damaged" if damaged else "note" if unusual else "ok",
        "; ".join([text, *unusual]),
        count=damaged,
    )


def _database_level(store: Store, name: str, found: _Findings) -> Level:
    checkpoint = found.checkpoints.get(name)
    log = store.sessions_dir / name / LOG_NAME
    if checkpoint is None:
        return Level("database", "note", "nothing of this log is projected yet")
    differences = found.differences[checkpoint.session_id]
    changed = _changed(log, checkpoint, differences)
    if changed is not None:
        return changed
    if differences:
        texts = [
            f"{item.table} differs from the log in {counted(item.row_count, 'row')}"
            for item in differences
        ]
        line, offset = _first_place(differences)
        return Level("database", "damaged", "; ".join([*texts, _REBUILD]), line, offset, len(texts))
    return _equal_level(log, checkpoint)


def _changed(log: Path, checkpoint: Checkpoint, differences: list[Difference]) -> Level | None:
    """Return the level of a log that is not what was projected from it; None where it still is."""
    projected = counted(checkpoint.line_number, "line")
    line, offset = _first_place(differences)
    try:
        with open_log(log) as (fd, status):
            if status.st_size < checkpoint.line_offset and (offset or 0) >= end_of_lines(log):
                text = f"{projected} in {checkpoint.line_offset} bytes were projected from it, "
                text += f"{status.st_size} bytes are there now"
                return Level("database", "truncated", text, line, offset, 1)
            if has_same_chain(checkpoint, fd) or not any(map(_is_of_lines, differences)):
                return None
    except (OSError, LogUnsafe) as error:
        return Level("database", "unreadable", f"the log can't be read: {reason_of(error)}")
    text = f"{projected} were projected from it, and they were others than are there now"
    return Level("database", "tampered", text, line, offset, 1)


def _is_of_lines(difference: Difference) -> bool:
    return any(difference.table == table.name for table in LINE_TABLES)


def _first_place(differences: list[Difference]) -> tuple[int | None, int | None]:
    places = [(item.line_number, item.line_offset) for item in differences if _is_of_lines(item)]
    return min(places, default=(None, None))


def _equal_level(log: Path, checkpoint: Checkpoint) -> Level:
    if checkpoint.role != "projected":
        text = f"a {checkpoint.role} of another directory's log, which is the one that is projected"
        return Level("database", "note", text)
    text = f"every table holds what the first {counted(checkpoint.line_number, 'line')} say"
    pending_bytes = end_of_lines(log) - checkpoint.line_offset
    if pending_bytes <= 0:
        return Level("database", "ok", text)
    return Level("database", "note", f"{text}; {pending_bytes} bytes are not projected yet")
