"""The JSON Schema of an action line, generated from the constants that the code checks with."""

from __future__ import annotations

from typing import Any

import orjson

from provenance_log.format import (
    ACTION_TYPES,
    COLUMN_INTEGER_MAX,
    REQUIRED,
    SCHEMA_VERSION,
    STATUSES,
)

_TEXT = {"type": "string"}
_FILLED_TEXT = {"type": "string", "minLength": 1}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": COLUMN_INTEGER_MAX}

_PROPERTIES: dict[str, dict[str, Any]] = {
    "timestamp": {
        **_TEXT,
        "format": "date-time",
        "description": "RFC 3339, UTC, Z, microseconds; it may go backwards",
    },
    "action_id": {**_NUMBER, "minimum": 1, "description": "1, 2, 3 … within the session"},
    "type": {**_FILLED_TEXT, "enum": list(ACTION_TYPES), "description": "Action category"},
    "tool": {**_FILLED_TEXT, "description": "Read, Bash, KEGGPathwayAPI, mcp__server__tool …"},
    "status": {**_FILLED_TEXT, "enum": list(STATUSES), "description": "Outcome"},
    "duration_ms": {**_NUMBER, "description": "Milliseconds"},
    "context": {
        "type": "object",
        "description": "working_directory, git_branch, git_commit …",
    },
    "details": {"type": "object", "description": "What this event type records, by column name"},
    "files_affected": {
        "type": "array",
        "items": _TEXT,
        "description": "Paths read or written, as the agent named them",
    },
    "read_only": {"type": "boolean", "description": "Whether the action only reads"},
    "error": {
        "type": "object",
        "description": "message, code, stack",
    },
    "entity_links": {
        "type": "array",
        "items": {"type": "object"},
        "description": "Objects of entity_table, entity_id, link_type",
    },
    "event_type": {
        **_TEXT,
        "description": "lifecycle, tool_call, decision, transformation, log, entity_link, "
        "annotation …",
    },
    "event_name": {**_TEXT, "description": "session_start, session_end, user_prompt, finding …"},
    "database_event_id": {**_TEXT, "description": "The event's UUID"},
    "prev": {
        **_TEXT,
        "pattern": "^[0-9a-f]{64}$",
        "description": "SHA-256 of the previous line's bytes; the last key",
    },
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft-07) of the lines that this version writes.

    A line of schema 1.0.0 is valid under it. Keys may be added, so unknown ones are allowed.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Action line of provenance-log",
        "version": SCHEMA_VERSION,
        "type": "object",
        "required": list(REQUIRED),
        "properties": _PROPERTIES,
    }


def json_schema_text() -> str:
    """Return the schema as the text of `metadata-schema.json`."""
    return orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode() + "\n"
