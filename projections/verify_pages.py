"""What `provlog verify` prints: a page for one log, a table for many, or JSON."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from provenance_log.terminal import count, escape, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance_log.verifying import Report
    from provenance_log.verifying_levels import Level


def log_page(report: Report) -> str:
    """Return what is true of one log, in lines that fit the terminal."""
    width = shutil.get_terminal_size().columns
    title = f"{report.log.parent.name}  {report.session_id or '(no session)'}  {report.verdict}"
    lines = [title]
    for level in report.levels:
        lines += _wrapped(f"  {level.name:<9}{level.state:<12}{level.text}", width, " " * 23)
    lines += ["", "Not proved:"]
    for text in report.not_proved:
        lines += _wrapped(f"  - {text}", width, "    ")
    return "\n".join(map(escape, lines))


def overview(reports: Sequence[Report], indices: Level | None = None) -> str:
    """Return a line for each log, how many there are of each verdict, and what is not proved."""
    if not reports:
        return "there is no log to verify"
    rows = [
        (r.log.parent.name, r.session_id, r.verdict, count(r.line_count), _worst(r))
        for r in reports
    ]
    verdicts = Counter(report.verdict.partition("(")[0] for report in reports)
    lines = [
        *table(("directory", "session", "verdict", "lines", "first bad"), rows).split("\n"),
        "",
        ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items())),
    ]
    width = shutil.get_terminal_size().columns
    if indices is not None:
        text = f"{indices.name}: {indices.state}, {indices.text}"
        lines += [escape(line) for line in _wrapped(text, width, "  ")]
    lines += ["", "Not proved:"]
    for text, number in Counter(text for r in reports for text in r.not_proved).items():
        lines += _wrapped(f"  - ({number} of {len(reports)}) {text}", width, "    ")
    return "\n".join(lines)


def _worst(report: Report) -> str:
    bad = report.first_bad
    if bad is not None:
        return f"{bad.name}: line {bad.line}, byte {bad.offset}"
    texts = {level.state: f"{level.name}: {level.text}" for level in reversed(report.levels)}
    return next((texts[state] for state in _BAD_STATES if state in texts), "")


_BAD_STATES = ("tampered", "truncated", "unreadable", "damaged")


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def json_document(
    reports: Sequence[Report], code: int, indices: Level | None, not_checked: Sequence[str]
) -> str:
    """Return everything as one JSON object in printable ASCII, so that nothing of a log acts."""
    document = {
        "exit_code": code,
        "sessions": [_jsonable(report) for report in reports],
        "indices": None if indices is None else _jsonable_level(indices),
        "not_checked": not_checked,
    }
    return json.dumps(document)


def _jsonable(report: Report) -> dict[str, object]:
    bad = report.first_bad
    return {
        "log": os.fsencode(report.log).decode("utf-8", "backslashreplace"),
        "session_id": report.session_id,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "lines": report.line_count,
        "bytes": report.size_bytes,
        "head": report.head,
        "first_bad": bad and {"level": bad.name, "line": bad.line, "offset": bad.offset},
        "levels": {level.name: _jsonable_level(level) for level in report.levels},
        "not_proved": report.not_proved,
    }


def _jsonable_level(level: Level) -> dict[str, object]:
    return {key: value for key, value in asdict(level).items() if key != "name"}
