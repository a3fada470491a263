"""Show the whole round in a temporary store: record, project, look, delete, rebuild, compare.

    python tools/demo.py
    python tools/demo.py --keep /tmp/demo      leave the store there to look around in

A small agent works on this repository for real: it searches and reads files, runs commands, takes
a decision, makes a table. Every step is appended to the log as it happens. Then everything that
is derived from the log is deleted and made again. Exit code 1 if anything came back different.
"""

from __future__ import annotations

import argparse
import errno
import os
import platform
import pty
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from provenance_log import Recording, SessionHeader, Store, open_store, start_session
from provenance_log.errors import ProvlogError
from provenance_log.format import format_timestamp
from provenance_log.store import ENV_DATABASE, ENV_ROOT, ROOT_BELOW_PROJECT
from provenance_log.terminal import elide

REPOSITORY = Path(__file__).resolve().parent.parent
QUESTION = "Which modules of provenance_log hash lines, and how long are they?"
QUERY = """SELECT tool, status, count(*) AS calls, sum(duration_ms) AS ms
  FROM provenance_tool_calls GROUP BY ALL ORDER BY tool, status"""
COLUMNS = 80
_SUMMARY_LINES = 20
_ACTIONS_SHOWN = "6"

Action = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step of the agent led to."""

    shown: str
    """For the people who watch."""
    output_data: Action
    value: Any = None
    """What the agent itself goes on with."""
    error: Action | None = None


class Agent:
    """Answers one question about a repository, and records each step when it is done."""

    def __init__(self, repository: Path, workplace: Path, recording: Recording) -> None:
        """`workplace` is where it may write."""
        self._repository = repository
        self._workplace = workplace
        self._recording = recording

    def run(self) -> Action:
        """Work until the question is answered; return the answer."""
        modules = self._find_modules("provenance_log/*.py")
        found = self._grep("line_hash", modules)
        texts = {module: self._read(module) for module in found}
        self._bash(["python", "--version"])
        if (self._repository / ".git").exists() and shutil.which("git"):
            self._bash(["git", "log", "-1", "--format=%s"])
        counter = self._bash(["python", "-m", "line_counter", *found])
        self._decide_how_to_count(counter)
        rows = self._count_lines(texts)
        self._write_table(rows)
        answer = f"{len(found)} of {len(modules)} modules hash lines"
        self._note("finding", answer)
        return {"answer": answer, "lines": dict(rows)}

    def _find_modules(self, pattern: str) -> list[str]:
        def work() -> Outcome:
            found = sorted(
                path.relative_to(self._repository).as_posix()
                for path in self._repository.glob(pattern)
            )
            return Outcome(f"{pattern}: {len(found)} files", {"files": found}, found)

        found: list[str] = self._call("search", "Glob", {"pattern": pattern}, work).value
        return found

    def _grep(self, text: str, modules: list[str]) -> list[str]:
        def work() -> Outcome:
            found = [m for m in modules if text in (self._repository / m).read_text("utf-8")]
            return Outcome(f"{text}: {len(found)} of {len(modules)} files", {"files": found}, found)

        params = {"pattern": text, "paths": modules}
        found: list[str] = self._call("search", "Grep", params, work).value
        return found

    def _read(self, module: str) -> str:
        def work() -> Outcome:
            text = (self._repository / module).read_text("utf-8")
            return Outcome(f"{module}: {len(text)} characters", {"characters": len(text)}, text)

        params = {"file_path": module}
        outcome = self._call("read", "Read", params, work, files_affected=[module])
        return str(outcome.value)

    def _bash(self, command: list[str]) -> Outcome:
        """Run a command in the repository; `python` is the one that runs this program."""
        program = [sys.executable if word == "python" else word for word in command]

        def work() -> Outcome:
            done = subprocess.run(
                program, cwd=self._repository, capture_output=True, text=True, check=False
            )
            output = (done.stdout + done.stderr).strip()
            last_line = output.splitlines()[-1].removeprefix(f"{program[0]}: ") if output else ""
            data = {"exit_code": done.returncode, "output": output}
            error = {"code": f"exit_{done.returncode}", "message": last_line}
            return Outcome(last_line, data, error=error if done.returncode else None)

        return self._call("execute", "Bash", {"command": " ".join(command)}, work, read_only=True)

    def _decide_how_to_count(self, counter: Outcome) -> None:
        branches = ["line_counter", "own_code"]
        branch = branches[1] if counter.error else branches[0]
        reason = f"the command said: {counter.shown}"
        details = {
            "decision_type": "method",
            "decision_point": "how_to_count_lines",
            "input_values": counter.output_data,
            "condition_evaluated": "exit_code == 0",
            "branch_taken": branch,
            "branches_available": branches,
            "reason": reason,
        }
        _show("decision", "Decide", f"count with {branch}, because {reason}")
        self._append("decision", "Decide", "decision", "how_to_count_lines", details)

    def _count_lines(self, texts: dict[str, str]) -> list[tuple[str, int]]:
        started = time.perf_counter()
        counts = {module: len(text.splitlines()) for module, text in texts.items()}
        rows = sorted(counts.items(), key=lambda row: -row[1])
        elapsed_ms = _since_ms(started)
        details = {
            "transformation_type": "aggregate",
            "transformation_name": "lines_per_module",
            "input_schema": {"module": "text", "content": "text"},
            "input_size": len(texts),
            "output_schema": {"module": "text", "lines": "integer"},
            "output_sample": rows[:3],
            "output_size": len(rows),
            "method": "str.splitlines",
        }
        _show("analyze", "CountLines", f"{len(texts)} texts to {len(rows)} rows")
        event = ("analyze", "CountLines", "transformation", "lines_per_module", details)
        self._append(*event, duration_ms=elapsed_ms)
        return rows

    def _write_table(self, rows: list[tuple[str, int]]) -> None:
        def work() -> Outcome:
            content = "".join(f"{module}\t{lines}\n" for module, lines in rows)
            (self._workplace / "lines.tsv").write_text(content, "utf-8")
            return Outcome(f"lines.tsv: {len(rows)} rows", {"bytes": len(content)})

        links = [
            {"entity_table": "modules", "entity_id": module, "link_type": "describes"}
            for module, _ in rows
        ]
        more = {"files_affected": ["lines.tsv"], "entity_links": links, "read_only": False}
        self._call("create", "Write", {"file_path": "lines.tsv"}, work, **more)

    def _note(self, name: str, text: str) -> None:
        _show("analyze", name, text)
        self._append("analyze", "Note", "annotation", name, {"text": text})

    def _call(
        self,
        type_: str,
        tool: str,
        input_params: Action,
        work: Callable[[], Outcome],
        **more: object,
    ) -> Outcome:
        """Do the work, then record what it was, how it ended and how long it took."""
        started_at, started = datetime.now(UTC), time.perf_counter()
        outcome = work()
        action = {
            "timestamp": format_timestamp(started_at),
            "status": "failure" if outcome.error else "success",
            "duration_ms": _since_ms(started),
            "read_only": True,
            "error": outcome.error,
            **more,
        }
        details = {"input_params": input_params, "output_data": outcome.output_data}
        self._append(type_, tool, "tool_call", tool, details, **action)
        _show(type_, tool, ("FAILED " if outcome.error else "") + outcome.shown)
        return outcome

    def _append(
        self, type_: str, tool: str, event_type: str, name: str, details: Action, **more: object
    ) -> None:
        event = {"event_type": event_type, "event_name": name, "details": details}
        action = {"type": type_, "tool": tool, "status": "success", **event, **more}
        self._recording.append(action)


def _since_ms(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)


def _show(type_: str, what: str, text: str) -> None:
    print(elide(f"  {type_:<9}{what:<11}{text}", COLUMNS))


def record(store: Store, workplace: Path) -> None:
    """Run the agent in a new session of the store."""
    header = SessionHeader(
        agent_type="demo",
        query=QUESTION,
        model="none",
        goals=("show the whole round",),
        project="provenance-log",
        user_context={
            "user": os.environ.get("USER", "unknown"),
            "python_version": platform.python_version(),
            "platform": platform.system(),
        },
    )
    recording = start_session(store, header)
    try:
        answer = Agent(REPOSITORY, workplace, recording).run()
    except BaseException as error:
        recording.end(success=False, error_message=repr(error))
        raise
    recording.end(success=True, result_summary=answer)


class CommandLine:
    """The installed `provlog`, run in a project's directory as a person would."""

    def __init__(self, project: Path) -> None:
        """Settings of whoever runs the demo are left out."""
        beside_python = Path(sys.executable).with_name("provlog")
        from_source = [sys.executable, "-m", "provenance_log.cli"]
        self._program = [str(beside_python)] if beside_python.exists() else from_source
        self._project = project
        self._environment = {**os.environ, "COLUMNS": str(COLUMNS)}
        for name in (ENV_ROOT, ENV_DATABASE):
            self._environment.pop(name, None)

    def run(self, *arguments: str) -> str:
        """Print a command and what it answers, and return the answer."""
        shown = " ".join(f'"{word}"' if " " in word else word for word in arguments)
        print(f"\n$ provlog {shown}", flush=True)
        # Into a pipe no table is cut, so the command gets a terminal of its own to write to.
        reading, writing = pty.openpty()
        with os.fdopen(reading, "rb", buffering=0) as terminal:
            process = subprocess.Popen(
                [*self._program, *arguments],
                cwd=self._project,
                env=self._environment,
                stdout=writing,
            )
            os.close(writing)
            answer = _read_all(terminal).decode("utf-8", "replace").replace("\r\n", "\n")
            exit_code = process.wait()
        print(answer, end="", flush=True)
        if exit_code != 0:
            raise ProvlogError(f"provlog {arguments[0]} ended with exit code {exit_code}")
        return answer


