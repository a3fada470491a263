"""Which tables there are, and the SQL that fills each of them.

Every table of actions is one SELECT over the relation `batch`, in `tables/<name>.sql`, used
unchanged for catching up and for rebuilding. The fingerprint of that text is stored in the
database; another fingerprint means that the rows were made by another definition, and the
database is rebuilt. There are no migrations.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from projections.batch import BATCH_FIELDS, BATCH_VERSION

LAYOUT_VERSION = 1
"""Grows when a database of an older program can't be understood by comparing fingerprints."""

SqlFolder = Literal["tables", "views", "schema"]

_HERE = Path(__file__).parent


@cache
def load_sql(folder: SqlFolder, name: str) -> str:
    """Return the text of `<folder>/<name>.sql`."""
    return (_HERE / folder / f"{name}.sql").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the text that defines it."""

    short_name: str
    folder: SqlFolder
    key: str
    """The columns that order its rows in a dump."""
    volatile: tuple[str, ...] = ()
    """Columns that tell about files and history rather than content; a dump leaves them out."""

    @property
    def name(self) -> str:
        """The name in the database."""
        return f"provenance_{self.short_name}"

    @property
    def sql(self) -> str:
        """The SELECT that gives its rows, or the CREATE statement of a table of bookkeeping."""
        return load_sql(self.folder, self.short_name)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the SQL."""
        return _fingerprint(self.sql)


ACTION_TABLES = (
    Table("events", "tables", "session_id, line_number"),
    Table("tool_calls", "tables", "session_id, sequence_number, event_id"),
    Table("decisions", "tables", "session_id, sequence_number, event_id"),
    Table("transformations", "tables", "session_id, sequence_number, event_id"),
    Table("entity_links", "tables", "session_id, sequence_number, link_number"),
)
"""Filled row by row from `batch`."""

SESSIONS = Table("sessions", "tables", "session_id")
"""Selected anew from the other tables for the sessions in `touched`."""

SESSION_TOOLS = Table("session_tools", "tables", "session_id, tool")
SESSION_FILES = Table("session_files", "tables", "session_id, path")
COUNTS = (SESSION_TOOLS, SESSION_FILES)
"""Selected anew from the other tables, when the files that need them are written.

They are of the rows that the files are of, and so as late as those.
"""

QUARANTINE = Table("quarantine", "schema", "session_id, line_number")
CHECKPOINTS = Table(
    "checkpoints",
    "schema",
    "session_id, log",
    ("device", "inode", "generation", "log_size", "log_mtime_ns"),
)
INCIDENTS = Table("incidents", "schema", "session_id, log, kind")
DEFINITIONS = Table("definitions", "schema", "name")
UNREFRESHED = Table("unrefreshed", "schema", "session_id")

BOOKKEEPING = (CHECKPOINTS, QUARANTINE, INCIDENTS, DEFINITIONS, UNREFRESHED)

CONTENT_TABLES = (*ACTION_TABLES, SESSIONS, QUARANTINE, CHECKPOINTS, INCIDENTS)
"""The tables that are a function of the logs, and so must be equal after a rebuild."""

LINE_TABLES = (ACTION_TABLES[0], QUARANTINE)
"""Together they have one row for each line, with its place and its hash."""

TABLES = (*ACTION_TABLES, *BOOKKEEPING, SESSIONS, *COUNTS)
"""Every table, in an order in which they can be made: the last are selected from the others."""

TABLE_NAMES = tuple(table.name for table in TABLES)

DERIVED_INCIDENTS = ("duplicate", "fork")
"""Incidents that follow from what the directories hold now; the others tell of the past."""


def index_statements() -> list[str]:
    """Return the CREATE INDEX statements."""
    lines = [
        line
        for line in load_sql("schema", "indexes").splitlines()
        if line and not line.startswith("--")
    ]
    return [statement for statement in "\n".join(lines).split(";\n") if statement.strip("; \n")]


def fingerprints() -> dict[str, str]:
    """Return the fingerprints of every table, of the indexes, and of what makes rows of lines."""
    decoding = f"{BATCH_VERSION} {BATCH_FIELDS}"
    return {
        **{table.name: table.fingerprint for table in TABLES},
        "indexes": _fingerprint(load_sql("schema", "indexes")),
        "batch": _fingerprint(decoding),
    }


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
