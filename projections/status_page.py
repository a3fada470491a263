"""The page of text that `status` prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from projections.daemon_state import shown_time
from projections.printing import one_line
from projections.text_tables import facts_table, section, table_or_nothing, unless_zero
from provenance_log.terminal import count, duration, escape, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projections.holders import Holder
    from projections.status import DaemonFacts, StatusReport

_NAMES_MAX = 5
_LISTED_MAX = 50


def status_page(report: StatusReport) -> str:
    """Return the page; long lists are cut, which `--json` does not do."""
    parts = [
        facts_table(_state(report)),
        section(f"behind ({count(len(report.lag))} logs)", _lag(report)),
        section("quarantine", _quarantine(report)),
        section("incidents", _incidents(report)),
        section("needs a person", "\n".join(f"- {escape(line)}" for line in report.attention)),
    ]
    return "\n\n".join(part for part in parts if part)


def _state(report: StatusReport) -> list[tuple[str, str]]:
    return [
        ("store", report.root),
        ("database", _database(report)),
        ("held by", _names(f"{_process(holder)} to {holder.mode}" for holder in report.holders)),
        ("daemon", _daemon(report.daemon)),
        ("last error", _last_error(report.daemon)),
        (
            "projecting",
            "" if report.daemon.is_running else _names(map(_process, report.projectors)),
        ),
        ("sessions", count(report.session_count)),
        ("behind by", _behind(report)),
        ("quarantine", _quarantined(report)),
        ("incidents", _counted_incidents(report)),
        ("stale tables", _names(report.stale_tables) or "none"),
        ("to refresh", unless_zero(report.unrefreshed_count, "sessions' manifest and summary")),
        ("no log", _names(report.logless_names)),
        ("manifest only", _adoptable(report.adoptable_names)),
        ("kept by hand", _names(report.handwritten)),
        ("unsafe names", _names(report.unsafe_names)),
        ("spooled events", unless_zero(report.recorders.spooled_count, "wait to be appended")),
    ]


def _database(report: StatusReport) -> str:
    if report.problem is None and not report.is_projected:
        return f"{report.database}: nothing projected yet; run `provlog project`"
    return f"{report.database} ({size(report.database_bytes)})"


def _process(holder: Holder) -> str:
    return f"process {holder.pid} ({one_line(holder.command)})"


def _behind(report: StatusReport) -> str:
    if report.pending_lines is None:
        return "not known, as the database can't be read"
    if not report.lag:
        return "nothing"
    behind = f"{count(report.pending_lines)} lines, {size(report.pending_bytes)}"
    if not report.pending_age_s:
        return behind
    return f"{behind}, for {duration(report.pending_age_s * 1000)} at most"


def _daemon(daemon: DaemonFacts) -> str:
    if daemon.since is None:
        return "not running"
    if not daemon.is_running:
        if daemon.stopped is not None:
            return f"not running, ended {shown_time(daemon.stopped)}"
        return f"not running: process {daemon.pid} was killed, or the system went down"
    how = "inotify" if sys.platform == "linux" else "watching"
    if daemon.mode == "polling":
        how = f"polling every {daemon.rescan_s:g} s"
        how += f" ({one_line(daemon.mode_reason)})" if daemon.mode_reason else ""
    return f"process {daemon.pid} since {shown_time(daemon.since)}, {how}"


def _last_error(daemon: DaemonFacts) -> str:
    error = daemon.last_error
    if error is None:
        return ""
    end = "goes on" if daemon.is_running else "not over when it ended"
    if error.over is not None:
        end = f"over since {shown_time(error.over)}"
    return f"{shown_time(error.since)}, {end}: {one_line(error.message)}"


def _quarantined(report: StatusReport) -> str:
    lines = f"{count(sum(row.line_count for row in report.quarantine))} lines"
    return lines + _acknowledged(sum(row.acknowledged_count for row in report.quarantine))


def _counted_incidents(report: StatusReport) -> str:
    return count(len(report.incidents)) + _acknowledged(
        sum(row.is_acknowledged for row in report.incidents)
    )


def _acknowledged(number: int) -> str:
    return f", {count(number)} of them acknowledged" if number else ""


def _names(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    listed = list(names)
    more = len(listed) - _NAMES_MAX
    return ", ".join(listed[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _adoptable(names: Sequence[str]) -> str:
    return f"{count(len(names))} without a log: run `provlog adopt --all`" if names else ""


def _lag(report: StatusReport) -> str:
    rows = report.lag[:_LISTED_MAX]
    cells = [
        (
            *(row.log, row.kind, count(row.lines), size(row.size_bytes)),
            "" if row.age_s is None else duration(row.age_s * 1000),
        )
        for row in rows
    ]
    return table_or_nothing(("log", "why", "lines", "bytes", "for at most"), cells)


def _quarantine(report: StatusReport) -> str:
    cells = [
        (
            *(row.log, row.reason, count(row.line_count), row.first_line, row.first_offset),
            count(row.acknowledged_count),
        )
        for row in report.quarantine[:_LISTED_MAX]
    ]
    headers = ("log", "reason", "lines", "first line", "at byte", "acknowledged")
    return table_or_nothing(headers, cells)


def _incidents(report: StatusReport) -> str:
    cells = [
        (
            *(row.kind, row.log, row.other_log, row.line_number),
            *("yes" if row.is_acknowledged else "no", one_line(row.detail)),
        )
        for row in report.incidents[:_LISTED_MAX]
    ]
    headers = ("kind", "log", "other log", "line", "acknowledged", "what")
    return table_or_nothing(headers, cells)
