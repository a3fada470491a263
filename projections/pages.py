"""The pages of text that `sessions`, `show`, `stats` and `query` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.printing import cell_text, clock, minute, one_line
from projections.text_tables import (
    facts_table,
    fits,
    path_that_fits,
    section,
    table_or_nothing,
    table_that_fits,
    unless_zero,
)
from provenance_log.terminal import count, duration, escape, size, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projections.console import Answer
    from projections.looking import (
        ActionRow,
        DecisionRow,
        FailureRow,
        FileRow,
        SessionRow,
        SessionView,
        Some,
        StoreFigures,
        ToolRow,
    )
    from provenance_log.terminal import Cell

_EXPLAINED = ("explain_key", "explain_value")


def sessions_page(rows: Sequence[SessionRow], short_ids: Mapping[str, str]) -> str:
    """Return the table of `provlog sessions`."""
    headers = (
        *("session", "start (UTC)", "agent", "state", "actions", "calls", "failed"),
        *("duration", "tokens", "query"),
    )
    cells: list[tuple[Cell, ...]] = [
        (
            short_ids[row.session_id],
            minute(row.start_time),
            row.agent_type,
            row.state,
            count(row.action_count),
            count(row.tool_call_count),
            count(row.failure_count),
            duration(_elapsed_ms(row)),
            count(row.token_count),
            one_line(row.query),
        )
        for row in rows
    ]
    hidden_first = ("tokens", "actions", "agent", "duration", "failed")
    return table_that_fits(headers, cells, hidden_first=hidden_first)


def _elapsed_ms(row: SessionRow) -> float | None:
    """Return how long the session took, or has taken until its last action while it is open."""
    if row.duration_ms is not None:
        return row.duration_ms
    if row.start_time is None or row.last_time is None:
        return None
    return (row.last_time - row.start_time).total_seconds() * 1000


def session_page(view: SessionView) -> str:
    """Return the page of `provlog show`."""
    parts = [
        facts_table(session_facts(view.session, [child.session_id for child in view.children])),
        section("tools", _tools(view.tools)),
        section(_counted("failures", view.failures), _failures(view.failures.rows)),
        section(_counted("decisions", view.decisions), _decisions(view.decisions.rows)),
        section(_counted("files", view.files), _files(view.files.rows)),
        section(f"actions ({len(view.actions)} shown)", _actions(view.actions)),
    ]
    return "\n\n".join(part for part in parts if part)


def session_facts(
    session: Mapping[str, Any], child_ids: Sequence[str] = ()
) -> list[tuple[str, str | None]]:
    """Return what the row of a session says, its JSON columns decoded, for `facts_table`."""
    return [
        ("session", session["session_id"]),
        ("directory", session["log"]),
        ("agent", _joined(session["agent_type"], session["agent_version"])),
        ("model", session["model"]),
        ("project", session["project"]),
        ("state", session["state"]),
        ("start (UTC)", _time(session["start_time"])),
        ("end (UTC)", _time(session["end_time"])),
        ("last action", _time(session["last_time"])),
        ("duration", duration(session["duration_ms"])),
        ("query", one_line(session["query"])),
        ("goals", _listed(session["goals"])),
        ("result", _listed(session["result_summary"])),
        ("error", one_line(session["error_message"])),
        ("parent", session["parent_session_id"]),
        ("children", ", ".join(child_ids)),
        ("actions", _figures(session)),
        ("tokens", _tokens(session)),
        ("log", f"{count(session['log_lines'])} lines, {size(session['log_bytes'])}"),
        ("log head", session["log_head"]),
        ("unchained", unless_zero(session["unchained_count"], "lines")),
        ("quarantined", unless_zero(session["quarantined_count"], "lines")),
    ]


def _figures(session: Mapping[str, int | None]) -> str:
    return (
        f"{count(session['action_count'])}, of them {count(session['tool_call_count'])} tool calls,"
        f" {count(session['decision_count'])} decisions, {count(session['failure_count'])} failed"
    )


def _tokens(session: Mapping[str, int | None]) -> str:
    if not (session["input_tokens"] or session["output_tokens"]):
        return ""
    return (
        f"{count(session['input_tokens'])} in, {count(session['output_tokens'])} out,"
        f" {count(session['cache_creation_tokens'])} into the cache,"
        f" {count(session['cache_read_tokens'])} from it"
    )


def _time(value: object) -> str:
    return "" if value is None else str(value).partition(".")[0]


def _joined(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


def _listed(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(one_line(cell_text(item)) for item in value)
    return one_line(cell_text(value))


def _counted(title: str, some: Some[FailureRow] | Some[DecisionRow] | Some[FileRow]) -> str:
    if some.count == len(some.rows):
        return f"{title} ({count(some.count)})"
    return f"{title} (the first {count(len(some.rows))} of {count(some.count)})"


def _tools(rows: Sequence[ToolRow]) -> str:
    cells = [
        (
            row.tool,
            count(row.call_count),
            count(row.failure_count),
            duration(row.duration_p50_ms),
            duration(row.duration_p95_ms),
            duration(row.duration_total_ms),
        )
        for row in rows
    ]
    return table_or_nothing(("tool", "calls", "failed", "p50", "p95", "total"), cells)


def _failures(rows: Sequence[FailureRow]) -> str:
    cells = [
        (
            row.action_id,
            clock(row.happened_at),
            row.tool,
            row.error_code,
            one_line(row.error_message),
        )
        for row in rows
    ]
    return table_or_nothing(("action", "time", "tool", "code", "message"), cells)


def _decisions(rows: Sequence[DecisionRow]) -> str:
    cells = [
        (
            row.action_id,
            clock(row.happened_at),
            one_line(row.decision_point),
            one_line(row.branch_taken),
            one_line(row.reason),
        )
        for row in rows
    ]
    return table_or_nothing(("action", "time", "point", "taken", "reason"), cells)


def _files(rows: Sequence[FileRow]) -> str:
    cells = [
        (
            path_that_fits(row.path, beside=len("  actions  changes")),
            count(row.action_count),
            count(row.change_count),
        )
        for row in rows
    ]
    return table_or_nothing(("path", "actions", "changes"), cells)


def _actions(rows: Sequence[ActionRow]) -> str:
    cells = [
        (
            row.action_id,
            clock(row.happened_at),
            row.action_type,
            row.tool,
            row.status,
            duration(row.duration_ms),
            one_line(row.subject),
        )
        for row in rows
    ]
    headers = ("action", "time", "type", "tool", "status", "duration", "about")
    return table_that_fits(headers, cells, hidden_first=("type", "duration")) if rows else ""


def figures_page(figures: StoreFigures) -> str:
    """Return the page of `provlog stats`."""
    types = [
        (row.action_type, count(row.action_count), count(row.failure_count))
        for row in figures.action_types
    ]
    parts = [
        _totals(figures),
        section("tools", _tools(figures.tools)),
        section("agents", _agents(figures)),
        section("action types", table_or_nothing(("type", "actions", "failed"), types)),
        section("models", _models(figures)),
        section(_counted("busiest files", figures.files), _busiest_files(figures)),
    ]
    return "\n\n".join(part for part in parts if part)


def _busiest_files(figures: StoreFigures) -> str:
    cells = [
        (
            path_that_fits(row.path, beside=len("  actions  changes  sessions")),
            count(row.action_count),
            count(row.change_count),
            count(row.session_count),
        )
        for row in figures.files.rows
    ]
    return table_or_nothing(("path", "actions", "changes", "sessions"), cells)


def _totals(figures: StoreFigures) -> str:
    totals = figures.totals
    sessions = (
        f"{count(totals.session_count)}, of them {count(totals.open_count)} open,"
        f" {count(totals.failed_session_count)} failed"
    )
    pairs = [
        ("sessions", sessions),
        ("from (UTC)", minute(totals.first_time)),
        ("until (UTC)", minute(totals.last_time)),
        ("actions", count(totals.action_count)),
        ("tool calls", count(totals.tool_call_count)),
        ("decisions", count(totals.decision_count)),
        ("failures", count(totals.failure_count)),
        ("logs", f"{count(totals.log_lines)} lines, {size(totals.log_bytes)}"),
        ("unchained", unless_zero(totals.unchained_count, "lines")),
        ("quarantined", unless_zero(totals.quarantined_count, "lines")),
    ]
    return facts_table(pairs)


def _agents(figures: StoreFigures) -> str:
    cells = [
        (
            row.agent_type,
            count(row.session_count),
            count(row.failed_session_count),
            count(row.tool_call_count),
            count(row.failure_count),
            duration(row.duration_total_ms),
        )
        for row in figures.agents
    ]
    headers = ("agent", "sessions", "sessions failed", "calls", "failed", "total")
    return table_or_nothing(headers, cells)


def _models(figures: StoreFigures) -> str:
    cells = [
        (
            row.model,
            count(row.message_count),
            count(row.input_tokens),
            count(row.output_tokens),
            count(row.cache_creation_tokens),
            count(row.cache_read_tokens),
        )
        for row in figures.models
    ]
    headers = ("model", "messages", "tokens in", "out", "into cache", "from cache")
    return table_that_fits(headers, cells, hidden_first=("into cache",)) if cells else ""


def answer_page(answer: Answer) -> str:
    """Return the rows of a query as a table, or one below the other where it would be too wide."""
    if answer.columns == _EXPLAINED:
        return "\n".join(escape(cell_text(plan), keep="\n").rstrip() for _, plan in answer.rows)
    cells: list[list[Cell]] = [[_cell(value) for value in row] for row in answer.rows]
    headers = [escape(column) for column in answer.columns]
    if fits(headers, cells):
        return table(headers, cells)
    return "\n\n".join(
        table((f"row {number}", ""), list(zip(headers, row, strict=True)))
        for number, row in enumerate(cells, start=1)
    )


def _cell(value: object) -> Cell:
    return value if isinstance(value, int | float) else cell_text(value)