def _read_all(terminal: FileIO) -> bytes:
    pieces = []
    try:
        while piece := terminal.read(65_536):
            pieces.append(piece)
    except OSError as error:
        if error.errno != errno.EIO:  # how Linux says that nobody writes to it any more
            raise
    return b"".join(pieces)


def look(provlog: CommandLine, store: Store) -> None:
    """Show the sessions, the newest one, and the beginning of its summary."""
    provlog.run("sessions")
    provlog.run("show", "latest", "--actions", _ACTIONS_SHOWN)
    summary = store.session_directories()[-1].path / "summary.md"
    print(f"\nsessions/{summary.parent.name}/summary.md begins:")
    for line in summary.read_text("utf-8").splitlines()[:_SUMMARY_LINES]:
        print(textwrap.fill(line, COLUMNS, initial_indent="  ", subsequent_indent="  "))


def derived_files(store: Store) -> dict[str, bytes]:
    """Return the content of every manifest, summary and index, by its path below the root."""
    paths = [
        *store.sessions_dir.glob("*/manifest.yaml"),
        *store.sessions_dir.glob("*/summary.md"),
        *(path for path in store.indices_dir.rglob("*") if path.is_file()),
    ]
    return {path.relative_to(store.root).as_posix(): path.read_bytes() for path in sorted(paths)}


