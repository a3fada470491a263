"""The predecessor's jq queries, as the README of a new store has them, run unchanged."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from log_cases import action

from projections.database import connect
from projections.projector import catch_up
from provenance_log.recording import SessionHeader, start_session
from provenance_log.store import Store, initialise_store, open_store

# As the predecessor writes them: with spaces, without event_type and prev.
OLD_ACTIONS: list[dict[str, Any]] = [
    {
        "timestamp": "2026-01-10T14:30:15Z",
        "action_id": 1,
        "type": "read",
        "tool": "Read",
        "status": "success",
        "duration_ms": 12,
        "context": {"working_directory": "/x"},
        "details": {"file_path": "a.py"},
        "files_affected": ["a.py"],
        "read_only": True,
    },
    {
        "timestamp": "2026-01-10T14:30:16Z",
        "action_id": 2,
        "type": "modify",
        "tool": "Edit",
        "status": "failure",
        "duration_ms": 2500,
        "files_affected": ["a.py"],
        "read_only": False,
        "error": {"message": "no", "code": "E1"},
    },
    {
        "timestamp": "2026-01-10T14:30:17Z",
        "action_id": 3,
        "type": "decision",
        "tool": "AskUserQuestion",
        "status": "success",
        "details": {"rationale": "because"},
        "database_event_id": "0d3f1a52-6f5e-5d6b-9a57-3b1f6f0f5a11",
    },
]
BY_HAND = re.compile(r"^echo '\{.*?>> \S+$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


def record(store: Store, count: int) -> None:
    session = start_session(store, SessionHeader(agent_type="test"))
    for n in range(count):
        session.append(
            action(
                type=("modify", "read", "execute")[n % 3],
                tool=("Edit", "Read", "Bash")[n % 3],
                status="failure" if n % 4 == 0 else "success",
                duration_ms=n * 700,
                details={"text": "é\u2028\n\x00", "n": n},
                files_affected=["a.py", f"{n % 2}.py"],
            )
        )
    session.end(success=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a store that holds a new session, an old log, and lines added by hand."""
    root = tmp_path / "project" / ".claude" / "provenance"
    initialise_store(root)
    store = open_store(root)
    record(store, 12)
    old = store.sessions_dir / "2026-01-10-14-30"
    old.mkdir()
    old.joinpath("actions.jsonl").write_text("".join(json.dumps(a) + "\n" for a in OLD_ACTIONS))
    run(by_hand(root), tmp_path / "project")
    return tmp_path / "project"


def by_hand(root: Path) -> str:
    """The README's own command that adds a line by hand."""
    found = BY_HAND.findall((root / "README.md").read_text("utf-8"))
    assert len(found) == 1
    return str(found[0])


def commands(root: Path) -> dict[str, str]:
    """The commands with jq of the store's README: the comment above each → the command."""
    text = (root / "README.md").read_text("utf-8").split("## Asking with jq")[1]
    block = text.split("```bash\n")[1].split("```")[0]
    found = {}
    for part in block.strip().split("\n\n"):
        comment, _, command = part.partition("\n")
        assert comment.startswith("# ")
        found[comment[2:]] = command
    return found


def run(command: str, project: Path) -> str:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def values_of(project: Path) -> list[dict[str, Any]]:
    """All lines of all logs, in the order of `*`."""
    logs = sorted(project.glob(".claude/provenance/sessions/*/actions.jsonl"))
    return [json.loads(line) for log in logs for line in log.read_bytes().split(b"\n")[:-1]]


def parsed(output: str) -> list[Any]:
    """The JSON values that jq printed one after the other."""
    decoder = json.JSONDecoder()
    values, rest = [], output.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].lstrip()
    return values


def counted(output: str) -> dict[str, int]:
    """The output of `sort | uniq -c`."""
    rows = [line.strip().partition(" ") for line in output.splitlines()]
    return {name: int(count) for count, _, name in rows}


