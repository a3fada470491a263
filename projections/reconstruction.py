"""What a manifest tells, as the actions of a log: the way back from `manifest` to a session.

Only what the manifest says is said again. How a session went, action by action, can't be told from
its manifest, so there are no tool calls here but those of a trace that its tracker left beside it;
the last annotation holds the manifest itself.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from projections.tracker_trace import traced_actions
from provenance_log.errors import LineInvalid
from provenance_log.format import SESSION_NAMESPACE, canonical_timestamp, format_timestamp
from provenance_log.recording import AGENT_TOOL, SessionHeader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from projections.tracker_trace import TraceFile
    from provenance_log.taxonomy import Taxonomy

Action: TypeAlias = dict[str, Any]
TOOL = "provlog adopt"
SOURCE_KIND = "manifest"
_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d)-(\d\d)-(\d\d)(?:-\d+)?", re.ASCII)
_ANNOTATIONS = {
    "key_findings": "finding",
    "recommendations": "recommendation",
    "warnings": "warning",
}
_DECISION = re.compile(r"\s*decision:\s*(.+)", re.IGNORECASE | re.DOTALL)
_RATIONALE = re.compile(r"\s*rationale:\s*(.+)", re.IGNORECASE | re.DOTALL)
_TRUTHS = {"true": True, "yes": True, "success": True, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest as it was read: its values, its text, and the hash of its bytes."""

    values: Mapping[str, Any]
    text: str
    sha256: str
    directory_name: str
    modified_at: datetime

    @property
    def session_id(self) -> str:
        """The id of the session: the manifest's if it is a UUID, else one of the file's hash."""
        given = str(self.part("session").get("database_session_id"))
        try:
            return given if str(uuid.UUID(given)) == given.lower() else self._own_id
        except ValueError:
            return self._own_id

    @property
    def _own_id(self) -> str:
        return str(uuid.uuid5(SESSION_NAMESPACE, self.sha256))

    def part(self, name: str) -> Mapping[str, Any]:
        """Return the mapping under a key; an empty one where there is none."""
        value = self.values.get(name)
        return value if isinstance(value, dict) else {}


def read_manifest_values(
    data: bytes, values: Mapping[str, Any], directory_name: str, modified_at: datetime
) -> ManifestFile:
    """Return a manifest from its bytes and what they were parsed into."""
    digest = hashlib.sha256(data).hexdigest()
    return ManifestFile(values, data.decode("utf-8-sig"), digest, directory_name, modified_at)


def actions_of(
    manifest: ManifestFile, taxonomy: Taxonomy, trace: TraceFile | None = None
) -> list[Action]:
    """Return the actions of the log: session_start, annotations, decisions, and session_end.

    With a trace, the decisions are those of the trace, and all its other events are there too.
    A pure function of the files, event ids included, so that every clone gets the same log.
    One thing is not: a manifest without a start, in a directory that is not named after one,
    starts when the file was last changed; `details.session.source.started_from` says so.
    There is a session_end where the manifest says when the session ended.
    """
    started, started_from = _started(manifest)
    ended = _ended(manifest, started)
    actions = [_start(manifest, started, started_from, trace)]
    if trace is not None:
        actions += traced_actions(trace, taxonomy, started)
    at = ended or started
    decisions = _decisions(manifest) if trace is None else ()
    told = (*_told(manifest), *decisions, _whole(manifest))
    actions += [{"timestamp": at, **action} for action in told]
    if ended is not None:
        actions.append(_end(manifest, ended, trace))
    given: set[str] = set()
    for line_number, action in enumerate(actions, start=1):
        name = f"{manifest.session_id}/{line_number}"
        event_id = action.get("database_event_id")
        if not isinstance(event_id, str) or event_id in given:
            action["database_event_id"] = str(uuid.uuid5(SESSION_NAMESPACE, name))
        given.add(action["database_event_id"])
    return actions


def _started(manifest: ManifestFile) -> tuple[str, str]:
    """Return when the session started, and what says so."""
    given = _time(manifest.part("session").get("date_started"))
    if given:
        return given, "manifest"
    minute = _MINUTE.fullmatch(manifest.directory_name)
    named = _time(f"{minute[1]}T{minute[2]}:{minute[3]}:00Z") if minute else None
    if named:
        return named, "directory name"
    return format_timestamp(manifest.modified_at), "file time"


def _ended(manifest: ManifestFile, started: str) -> str | None:
    session = manifest.part("session")
    given = _time(session.get("date_ended"))
    if given:
        return given
    minutes = session.get("duration_minutes")
    if not isinstance(minutes, int | float) or isinstance(minutes, bool):
        return None
    try:
        return format_timestamp(datetime.fromisoformat(started) + timedelta(minutes=minutes))
    except OverflowError:
        return None


def _time(value: object) -> str | None:
    """Return an RFC 3339 time, or a day, as the log writes it; None for anything else."""
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        text += "T00:00:00Z"
    elif re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text, re.ASCII):
        text += ":00Z"
    try:
        return canonical_timestamp(text)
    except LineInvalid:
        return None