def delete_derived(store: Store) -> None:
    """Delete the database, the manifests, the summaries and the indices."""
    paths = [
        *store.root.glob(f"{store.database.name}*"),
        *map(store.root.joinpath, derived_files(store)),
    ]
    for path in paths:
        path.unlink()
    print(f"\ndeleted: the database, manifest, summary and indices ({len(paths)} files)")


def demonstrate(project: Path) -> bool:
    """Go the whole round in a directory; return True if all that was deleted came back equal."""
    provlog = CommandLine(project)
    provlog.run("init")
    store = open_store(project / ROOT_BELOW_PROJECT)
    print(f"\na small agent works, and records what it does:\n  {QUESTION}")
    record(store, project)
    provlog.run("project")
    look(provlog, store)
    answer, files = provlog.run("query", QUERY), derived_files(store)
    delete_derived(store)
    provlog.run("rebuild")
    is_same = provlog.run("query", QUERY) == answer and derived_files(store) == files
    if is_same:
        print(
            f"\nThe same answer, and {len(files)} files byte for byte the same, from the log alone."
        )
    else:
        print("\nNOT the same as before: the answer or a derived file differs.", file=sys.stderr)
    return is_same


def main() -> None:
    """Demonstrate in a temporary directory, or in one that is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new directory that stays")
    keep: Path | None = parser.parse_args().keep
    with ExitStack() as stack:
        if keep is None:
            temporary = tempfile.TemporaryDirectory(prefix="provlog-demo-")
            project = Path(stack.enter_context(temporary)).resolve()
        else:
            if keep.exists():
                sys.exit(f"error: {keep} is there already; name a new directory")
            keep.mkdir(parents=True)
            project = keep.resolve()
        try:
            is_same = demonstrate(project)
        except ProvlogError as error:
            sys.exit(f"error: {error}")
    if keep is not None:
        print(f"Kept in {keep}.")
    sys.exit(0 if is_same else 1)


if __name__ == "__main__":
    main()
