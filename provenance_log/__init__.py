"""The write side of provenance-log: the life of one log, in the order in which it is lived.

A **store** is a directory (`.claude/provenance`) with one directory per session. The session's
**log**, `actions.jsonl`, is the ground state: one JSON object per line, append-only, never
rewritten, never truncated. Everything else is derived from it, by the package `projections`.

*Recording.* `start_session` makes the directory exclusively and writes the first line, which holds
the session's identity and surroundings. `Recording.append` hands an action to the `Appender`:
make every value representable (`values`), take the secrets out (`redact`), encode (`format`), lock
the log, look at its tail, give the number and the hash of the line before, write once, unlock.
Payloads too large for a line go to `blobs`. `Recording.end` writes the last line.

    >>> from provenance_log import SessionHeader, initialise_store, open_store, start_session
    >>> initialise_store(root)
    >>> session = start_session(open_store(root), SessionHeader(agent_type="example"))
    >>> session.append({"type": "read", "tool": "Read", "status": "success"})
    >>> session.end(success=True)

An agent in Python need not know of any of this: `get_tracker`, `track_tool`, `track_agent` and
`BaseAgent` (`tracker`, `instrument`, `agent`) make its calls into lines. Claude Code is recorded
by its hooks, or imported from its transcripts, in `claude_code`.

*Reading.* `read_log` yields complete lines and the position after them; a tail without its
newline is not there yet. `decode` returns an action or says why the line is none. A line that is
none stays where it is: readers count it and go on.

*When things go wrong.* A writer that died half way leaves a torn tail; the next append seals it
with a newline, so the fragment is one bad line and both neighbours are whole. A full disk takes
our own bytes back. A lock dies with its holder. See FORMAT.md for the bytes and the guarantees.

*Putting away.* `archiving` packs finished sessions into a file per month and removes a directory
only after the archive was read back; `restoring` brings it back, byte for byte.

This package needs orjson and nothing else; an agent that records imports no database.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which a recorder that lives for one line does without
if TYPE_CHECKING:
    from provenance_log.agent import BaseAgent
    from provenance_log.appender import Appended, Appender
    from provenance_log.errors import ProvlogError
    from provenance_log.format import SCHEMA_VERSION, decode, encode
    from provenance_log.instrument import track_agent, track_tool
    from provenance_log.reader import RawLine, ReadPosition, read_chunk, read_log
    from provenance_log.recording import Recording, SessionHeader, reopen_session, start_session
    from provenance_log.store import Store, initialise_store, open_store
    from provenance_log.tracker import ProvenanceTracker, get_tracker

__all__ = [
    "SCHEMA_VERSION",
    "Appended",
    "Appender",
    "BaseAgent",
    "ProvenanceTracker",
    "ProvlogError",
    "RawLine",
    "ReadPosition",
    "Recording",
    "SessionHeader",
    "Store",
    "decode",
    "encode",
    "get_tracker",
    "initialise_store",
    "open_store",
    "read_chunk",
    "read_log",
    "reopen_session",
    "start_session",
    "track_agent",
    "track_tool",
]

# A name is imported when it is asked for: a recorder that lives for one line asks for few.
_MODULES = {
    "agent": ("BaseAgent",),
    "appender": ("Appended", "Appender"),
    "errors": ("ProvlogError",),
    "format": ("SCHEMA_VERSION", "decode", "encode"),
    "instrument": ("track_agent", "track_tool"),
    "reader": ("RawLine", "ReadPosition", "read_chunk", "read_log"),
    "recording": ("Recording", "SessionHeader", "reopen_session", "start_session"),
    "store": ("Store", "initialise_store", "open_store"),
    "tracker": ("ProvenanceTracker", "get_tracker"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    value: object = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
