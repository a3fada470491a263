"""What `project` and `rebuild` print about their work, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.definitions import CONTENT_TABLES
from projections.printing import one_line
from provenance_log.terminal import count, escape, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projections.freshness import Refreshed
    from projections.projector import CatchUpReport
    from projections.rebuild import RebuildReport
    from projections.work import Tally

_LISTED_MAX = 5


def catch_up_facts(report: CatchUpReport, seconds: float) -> dict[str, Any]:
    """Return what one catching up did, for `--json`."""
    return {
        "lines": report.lines,
        "bytes": report.size_bytes,
        "sessions": report.sessions,
        "quarantined": report.quarantined,
        "incidents": report.incidents,
        "seconds": round(seconds, 3),
        "rebuilt": report.rebuilt,
        "kept_tables": report.kept_tables,
        "derived": _derived_facts(report.derived),
        "problems": catch_up_problems(report),
    }


def catch_up_page(report: CatchUpReport, seconds: float) -> str:
    """Return what one catching up did, in a few lines."""
    lines = [f"projected {_work(report, report.sessions)} in {seconds:.1f} s"]
    if report.rebuilt:
        names = ", ".join(report.rebuilt)
        lines.append(f"rebuilt everything, as another definition had filled {names}")
    lines += _kept(report.kept_tables)
    lines += _oddities(report)
    lines += _files(report.derived)
    return "\n".join(map(escape, lines))


def catch_up_problems(report: CatchUpReport) -> list[str]:
    """Return what could not be read or written, a sentence each."""
    return [*report.problems, *_derived_problems(report.derived)]


def rebuild_facts(report: RebuildReport, seconds: float) -> dict[str, Any]:
    """Return what a rebuild did, for `--json`."""
    return {
        "lines": report.tally.lines,
        "bytes": report.tally.size_bytes,
        "sessions": len(report.tally.session_ids),
        "quarantined": report.tally.quarantined,
        "incidents": report.tally.incidents,
        "seconds": round(seconds, 3),
        "is_compared": report.is_compared,
        "differences": dict(report.differences),
        "is_swapped": report.is_swapped,
        "set_aside": None if report.set_aside is None else str(report.set_aside),
        "kept_tables": report.kept_tables,
        "derived": _derived_facts(report.derived),
        "problems": rebuild_problems(report),
    }


def rebuild_page(report: RebuildReport, seconds: float) -> str:
    """Return what a rebuild did; where tables were compared, a line for each."""
    work = _work(report.tally, len(report.tally.session_ids))
    lines = [f"replayed {work} in {seconds:.1f} s"]
    if report.is_compared:
        names = [table.name for table in CONTENT_TABLES]
        width = max(map(len, names))
        lines += [f"  {name:<{width}}  {_comparison(report, name)}" for name in names]
    if report.set_aside is not None:
        lines.append(f"the old database could not be read and is kept as {report.set_aside}")
    lines += _kept(report.kept_tables)
    lines += _oddities(report.tally)
    lines += _files(report.derived)
    return "\n".join(map(escape, lines))


def _comparison(report: RebuildReport, name: str) -> str:
    number = report.differences.get(name)
    return "equal" if number is None else f"different in {_plural(number, 'row')}"


def rebuild_problems(report: RebuildReport) -> list[str]:
    """Return what could not be read or written, or differed, a sentence each."""
    problems = [*report.problems, *_derived_problems(report.derived)]
    if report.differences:
        names = ", ".join(report.differences)
        problems.append(f"not what the logs say: {names}")
    if not report.is_swapped:
        problems.append(
            "the old database was left for you to look at; `provlog rebuild` replaces it"
        )
    return problems


def _work(tally: CatchUpReport | Tally, session_count: int) -> str:
    lines = _plural(tally.lines, "line")
    return f"{lines} ({size(tally.size_bytes)}) of {_plural(session_count, 'session')}"


def _oddities(tally: CatchUpReport | Tally) -> Iterator[str]:
    if tally.quarantined:
        yield f"{_plural(tally.quarantined, 'line')} in quarantine: see `provlog status`"
    if tally.incidents:
        yield f"{_plural(tally.incidents, 'incident')}: see `provlog status`"


def _kept(names: tuple[str, ...]) -> Iterator[str]:
    if names:
        yield f"older tables of the same names are kept as {', '.join(names)}"


def _files(derived: Refreshed) -> Iterator[str]:
    report = derived.report
    if report is None:
        return
    if report.written:
        yield f"wrote {_plural(len(report.written), 'derived file')}"
    if report.left_alone:
        yield f"left {_plural(len(report.left_alone), 'file')} alone:"
        for item in report.left_alone[:_LISTED_MAX]:
            yield f"  {item.path}: {item.reason}"
        more = len(report.left_alone) - _LISTED_MAX
        if more > 0:
            yield f"  … and {count(more)} more"


def _derived_facts(derived: Refreshed) -> dict[str, Any]:
    report = derived.report
    return {
        "written": len(report.written) if report else 0,
        "unchanged": len(report.unchanged) if report else 0,
        "left_alone": [
            {"path": str(item.path), "reason": item.reason}
            for item in (report.left_alone if report else ())
        ],
    }


def _derived_problems(derived: Refreshed) -> Iterator[str]:
    if derived.problem is not None:
        yield f"the derived files are not up to date: {one_line(derived.problem)}"
    if derived.report is not None:
        for item in derived.report.failed:
            yield f"{item.path}: not written: {item.reason}"


def _plural(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"
