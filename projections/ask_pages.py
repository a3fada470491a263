"""The pages of text that `provlog ask` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.pages import session_facts
from projections.printing import cell_text, clock, minute, one_line
from projections.text_tables import facts_table, section, table_or_nothing, table_that_fits
from provenance_log.terminal import count, duration, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from projections.questions import Comparison, SessionTrace
    from projections.rows import Rows
    from provenance_log.terminal import Cell

_INDENTED_MAX = 12
"""Levels of a hierarchy that are shown by indentation; all are shown by their number."""


def trace_page(trace: SessionTrace) -> str:
    """Return what is recorded of one session, table by table, in the order of its log."""
    parts = [
        facts_table(session_facts(trace["session"])),
        _counted("events", trace["events"], _events(trace["events"])),
        _counted("tool calls", trace["tool_calls"], _tool_calls(trace["tool_calls"])),
        _counted("decisions", trace["decisions"], _decisions(trace["decisions"])),
        _counted(
            "transformations", trace["transformations"], _transformations(trace["transformations"])
        ),
        _counted("entity links", trace["entity_links"], _links(trace["entity_links"])),
    ]
    return "\n\n".join(part for part in parts if part)


def _counted(title: str, rows: Rows, body: str) -> str:
    return section(f"{title} ({count(len(rows))})", body)


def _events(rows: Rows) -> str:
    cells = [
        (
            row["sequence_number"],
            clock(row["timestamp"]),
            row["event_type"],
            row["event_name"],
            row["status"],
            duration(row["duration_ms"]),
        )
        for row in rows
    ]
    return table_or_nothing(("action", "time", "event", "name", "status", "duration"), cells)


def _tool_calls(rows: Rows) -> str:
    cells = [
        (
            row["sequence_number"],
            row["tool_name"],
            row["status"],
            duration(row["duration_ms"]),
            one_line(cell_text(row["input_params"])),
            one_line(row["error_message"]),
        )
        for row in rows
    ]
    headers = ("action", "tool", "status", "duration", "input", "error")
    return _without_empty(headers, cells, "error")


def _decisions(rows: Rows) -> str:
    cells = [
        (
            row["sequence_number"],
            row["decision_type"],
            one_line(row["decision_point"]),
            one_line(row["branch_taken"]),
            one_line(row["reason"]),
        )
        for row in rows
    ]
    return table_or_nothing(("action", "type", "point", "taken", "reason"), cells)


def _transformations(rows: Rows) -> str:
    cells = [
        (
            row["sequence_number"],
            row["transformation_name"],
            row["method"],
            count(row["input_size"]),
            count(row["output_size"]),
            duration(row["duration_ms"]),
        )
        for row in rows
    ]
    return table_or_nothing(("action", "name", "method", "in", "out", "duration"), cells)


def _links(rows: Rows) -> str:
    cells = [
        (row["sequence_number"], row["entity_table"], row["entity_id"], row["link_type"])
        for row in rows
    ]
    return table_or_nothing(("action", "table", "entity", "link"), cells)


def _without_empty(headers: tuple[str, ...], cells: Sequence[tuple[Cell, ...]], name: str) -> str:
    """Return a table without the column `name` where no row has anything in it."""
    index = headers.index(name)
    if any(row[index] for row in cells):
        return table(headers, cells)
    kept = [row[:index] + row[index + 1 :] for row in cells]
    return table_or_nothing(headers[:index] + headers[index + 1 :], kept)


def agents_page(rows: Rows) -> str:
    """Return the table of `provlog ask agents`."""
    cells = [
        (
            row["agent_type"],
            count(row["executions"]),
            count(row["successful"]),
            count(row["failed"]),
            duration(row["avg_duration_ms"]),
            duration(row["min_duration_ms"]),
            duration(row["max_duration_ms"]),
        )
        for row in rows
    ]
    headers = ("agent", "sessions", "successful", "failed", "average", "shortest", "longest")
    return table_that_fits(headers, cells, hidden_first=("shortest", "longest"))


def entity_page(rows: Rows, short_ids: Mapping[str, str]) -> str:
    """Return the table of `provlog ask entity`."""
    cells = [
        (
            minute(row["timestamp"]),
            row["link_type"],
            short_ids[row["session_id"]],
            row["agent_type"],
            row["success"],
            duration(row["duration_ms"]),
            one_line(row["query"]),
        )
        for row in rows
    ]
    headers = ("time (UTC)", "link", "session", "agent", "success", "duration", "query")
    return table_that_fits(headers, cells, hidden_first=("duration", "agent"))


def tools_page(rows: Rows) -> str:
    """Return the table of `provlog ask tools`."""
    cells = [
        (
            row["tool_type"],
            row["tool_name"],
            count(row["call_count"]),
            count(row["successful"]),
            count(row["failed"]),
            duration(row["avg_duration_ms"]),
            count(row["cache_hits"]),
            count(row["cache_misses"]),
        )
        for row in rows
    ]
    headers = ("type", "tool", "calls", "successful", "failed", "average", "hits", "misses")
    return table_that_fits(headers, cells, hidden_first=("misses", "hits", "type"))


def decisions_page(rows: Rows) -> str:
    """Return the table of `provlog ask decisions`."""
    cells = [
        (
            row["agent_type"],
            one_line(row["decision_type"]),
            one_line(row["branch_taken"]),
            count(row["count"]),
        )
        for row in rows
    ]
    return table(("agent", "decision", "taken", "count"), cells)


def hierarchy_page(rows: Rows, short_ids: Mapping[str, str]) -> str:
    """Return the sessions as an indented tree, each above those that it started."""
    cells = [
        (
            "  " * min(row["level"], _INDENTED_MAX) + short_ids[row["session_id"]],
            row["level"],
            row["agent_type"],
            row["success"],
            duration(row["duration_ms"]),
            one_line(row["query"]),
        )
        for row in _parents_first(rows)
    ]
    headers = ("session", "level", "agent", "success", "duration", "query")
    return table_that_fits(headers, cells, hidden_first=("duration", "agent"))


def _parents_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a hierarchy in the order in which a tree is read, however deep it is."""
    root, *others = rows
    children: dict[str, list[dict[str, Any]]] = {}
    for row in others:
        children.setdefault(row["parent_session_id"], []).append(row)
    found, left = [], [root]
    while left:
        found.append(row := left.pop())
        left += reversed(children.get(row["session_id"], ()))
    return found


