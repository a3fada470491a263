"""`provlog start`, `record` and `end`: recording from a shell, for agents in any language."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from provenance_log.appender import Appended, Appender
from provenance_log.commands import json_option, store_options
from provenance_log.environment import surroundings
from provenance_log.errors import LineInvalid, ProvlogError, SessionNotFound
from provenance_log.format import STATUSES
from provenance_log.recording import Recording, SessionHeader, reopen_session, start_session
from provenance_log.session_names import find_session_log
from provenance_log.settings import Settings, load_settings
from provenance_log.store import Store, open_store
from provenance_log.terminal import escape
from provenance_log.tracked_session import depth_of_session

ENV_SESSION = "PROVLOG_SESSION"
_SESSION_HINT = f"name it, or set {ENV_SESSION} to what `provlog start` printed"


@click.command()
@store_options
@click.option("--agent", required=True, metavar="TYPE", help="What kind of agent records.")
@click.option("--query", default="", metavar="TEXT", help="What the agent is asked to do.")
@click.option("--model", metavar="NAME", help="The model that drives it.")
@click.option("--agent-version", metavar="TEXT", help="The version of the agent.")
@click.option("--project", metavar="NAME", help="The project it works for.")
@click.option("--goal", "goals", multiple=True, metavar="TEXT", help="A goal; may be repeated.")
@click.option("--parent", metavar="SESSION", help="The session that started this one.")
@click.option("--kwargs", metavar="JSON", help="Further arguments, as one JSON object.")
def start(
    root: Path | None,
    database: Path | None,
    agent: str,
    query: str,
    model: str | None,
    agent_version: str | None,
    project: str | None,
    goals: tuple[str, ...],
    parent: str | None,
    kwargs: str | None,
) -> None:
    """Start a session and print its id, which `record`, `run` and `end` take.

    \b
    Example:
      provlog start --agent my-script --query "which media?"
      export PROVLOG_SESSION=$(provlog start --agent my-script)
      provlog record --tool curl --input '{"url": "https://example.org"}'
      provlog end
    """
    store = open_store(root, database)
    above = None if parent is None else find_session_log(store, parent)
    header = SessionHeader(
        agent_type=agent,
        query=query,
        agent_version=agent_version,
        kwargs=_json_object("--kwargs", kwargs),
        model=model,
        user_context=surroundings(),
        parent_session_id=None if above is None else above.session_id,
        depth=0 if above is None else depth_of_session(store, above.session_id) + 1,
        goals=goals,
        project=project,
    )
    session = start_session(store, header, durability=load_settings(store.root).durability)
    session.close()
    click.echo(session.session_id)


@click.command()
@store_options
@json_option
@click.option("--tool", metavar="NAME", help="The tool that was used.")
@click.option("--type", "action_type", metavar="TYPE", help="Default: as action-types.yaml says.")
@click.option("--status", type=click.Choice(STATUSES), help="Default: failure with --error.")
@click.option("--input", "given", metavar="JSON", help="What went in; text that is no JSON too.")
@click.option("--output", metavar="JSON", help="What came out; text that is no JSON too.")
@click.option("--error", metavar="TEXT", help="What went wrong.")
@click.option("--duration-ms", type=click.IntRange(min=0), metavar="N", help="How long it took.")
@click.option("--file", "files", multiple=True, metavar="PATH", help="A file it touched.")
@click.option("--event", "event_type", metavar="TYPE", help="Default: tool_call.")
@click.option("--read-only", is_flag=True, help="It changed nothing.")
@click.argument("session", required=False, envvar=ENV_SESSION)
@click.pass_context
def record(
    context: click.Context,
    /,
    root: Path | None,
    database: Path | None,
    as_json: bool,
    session: str | None,
    tool: str | None,
    **options: Any,
) -> None:
    """Append actions to a session: one from options, or JSON objects from stdin, one a line.

    SESSION is a session id or the beginning of one, the name or path of its directory, or
    `latest`; by default PROVLOG_SESSION. Each object is an action line without its numbers: it
    needs `tool`, and may have `type`, `status`, `details`, `error`, `files_affected` … Each is
    in the log before the next one is read. A line that is no action is told on stderr and passed
    over; the exit code is then 1.

    \b
    Example:
      provlog record --tool wc --input '{"file": "a.csv"}' --output 42 --duration-ms 7
      echo '{"tool": "Read", "files_affected": ["a.csv"]}' | provlog record latest
      my-agent | provlog record 3f2a91c0
    """
    store = open_store(root, database)
    settings = load_settings(store.root)
    recording = open_recording(store, session)
    if tool is not None:
        _append(recording, _completed(_from_options(tool, **options), settings), as_json)
        return
    if any(value not in (None, (), False) for value in options.values()):
        raise click.UsageError("Give --tool, or JSON on stdin.", context)
    is_complete = True
    for number, line in _lines(sys.stdin.buffer):
        try:
            _append(recording, _completed(_parsed(line), settings), as_json)
        except LineInvalid as error:
            is_complete = False
            click.echo(f"error: stdin, line {number}: {escape(error.message)}", err=True)
    if not is_complete:
        context.exit(1)


@click.command()
@store_options
@click.option("--failure", is_flag=True, help="It did not succeed; so too with --error.")
@click.option("--result", metavar="JSON", help="What came of it; text that is no JSON too.")
@click.option("--error", metavar="TEXT", help="Why it failed.")
@click.argument("session", required=False, envvar=ENV_SESSION)
def end(
    root: Path | None,
    database: Path | None,
    session: str | None,
    failure: bool,
    result: str | None,
    error: str | None,
) -> None:
    """End a session; the last line is on the disk when this returns.

    SESSION is as for `provlog record`. A session that is recorded into afterwards is open again.

    \b
    Example:
      provlog end
      provlog end latest --error "the service was down"
    """
    recording = open_recording(open_store(root, database), session)
    recording.end(
        success=not failure and error is None,
        result_summary=None if result is None else _json_or_text(result),
        error_message=error,
    )


def open_recording(store: Store, given: str | None) -> Recording:
    """Return a recording that goes on with the session that `given` names.

    Raises `SessionNotFound`.
    """
    if not given:
        raise SessionNotFound("which session?", hint=_SESSION_HINT)
    durability = load_settings(store.root).durability
    known = reopen_session(store, given, durability=durability)
    if known is not None:
        return known
    log = find_session_log(store, given)
    return Recording(
        log.session_id, log.directory, Appender(log.directory.log, durability=durability)
    )


def _append(recording: Recording, action: dict[str, Any], as_json: bool) -> None:
    appended: Appended = recording.append(action)
    if as_json:
        entry = {"session_id": recording.session_id, "action_id": appended.action_id}
        click.echo(json.dumps(entry))


def _from_options(tool: str, **options: Any) -> dict[str, Any]:
    given, output, error = options["given"], options["output"], options["error"]
    details = {
        "input_params": None if given is None else _json_or_text(given),
        "output_data": None if output is None else _json_or_text(output),
        "output_size_bytes": None if output is None else len(output.encode()),
    }
    action = {
        "tool": tool,
        "type": options["action_type"],
        "status": options["status"],
        "duration_ms": options["duration_ms"],
        "details": {key: value for key, value in details.items() if value is not None},
        "files_affected": list(options["files"]),
        "read_only": True if options["read_only"] else None,
        "error": None if error is None else {"message": error, "code": "error"},
        "event_type": options["event_type"],
    }
    return {key: value for key, value in action.items() if value not in (None, [], {})}


def _completed(action: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Add what an action may leave out; raises `LineInvalid` for one without a tool."""
    tool = action.get("tool")
    if not isinstance(tool, str) or not tool:
        raise LineInvalid("missing_key", "an action needs a 'tool', and it must be a text")
    event_type = str(action.get("event_type") or "tool_call")
    rest = {key: value for key, value in action.items() if key not in {"action_id", "prev"}}
    return {
        "type": settings.taxonomy.type_of_event(event_type, tool),
        "status": "failure" if action.get("error") else "success",
        "event_type": event_type,
        "event_name": tool,
        **rest,
    }


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LineInvalid("not_json", f"not JSON: {error.msg}") from error
    if not isinstance(value, dict):
        raise LineInvalid("not_object", "JSON, but no object")
    return value


def _lines(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers."""
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line


def _json_or_text(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _json_object(option: str, text: str | None) -> dict[str, Any]:
    value = {} if text is None else _json_or_text(text)
    if not isinstance(value, dict):
        raise ProvlogError(f"{option} is no JSON object", hint="write it as '{\"name\": 1}'")
    return value
