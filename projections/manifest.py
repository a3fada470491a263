"""The manifest of a session: every key of schema 1.0.0 with its value from the log, as YAML.

Small on purpose, so that it can be committed: lists hold their first entries, texts their
beginning, and `omitted` says how many entries were left out where. `log` holds the hash of the
last line, so that a committed manifest anchors a log that is not committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from projections.facts import ENTRIES_MAX, Listed
from projections.markdown import shortened
from projections.yaml_text import to_yaml
from provenance_log.format import SCHEMA_VERSION
from provenance_log.marker import marked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from projections.facts import Row, SessionFacts

TEXT_LENGTH_MAX = 300
QUERY_LENGTH_MAX = 2000
KWARGS_LENGTH_MAX = 4000
_EMPTY = Listed()


def render_manifest(facts: SessionFacts) -> bytes:
    """Return the content of a session's manifest.yaml, its marker first.

    A pure function of the facts: no clock, no host, no library version shows in its bytes.
    """
    return marked(to_yaml(manifest_document(facts)), "# ")


def manifest_document(facts: SessionFacts) -> dict[str, Any]:
    """Return the manifest as values of JSON, its keys in the order of the file."""
    omitted: dict[str, int] = {}
    body = {
        "session": _session(facts.session),
        "user_context": _user_context(facts.session),
        "agent_context": _agent_context(facts.session),
        "goals": _goals(facts, omitted),
        "results": _results(facts),
        "action_summary": _action_summary(facts, omitted),
        "tool_usage": _tool_usage(facts, omitted),
        "key_findings": _annotations(facts, "finding", "key_findings", omitted),
        "recommendations": _annotations(facts, "recommendation", "recommendations", omitted),
        "errors": _errors(facts, omitted),
        "warnings": _annotations(facts, "warning", "warnings", omitted),
        "entity_links": _entity_links(facts, omitted),
    }
    return {
        **body,
        "omitted": omitted,
        "state": facts.session["state"],
        "tokens": _tokens(facts.session),
        "log": _log(facts.session),
        "metadata": _metadata(facts.session),
    }


def time_text(moment: datetime | None) -> str | None:
    """Return a time of the tables, which are in UTC, as RFC 3339 with microseconds."""
    return None if moment is None else f"{moment.isoformat(timespec='microseconds')}Z"


def decoded(text: str | None) -> Any:
    """Return the value of a JSON column; None for NULL."""
    return None if text is None else orjson.loads(text)


def decoded_object(text: str | None) -> dict[str, Any]:
    """Return the object in a JSON column; an empty one for NULL and for any other value."""
    value = decoded(text)
    return value if isinstance(value, dict) else {}


def texts_of_goals(facts: SessionFacts) -> tuple[list[str], int]:
    """Return the goals that the session began with and those noted later, and how many in all."""
    given = decoded(facts.session["goals"])
    first = [str(goal) for goal in given] if isinstance(given, list) else []
    noted = facts.annotations.get("goal", _EMPTY)
    goals = first + [row["text"] for row in noted.entries]
    return goals[:ENTRIES_MAX], len(first) + noted.total


def calls_of(facts: SessionFacts, *action_types: str) -> int:
    """Return how many tool calls were of these types of action."""
    return sum(row["calls"] for row in facts.tools if row["action_type"] in action_types)


def cache_hits_of(facts: SessionFacts) -> int:
    """Return how many tool calls were answered from a cache."""
    return sum(row["cache_hits"] for row in facts.tools)


def _text(value: object, length_max: int = TEXT_LENGTH_MAX) -> str | None:
    return None if value is None else shortened(str(value), length_max)


def _session(session: Row) -> dict[str, Any]:
    kind = "claude" if str(session["agent_type"]).startswith("claude") else "agent"
    context = decoded_object(session["user_context"])
    duration_ms = session["duration_ms"]
    return {
        "id": f"{kind}-session-{session['log']}",
        "database_session_id": session["session_id"],
        "date_started": time_text(session["start_time"]),
        "date_ended": time_text(session["end_time"]),
        "duration_minutes": None if duration_ms is None else round(duration_ms / 60_000, 1),
        "model": _text(session["model"]),
        "user": _text(context.get("user")),
        "session_type": _text(context.get("session_type") or "agent_execution"),
        "agent_type": _text(session["agent_type"]),
    }


def _user_context(session: Row) -> dict[str, Any]:
    context = decoded_object(session["user_context"])
    summary = decoded_object(session["result_summary"])
    before = context.get("git_commit_before") or context.get("git_commit")
    after = (
        session["git_commit_after"]
        or summary.get("git_commit_after")
        or context.get("git_commit_after")
    )
    return {
        "working_directory": _text(context.get("working_directory")),
        "git_branch": _text(context.get("git_branch")),
        "git_commit_before": _text(before),
        "git_commit_after": _text(after),
        "python_version": _text(session["python_version"] or context.get("python_version")),
        "project_status": _text(context.get("project_status") or session["project"]),
    }


def _agent_context(session: Row) -> dict[str, Any]:
    kwargs = session["kwargs"]
    too_long = kwargs is not None and len(kwargs) > KWARGS_LENGTH_MAX
    return {
        "query": _text(session["query"], QUERY_LENGTH_MAX),
        "kwargs": {"omitted_characters": len(kwargs)} if too_long else decoded(kwargs) or {},
        "parent_session_id": _text(session["parent_session_id"]),
        "depth": session["depth"],
    }


def _results(facts: SessionFacts) -> dict[str, Any]:
    notes = facts.annotations.get("note", _EMPTY)
    return {
        "success": facts.session["success"],
        "actions_performed": facts.session["action_count"],
        "files_analyzed": facts.files.get("read", _EMPTY).total,
        "files_created": facts.files.get("created", _EMPTY).total,
        "files_modified": facts.files.get("modified", _EMPTY).total,
        "api_calls_made": calls_of(facts, "query"),
        "cache_hits": cache_hits_of(facts),
        "notes": "\n".join(shortened(row["text"], TEXT_LENGTH_MAX) for row in notes.entries),
    }


def _action_summary(facts: SessionFacts, omitted: dict[str, int]) -> dict[str, Any]:
    def part(name: str, total: int, key: str, found: Listed, column: str) -> dict[str, Any]:
        path = f"action_summary.{name}.{key}"
        return {"total": total, key: _entries(found, column, path, omitted)}

    files, subjects = facts.files, facts.subjects
    reads = files.get("read", _EMPTY)
    modified, created = files.get("modified", _EMPTY), files.get("created", _EMPTY)
    patterns, commands = subjects.get("search", _EMPTY), subjects.get("execute", _EMPTY)
    apis = [row["tool"] for row in facts.tools if row["action_type"] == "query"]
    types = [row["transformation_type"] for row in facts.transformations]
    changed = sum(row["transformations"] for row in facts.transformations)
    return {
        "reads": part("reads", calls_of(facts, "read"), "files", reads, "path"),
        "searches": part("searches", calls_of(facts, "search"), "patterns", patterns, "subject"),
        "analyses": {"total": calls_of(facts, "analyze")},
        "modifications": part(
            "modifications", calls_of(facts, "modify"), "files", modified, "path"
        ),
        "creations": part("creations", calls_of(facts, "create"), "files", created, "path"),
        "executions": part(
            "executions", calls_of(facts, "execute"), "commands", commands, "subject"
        ),
        "queries": {
            "total": calls_of(facts, "query"),
            "apis": _first(sorted(apis), "action_summary.queries.apis", omitted),
        },
        "decisions": {
            "total": facts.session["decision_count"],
            "key_decisions": _decisions(facts, omitted),
        },
        "transformations": {
            "total": changed,
            "transformation_types": _first(
                types, "action_summary.transformations.transformation_types", omitted
            ),
        },
    }


def _decisions(facts: SessionFacts, omitted: dict[str, int]) -> list[str]:
    _note_omitted(facts.decisions.omitted, "action_summary.decisions.key_decisions", omitted)
    return [decision_text(row) for row in facts.decisions.entries]


def decision_text(row: Row) -> str:
    """Return a decision in one line: what was asked, what was chosen, and why."""
    asked = row["decision_point"] or row["decision_type"] or "decision"
    parts = [shortened(asked, TEXT_LENGTH_MAX)]
    if row["branch_taken"]:
        parts.append(f" → {shortened(row['branch_taken'], TEXT_LENGTH_MAX)}")
    if row["reason"]:
        parts.append(f" ({shortened(row['reason'], TEXT_LENGTH_MAX)})")
    return "".join(parts)


def _tool_usage(facts: SessionFacts, omitted: dict[str, int]) -> dict[str, Any]:
    usage = tool_usage(facts)
    names = _first(list(usage), "tool_usage", omitted)
    return {shortened(name, TEXT_LENGTH_MAX): usage[name] for name in names}


def tool_usage(facts: SessionFacts) -> dict[str, dict[str, int]]:
    """Return calls, failures, cache hits and times per tool, the most used tool first."""
    usage: dict[str, dict[str, int]] = {}
    for row in facts.tools:
        figures = usage.setdefault(
            row["tool"],
            {"calls": 0, "failures": 0, "cache_hits": 0, "duration_ms": 0, "longest_ms": 0},
        )
        for key in ("calls", "failures", "cache_hits", "duration_ms"):
            figures[key] += row[key]
        figures["longest_ms"] = max(figures["longest_ms"], row["longest_ms"])
    return dict(sorted(usage.items(), key=lambda item: (-item[1]["calls"], item[0].encode())))


def _errors(facts: SessionFacts, omitted: dict[str, int]) -> list[dict[str, Any]]:
    _note_omitted(facts.failures.omitted, "errors", omitted)
    return [
        {
            "action_id": row["sequence_number"],
            "timestamp": time_text(row["failed_at"]),
            "tool": _text(row["tool"]),
            "code": _text(row["code"]),
            "message": _text(row["message"]),
        }
        for row in facts.failures.entries
    ]


def _entity_links(facts: SessionFacts, omitted: dict[str, int]) -> dict[str, list[str]]:
    tables = _first(list(facts.links), "entity_links", omitted)
    return {
        name: _entries(facts.links[table], "entity_id", f"entity_links.{name}", omitted)
        for table, name in ((table, shortened(table, TEXT_LENGTH_MAX)) for table in tables)
    }


def _goals(facts: SessionFacts, omitted: dict[str, int]) -> list[str]:
    goals, total = texts_of_goals(facts)
    _note_omitted(total - len(goals), "goals", omitted)
    return [shortened(goal, TEXT_LENGTH_MAX) for goal in goals]


def _annotations(facts: SessionFacts, kind: str, path: str, omitted: dict[str, int]) -> list[str]:
    return _entries(facts.annotations.get(kind, _EMPTY), "text", path, omitted)


def _entries(found: Listed, column: str, path: str, omitted: dict[str, int]) -> list[str]:
    _note_omitted(found.omitted, path, omitted)
    return [shortened(row[column], TEXT_LENGTH_MAX) for row in found.entries]


def _first(names: Iterable[str], path: str, omitted: dict[str, int]) -> list[str]:
    known = list(dict.fromkeys(names))
    _note_omitted(len(known) - ENTRIES_MAX, path, omitted)
    return known[:ENTRIES_MAX]


def _note_omitted(number: int, path: str, omitted: dict[str, int]) -> None:
    if number > 0:
        omitted[path] = number


def _tokens(session: Row) -> dict[str, Any]:
    return {
        "input": session["input_tokens"],
        "output": session["output_tokens"],
        "cache_creation": session["cache_creation_tokens"],
        "cache_read": session["cache_read_tokens"],
    }


def _log(session: Row) -> dict[str, Any]:
    return {
        "lines": session["log_lines"],
        "bytes": session["log_bytes"],
        "head": session["log_head"],
        "unchained": session["unchained_count"],
        "quarantined": session["quarantined_count"],
    }


def _metadata(session: Row) -> dict[str, Any]:
    return {
        "created_by": "provenance-log",
        "schema_version": SCHEMA_VERSION,
        "hybrid_storage": True,
        "database_path": _text(session["db_path"]),
        "file_session_dir": f"sessions/{session['log']}",
    }
