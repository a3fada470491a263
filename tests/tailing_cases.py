"""Logs to tail, and what a tail hands out of them in short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from log_cases import chain

from provenance_log.errors import LineInvalid
from provenance_log.store import SessionDirectory, Store
from provenance_log.tailing import TailedLine, TailNotice

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LINES = chain(9)


def shown(items: Iterable[TailedLine | TailNotice]) -> list[int | str]:
    """The action ids of lines, the reasons of bad ones, and the kinds of notices."""
    found: list[int | str] = []
    for item in items:
        if isinstance(item, TailNotice):
            found.append(item.kind)
            continue
        try:
            found.append(item.decode()[0]["action_id"])
        except LineInvalid as error:
            found.append(error.reason)
    return found


def add(path: Path, *pieces: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(pieces))


def directory_of(store: Store, name: str, *lines: bytes) -> SessionDirectory:
    path = store.sessions_dir / name
    path.mkdir()
    if lines:
        add(path / "actions.jsonl", *lines)
    return SessionDirectory(name, path)