def test_every_query_of_the_readme_answers_what_the_log_says(project: Path) -> None:
    found = commands(project / ".claude" / "provenance")
    values = values_of(project)
    answers = {comment: run(command, project) for comment, command in found.items()}

    assert len(values) == 14 + 4
    assert parsed(answers.pop("Find all file modifications")) == [
        value for value in values if value["type"] == "modify"
    ]
    types = Counter(value["type"] for value in values)
    assert counted(answers.pop("Count actions by type")) == types
    rates = parsed(answers.pop("Calculate success rate by tool"))
    tools = Counter(value["tool"] for value in values)
    good = Counter(value["tool"] for value in values if value["status"] == "success")
    assert {row["tool"]: row["success_rate"] for row in rates} == {
        tool: pytest.approx(good[tool] / count) for tool, count in tools.items()
    }
    slow = sorted((value.get("duration_ms", 0) for value in values), reverse=True)
    (longest,) = parsed(answers.pop("Find longest running actions"))
    assert [row["duration_ms"] for row in longest] == [ms for ms in slow if ms > 1_000][:10]
    accessed = Counter(name for value in values for name in value.get("files_affected", []))
    assert counted(answers.pop("Files accessed most frequently")) == accessed
    assert int(answers.pop("Count total actions across all sessions")) == len(values)
    assert answers == {}


def test_the_logs_of_two_stores_together_are_input_for_each(tmp_path: Path, project: Path) -> None:
    """A line is whole by itself, so `cat` of any logs is a log."""
    other = tmp_path / "other"
    initialise_store(other / ".claude" / "provenance")
    record(open_store(other), 5)
    logs = f"{project}/.claude/provenance/sessions/*/actions.jsonl"
    logs += f" {other}/.claude/provenance/sessions/*/actions.jsonl"
    together = [*values_of(project), *values_of(other)]

    for one in (project, other):
        target = one / ".claude/provenance/sessions/from-both"
        run(f"mkdir {target} && cat {logs} > {target}/actions.jsonl", tmp_path)
        assert parsed(run(f"jq -c . {target}/actions.jsonl", tmp_path)) == together
        store = open_store(one)
        report = catch_up(store)
        assert report.problems == ()
        assert report.quarantined == 0
        run(f"rm -r {target}", tmp_path)


def test_counts_by_jq_are_counts_by_sql(project: Path) -> None:
    """Type, tool and status of every line, and all three together."""
    store = open_store(project)
    catch_up(store)
    logs = ".claude/provenance/sessions/*/actions.jsonl"

    with connect(store.database, read_only=True) as connection:
        for key, column in (("type", "action_type"), ("tool", "tool"), ("status", "status")):
            by_jq = counted(run(f"jq -r .{key} {logs} | sort | uniq -c", project))
            by_sql = dict(
                connection.execute(f"SELECT {column}, count(*) FROM provenance_events GROUP BY ALL")
            )
            assert by_jq == by_sql
        together = counted(
            run(f"jq -r '[.type, .tool, .status] | join(\" \")' {logs} | sort | uniq -c", project)
        )
        rows = connection.execute(
            "SELECT concat_ws(' ', action_type, tool, status), count(*) FROM provenance_events "
            "GROUP BY ALL"
        )
    assert together == dict(rows)
    assert sum(together.values()) == 18


def test_old_lines_and_lines_by_hand_are_projected_and_reported_as_unchained(
    project: Path,
) -> None:
    """Item 8 of the issue: read, projected, never refused."""
    store = open_store(project)
    report = catch_up(store)

    with connect(store.database, read_only=True) as connection:
        rows = connection.execute(
            "SELECT count(*), count(*) FILTER (NOT chained) FROM provenance_events "
            "GROUP BY session_id ORDER BY ALL"
        )
    assert report.quarantined == 0
    assert rows == [(4, 4), (14, 0)]
