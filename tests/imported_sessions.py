"""Look into a store after an import."""

from pathlib import Path
from typing import Any

from provenance_log.claude_code.importing import ImportReport
from provenance_log.format import decode
from provenance_log.store import Store, initialise_store, open_store
from provenance_log.store_redaction import KEY_NAME

Action = dict[str, Any]


def new_store(directory: Path) -> Store:
    """Make a store whose key is that of all others made here, so that logs can be compared."""
    root = directory / ".claude" / "provenance"
    initialise_store(root)
    (root / KEY_NAME).write_text("0" * 64)
    return open_store(root)


def snapshot(store: Store) -> dict[str, tuple[int, bytes]]:
    """Every file of a store with its time of change and content."""
    return {
        str(path.relative_to(store.root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in store.root.rglob("*")
        if path.is_file()
    }


def logs_of(store: Store) -> dict[str, list[Action]]:
    """The actions of every session."""
    logs = {}
    for directory in store.session_directories():
        lines = directory.log.read_bytes().splitlines()
        actions = [decode(line) for line in lines]
        logs[actions[0]["details"]["session"]["session_id"]] = actions
    return logs


def log_bytes(store: Store) -> dict[str, bytes]:
    return {one.name: one.log.read_bytes() for one in store.session_directories()}


def calls_of(actions: list[Action]) -> list[Action]:
    return [action for action in actions if action.get("event_type") == "tool_call"]


def call_ids(store: Store) -> dict[str, list[str]]:
    logs = logs_of(store)
    return {key: [c["details"]["call_id"] for c in calls_of(log)] for key, log in logs.items()}


def states(report: ImportReport) -> list[str]:
    return [session.state for session in report.sessions]
