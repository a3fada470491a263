"""From the bytes on stdin to the store they are for."""

from __future__ import annotations

import os
import time
from pathlib import Path

from provenance_log.claude_code.arrivals import Arrival, parse_payload
from provenance_log.claude_code.fields import Block, name_of
from provenance_log.claude_code.recorder import record_or_spool, store_at
from provenance_log.errors import PayloadInvalid, StoreNotFound
from provenance_log.git_state import git_state
from provenance_log.recorder_problems import note_problem
from provenance_log.store import find_root

ENV_PROJECT = "CLAUDE_PROJECT_DIR"


def arrive(data: bytes, moment_us: int) -> None:
    """Record a payload in the store of its project; without a store there is nothing to do."""
    stamp = _stamp(moment_us)
    try:
        payload = parse_payload(data)
    except PayloadInvalid as error:
        root = _root({})
        if root is not None:
            note_problem(root, stamp, error.message, "", len(data))
        return
    root = _root(payload)
    if root is None:
        return
    arrival = Arrival(payload, stamp, _context(payload), _random_id())
    try:
        record_or_spool(store_at(root), arrival, len(data))
    except Exception as error:  # noqa: BLE001  (a bug of ours is noted, as nobody may be told)
        reason = f"{type(error).__name__} while recording"
        note_problem(root, stamp, reason, arrival.event_name, len(data))


def _root(payload: Block) -> Path | None:
    """Find the store: of the project, else of the directory in which Claude Code works."""
    for place in (os.environ.get(ENV_PROJECT), name_of(payload, "cwd"), None):
        try:
            if place is None or os.path.isabs(place):  # noqa: PTH117 - before it is a path
                return find_root(None if place is None else Path(place))
        except (StoreNotFound, OSError, ValueError):
            continue
    return None


def _context(payload: Block) -> dict[str, str]:
    directory = name_of(payload, "cwd")
    if not directory:
        return {}
    context = {"working_directory": directory}
    if directory.startswith("/"):
        state = git_state(Path(directory))
        context |= {"git_branch": state.branch or "", "git_commit": state.commit or ""}
    return {key: value for key, value in context.items() if value}


def _stamp(moment_us: int) -> str:
    seconds, rest_us = divmod(moment_us, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest_us:06d}Z"


def _random_id() -> str:
    from provenance_log.stamping import new_event_id  # noqa: PLC0415

    return new_event_id().decode()
