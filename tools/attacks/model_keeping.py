"""Archiving, restoring, copying and adopting, and what each must do to a world."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from attacks.model_bytes import Head, lines_of, links_of, session_of, verdict_of, whole
from attacks.model_projecting import BY_HAND
from attacks.model_world import Archived, Place, World
from projections.adopting import adopt
from provenance_log.anchors import anchor_beside
from provenance_log.archive_choice import ArchiveChoice
from provenance_log.archive_report import ArchiveOptions
from provenance_log.archiving import archive_sessions
from provenance_log.copy_choice import Choice
from provenance_log.copying import copy_sessions
from provenance_log.restoring import restore_sessions
from provenance_log.store import MANIFEST_NAME

_LEFT = (".*.tmp", "*.rebuild-*", ".copy-*", ".restore-*", ".arch*", "*.adopting")
_HOLDS = 7
"""As many directories as a world may have before it gets no more."""


def archive(world: World, name: str, *, keep_rows: bool) -> None:
    """Archive the session of a directory, or see it refused for a reason."""
    data = world.data(name)
    session_id = session_of(data)
    if session_id is None:
        return
    is_shared = _has_shared_file(world, name)
    options = ArchiveOptions(keep_rows=keep_rows)
    choice = ArchiveChoice((name,), with_unfinished=True)
    report = archive_sessions(world.store, choice, options)
    (outcome,) = report.sessions
    is_refused = (
        len(world.sessions()[session_id]) > 1
        or _is_doubtful(world, name)
        or world.places[name].form != "plain"
        or is_shared
    )
    standing = world.archived.get(session_id)
    if outcome.state == "archived":
        assert not is_refused, f"{name} was archived, which nobody may rely on"
        world.places.pop(name)
        world.archived[session_id] = Archived(name, data, keep_rows)
    else:
        # What is archived already is not replaced by a directory that lacks some file of it.
        assert is_refused or standing is not None, f"{name} was not archived: {outcome}"


def _has_shared_file(world: World, name: str) -> bool:
    """Say whether a file of a directory has a name elsewhere, as a rotated log may have one."""
    files = world.directory(name).path.iterdir()
    return any(file.lstat().st_nlink > 1 for file in files if not file.is_dir())


def _is_doubtful(world: World, name: str) -> bool:
    """Say whether a log, and the manifest beside it, tell of lines that were changed or lost."""
    anchor = anchor_beside(world.log(name))
    head = None
    if anchor is not None and anchor.lines:
        head = Head(anchor.lines, anchor.size_bytes or 0, anchor.head)
    verdict = verdict_of(world.data(name), head)
    return verdict == "TAMPERED" or verdict.startswith("TRUNCATED")


def restore(world: World, which: int) -> None:
    """Bring an archived session back, byte for byte, unless it is live."""
    if not world.archived:
        return
    ids = sorted(world.archived)
    session_id = ids[which % len(ids)]
    entry = world.archived[session_id]
    (outcome,) = restore_sessions(world.store, (session_id,))
    if session_id in world.sessions():
        assert outcome.state in {"live", "refused"}, outcome
        return
    assert outcome.state == "restored", outcome
    assert outcome.directory is not None
    assert outcome.directory not in world.places
    world.places[outcome.directory] = Place(entry.data)


def copy_over(source: World, destination: World, name: str) -> None:
    """Copy the session of a directory into another store."""
    if source.places[name].form != "plain" or session_of(source.data(name)) is None:
        return
    session_id = session_of(source.data(name))
    holders = destination.sessions().get(str(session_id), [])
    if any(destination.places[holder].form != "plain" for holder in holders):
        return
    data = whole(source.data(name))
    relations = {holder: _relation(data, destination.data(holder)) for holder in holders}
    (outcome,) = copy_sessions(source.store, destination.store, Choice((name,))).copies
    if not holders:
        assert outcome.state == "copied", outcome
        assert outcome.directory is not None
        assert outcome.directory not in destination.places
        destination.places[outcome.directory] = Place(data)
        return
    wanted = next(kind for kind in _OUTCOMES if kind in relations.values())
    assert outcome.state == _OUTCOMES[wanted], f"{outcome}, where they are {relations}"
    if wanted == "behind":
        assert outcome.directory is not None
        assert relations[outcome.directory] == "behind"
        destination.places[outcome.directory].data = data


_OUTCOMES = {"equal": "equal", "ahead": "ahead", "behind": "forwarded", "forked": "refused"}


def _relation(source: bytes, copy: bytes) -> str:
    common = min(len(source), len(copy))
    if source[:common] != copy[:common]:
        return "forked"
    if whole(copy) == source:
        return "equal"
    return "behind" if len(copy) < len(source) else "ahead"


def adopt_by_hand(world: World) -> None:
    """Write a manifest as a person does, and have its session taken into a log."""
    name, number = world.free_name(), world.number()
    world.make(name, None)
    session_id = str(UUID(int=number))
    text = f"\nsession: {{database_session_id: {session_id}}}\ngoals: [measure]\n"
    manifest = world.directory(name).path / MANIFEST_NAME
    manifest.write_bytes(BY_HAND + text.encode())
    (adoption,) = adopt(world.store, [world.directory(name)])
    assert adoption.outcome == "adopted", adoption
    data = world.log(name).read_bytes()
    assert session_of(data) == adoption.session_id == session_id
    assert all(links_of(lines_of(data)))
    assert whole(data) == data
    assert manifest.read_bytes() == BY_HAND + text.encode()
    world.places[name].data = data


def has_room(world: World) -> bool:
    """Say whether a world may get another directory."""
    return len(world.places) < _HOLDS


def left_behind(world: World) -> list[str]:
    """Return what programs left in a store that they should have removed."""
    found: list[Path] = [path for pattern in _LEFT for path in world.store.root.rglob(pattern)]
    return [str(path.relative_to(world.store.root)) for path in found]