def comparison_page(comparison: Comparison, short_ids: Mapping[str, str]) -> str:
    """Return two sessions side by side; a difference is the first minus the second."""
    one, two = comparison["session_1"], comparison["session_2"]
    match = "same" if comparison["agent_types_match"] else "differ"
    inputs = "differ" if comparison["inputs_differ"] else "same"
    cells: list[tuple[Cell, ...]] = [
        ("agent", one["agent_type"], two["agent_type"], match),
        ("success", one["success"], two["success"], None),
        (
            "duration",
            duration(one["duration_ms"]),
            duration(two["duration_ms"]),
            _signed(comparison["duration_diff_ms"], " ms"),
        ),
        ("inputs", None, None, inputs),
        ("events", None, None, _signed(comparison["event_count_diff"])),
        ("tool calls", None, None, _signed(comparison["tool_call_count_diff"])),
        ("decisions", None, None, _signed(comparison["decision_count_diff"])),
    ]
    sessions = (short_ids[one["session_id"]], short_ids[two["session_id"]])
    # The ids stand in a row of their own, as `table` escapes rows and not headers.
    return table(("", "first", "second", "difference"), [("session", *sessions, None), *cells])


def _signed(number: int | None, unit: str = "") -> str | None:
    if not number:
        return None if number is None else "0"
    return f"{number:+,}{unit}"


def recent_page(rows: Rows, short_ids: Mapping[str, str]) -> str:
    """Return the table of `provlog ask recent`."""
    cells = [
        (
            short_ids[row["session_id"]],
            minute(row["start_time"]),
            row["agent_type"],
            row["success"],
            duration(row["duration_ms"]),
            one_line(row["query"]),
            one_line(row["error_message"]),
        )
        for row in rows
    ]
    headers = ("session", "start (UTC)", "agent", "success", "duration", "query", "error")
    return table_that_fits(headers, cells, hidden_first=("agent", "duration", "error"))