def _start(
    manifest: ManifestFile, started: str, started_from: str, trace: TraceFile | None
) -> Action:
    session, agent = manifest.part("session"), manifest.part("agent_context")
    goals = _texts(manifest.values.get("goals"))
    query = agent.get("query") or (goals[0] if goals else "")
    kwargs, depth = agent.get("kwargs"), agent.get("depth")
    source: dict[str, Any] = {
        "kind": SOURCE_KIND,
        "sha256": manifest.sha256,
        "reconstructed": True,
    }
    if trace is not None:
        source["trace"] = {"name": trace.name, "sha256": trace.sha256}
    if started_from != "manifest":
        source["started_from"] = started_from
    header = SessionHeader(
        agent_type=_agent_type(session),
        query=_text(query),
        session_id=manifest.session_id,
        kwargs=kwargs if isinstance(kwargs, dict) else {},
        model=_optional_text(session.get("model")),
        user_context=_user_context(manifest) | (trace.environment if trace else {}),
        parent_session_id=_optional_text(agent.get("parent_session_id")),
        depth=depth if isinstance(depth, int) else 0,
        goals=goals,
        project=_project(manifest),
        source=source,
    )
    return {"timestamp": started, **_lifecycle("session_start"), "details": header.as_details()}


def _agent_type(session: Mapping[str, Any]) -> str:
    given = session.get("agent_type")
    if given:
        return _text(given)
    return "claude-code" if str(session.get("id")).startswith("claude-session-") else "unknown"


def _user_context(manifest: ManifestFile) -> dict[str, Any]:
    session = manifest.part("session")
    context = {
        **manifest.part("user_context"),
        "user": session.get("user"),
        "session_type": session.get("session_type"),
        "db_path": manifest.part("metadata").get("database_path"),
    }
    return {key: value for key, value in context.items() if value is not None}


def _project(manifest: ManifestFile) -> str | None:
    directory = _text(manifest.part("user_context").get("working_directory") or "")
    return re.split(r"[\\/]", directory.rstrip("\\/"))[-1] or None


def _told(manifest: ManifestFile) -> Iterator[Action]:
    for key, name in _ANNOTATIONS.items():
        for text in _texts(manifest.values.get(key)):
            yield _annotation(name, {"text": text})
    for text in _texts(manifest.part("results").get("notes")):
        yield _annotation("note", {"text": text})
    for error in _items(manifest.values.get("errors")):
        yield _error(error)


def _error(error: object) -> Action:
    known = error if isinstance(error, dict) else {}
    text = _text(known.get("message") or error)
    facts = {"message": text, "code": _optional_text(known.get("code"))}
    action = _annotation("error", {"text": text, "reported": error})
    action |= {"status": "failure", "error": {k: v for k, v in facts.items() if v is not None}}
    happened_at = _time(known.get("timestamp"))
    return action if happened_at is None else {**action, "timestamp": happened_at}


def _decisions(manifest: ManifestFile) -> Iterator[Action]:
    """Yield the key decisions; people write each as `Decision: …`, then `Rationale: …`."""
    summary = manifest.part("action_summary").get("decisions")
    listed = summary.get("key_decisions") if isinstance(summary, dict) else None
    found: list[dict[str, str]] = []
    for text in _texts(listed):
        rationale = _RATIONALE.fullmatch(text)
        if rationale and found and "reason" not in found[-1]:
            found[-1]["reason"] = rationale[1]
        else:
            decision = _DECISION.fullmatch(text)
            found.append({"decision_point": decision[1] if decision else text})
    for details in found:
        yield {
            **_annotation("decision", {"text": details["decision_point"], **details}),
            "type": "decision",
            "event_type": "decision",
        }


def _whole(manifest: ManifestFile) -> Action:
    details = {"manifest": dict(manifest.values), "content": manifest.text}
    return _annotation("manifest", details)


def _end(manifest: ManifestFile, ended: str, trace: TraceFile | None) -> Action:
    results = manifest.part("results")
    traced = trace.session if trace else {}
    success = results.get("success")
    if not isinstance(success, bool):
        success = _TRUTHS.get(str(success).lower())
    details: dict[str, Any] = {} if success is None else {"success": success}
    summary = traced.get("result_summary") or dict(results)
    if summary:
        details["result_summary"] = summary
    if traced.get("error_message"):
        details["error_message"] = _text(traced["error_message"])
    status = {True: "success", False: "failure", None: "partial"}[success]
    return {
        "timestamp": ended,
        **_lifecycle("session_end"),
        "status": status,
        "details": details,
    }


def _lifecycle(event_name: str) -> Action:
    return {
        "type": "execute",
        "tool": AGENT_TOOL,
        "status": "success",
        "read_only": True,
        "event_type": "lifecycle",
        "event_name": event_name,
    }


def _annotation(event_name: str, details: dict[str, Any]) -> Action:
    return {
        "type": "analyze",
        "tool": TOOL,
        "status": "success",
        "details": details,
        "read_only": True,
        "event_type": "annotation",
        "event_name": event_name,
    }


def _items(value: object) -> list[Any]:
    """Return the entries of a list, and anything else but nothing as a list of one."""
    if isinstance(value, list):
        return [item for item in value if item not in (None, "", [], {})]
    return [] if value in (None, "", {}) else [value]


def _texts(value: object) -> list[str]:
    return [_text(item) for item in _items(value)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)
