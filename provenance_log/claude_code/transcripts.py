"""Read a transcript file: bytes become records, and whatever is none is named by its place.

A transcript is written by another program, which may have been killed in the middle of a line.
The damage seen in the field is a torn line with the next record right behind it, two records on
one line, and runs of NUL bytes. Whole records are recovered from such lines; the rest is reported.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from provenance_log.errors import TranscriptInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Record = dict[str, Any]

LINE_BYTES_MAX = 64 * 1024 * 1024
"""A longer line is passed over and reported; a pasted image makes lines of a few megabytes."""
PROBLEMS_MAX = 100
"""Problems kept per file; all are counted."""
HINT = (
    "its transcripts are below ~/.claude/projects; `provlog import claude-code` finds a project's"
)

_RECORDS_WITHOUT_SESSION = frozenset({"summary", "file-history-snapshot"})
_HEAD_LINES_MAX = 100
_CANDIDATES_MAX = 64
_RECORD_START = re.compile(r'\{"(?:parentUuid|logicalParentUuid|type|sessionId|messageId)":')
_PADDING = " \t\r\n\0"


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that is not exactly one record."""

    path: Path
    line: int
    """Counts from 1."""
    offset: int
    """Byte offset of the line in the file."""
    reason: str
    recovered_count: int = 0
    """Whole records that were found on the line all the same."""

    def __str__(self) -> str:
        """Return `<path>, line N, byte M: reason`."""
        found = f" ({self.recovered_count} records recovered)" if self.recovered_count else ""
        return f"{self.path}, line {self.line}, byte {self.offset}: {self.reason}{found}"


@dataclass(slots=True)
class Transcript:
    """One transcript file that was recognised, and what its beginning says about it."""

    path: Path
    session_id: str
    """The first session id in the file, as written there; empty where no record has one."""
    agent_id: str
    """The subagent whose file this is; empty for the main thread."""
    first_timestamp: str
    size_bytes: int
    line_count: int = 0
    problem_count: int = 0
    problems: list[Problem] = field(default_factory=list)

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield (line number, record) in file order, and note the problems met on the way.

        Memory is bounded by one line. A last line without its newline may still be being written:
        what is no record of it is left for the next import and is no problem.
        """
        self.line_count = self.problem_count = 0
        self.problems = []
        for number, offset, content in _lines(self.path):
            self.line_count = number
            try:
                value = orjson.loads(content)
            except orjson.JSONDecodeError:
                yield from self._recovered(number, offset, content)
                continue
            if is_record(value):
                yield number, value
            else:
                self._note(number, offset, _what_it_is(value))

    def _recovered(self, number: int, offset: int, content: bytes) -> Iterator[tuple[int, Record]]:
        values, reason = recover(content)
        records = [value for value in values if is_record(value)]
        is_complete = content.endswith(b"\n") or len(content) > LINE_BYTES_MAX
        if reason and is_complete:
            self._note(number, offset, reason, len(records))
        for record in records:
            yield number, record

    def _note(self, number: int, offset: int, reason: str, recovered_count: int = 0) -> None:
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(self.path, number, offset, reason, recovered_count))


def is_record(value: object) -> bool:
    """Say whether a decoded line is a record of a transcript: an object that names its type."""
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def open_transcript(path: Path) -> Transcript:
    """Look at the beginning of a file and return what it is.

    Raises `TranscriptInvalid` with the first place that is not as in a transcript, where none of
    the first lines is a record of Claude Code, and where the file can't be read. An empty file,
    and one that holds only records without a session, is a transcript with no session.
    """
    try:
        return _recognised(path)
    except OSError as error:
        reason = f"can't be read: {error.strerror or error}"
        raise TranscriptInvalid(reason, path=path, hint="check the path and permissions") from error


def _recognised(path: Path) -> Transcript:
    transcript = Transcript(path, "", "", "", path.stat().st_size)
    first_problem: Problem | None = None
    is_known = False
    for count, (number, offset, content) in enumerate(_lines(path), start=1):
        values, reason = recover(content)
        for value in values:
            if _is_of_claude_code(value):
                is_known = True
                _learn(transcript, value)
            else:
                reason = reason or _what_it_is(value)
        if reason and first_problem is None:
            first_problem = Problem(path, number, offset, reason)
        if transcript.session_id and transcript.first_timestamp:
            break
        if count >= _HEAD_LINES_MAX and not is_known:
            break
    if not is_known and first_problem is not None:
        raise _not_a_transcript(first_problem)
    return transcript


def _is_of_claude_code(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return isinstance(value.get("sessionId"), str) or value["type"] in _RECORDS_WITHOUT_SESSION


def _learn(transcript: Transcript, record: Record) -> None:
    session_id, agent_id = record.get("sessionId"), record.get("agentId")
    if not transcript.session_id and isinstance(session_id, str):
        transcript.session_id = session_id
        if record.get("isSidechain") is True and isinstance(agent_id, str):
            transcript.agent_id = agent_id
    timestamp = record.get("timestamp")
    if not transcript.first_timestamp and isinstance(timestamp, str):
        transcript.first_timestamp = timestamp


def _not_a_transcript(problem: Problem) -> TranscriptInvalid:
    return TranscriptInvalid(
        f"not a Claude Code transcript: {problem.reason}",
        path=problem.path,
        line=problem.line,
        offset=problem.offset,
        hint=HINT,
    )


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (number, byte offset, content) of the lines that are not blank.

    Only a newline ends a line. Of a line that is too long the beginning is yielded, one byte
    longer than the limit, so that nobody takes it for whole.
    """
    offset = 0
    with path.open("rb") as file:
        number = 0
        while content := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            length = len(content)
            if length > LINE_BYTES_MAX and not content.endswith(b"\n"):
                length += _skip_line(file.readline)
            elif number == 1 and content.startswith(b"\xef\xbb\xbf"):
                content = content[3:]
            if not content.isspace():
                yield number, offset, content
            offset += length


def _skip_line(readline: Any) -> int:
    skipped = 0
    while piece := readline(LINE_BYTES_MAX):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def recover(content: bytes) -> tuple[list[Any], str]:
    """Return every whole JSON value of a line, and why the line is not simply one value.

    The reason is empty for a line that is one value in UTF-8.
    """
    if len(content) > LINE_BYTES_MAX:
        return [], f"the line is longer than {LINE_BYTES_MAX} bytes"
    try:
        return [orjson.loads(content)], ""
    except orjson.JSONDecodeError as error:
        why = _reason_of(content, error)
    text = content.decode("utf-8", "replace")
    values, is_torn, starts_late = _values_of(text)
    if not values:
        return [], why
    if is_torn:
        return values, "a torn record"
    if starts_late:
        return values, "NUL bytes around a record"
    if len(values) > 1:
        return values, f"{len(values)} records on one line"
    return values, "lone surrogates" if "surrogate" in why else why


def _values_of(text: str) -> tuple[list[Any], bool, bool]:
    """Decode one value after the other; after a torn one, go on where a record begins."""
    values: list[Any] = []
    is_torn = False
    has_nul = "\0" in text
    position, end = 0, len(text)
    while True:
        while position < end and text[position] in _PADDING:
            position += 1
        if position == end:
            return values, is_torn, has_nul
        found = _value_at(text, position)
        if found is None:
            is_torn = True
            found = _next_record(text, position + 1)
            if found is None:
                return values, is_torn, has_nul
        values.append(found[0])
        position = found[1]


def _value_at(text: str, position: int) -> tuple[Any, int] | None:
    try:
        return _decoder.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None


def _next_record(text: str, position: int) -> tuple[Any, int] | None:
    """Find a record after a torn one: it begins like a record and reaches the end of the line.

    Reaching the end is what tells it from an object inside the torn record.
    """
    for count, match in enumerate(_RECORD_START.finditer(text, position)):
        if count >= _CANDIDATES_MAX:
            return None
        found = _value_at(text, match.start())
        if found is not None and is_record(found[0]) and not text[found[1] :].strip(_PADDING):
            return found
    return None


def _reason_of(content: bytes, error: orjson.JSONDecodeError) -> str:
    if content.strip() in {b"{", b"["}:
        return "a JSON document spread over many lines, where each line should be a record"
    try:
        content.decode()
    except UnicodeDecodeError as not_utf8:
        return f"not UTF-8 at byte {not_utf8.start} of the line"
    if not content.strip(_PADDING.encode()):
        return "only NUL bytes"
    if "surrogate" in error.msg:
        return "lone surrogates"
    if error.pos >= len(content.decode().rstrip()):
        return "the line ends in the middle of a record"
    return f"not JSON: {error.msg} at character {error.pos} of the line"


def _what_it_is(value: object) -> str:
    if not isinstance(value, dict):
        names = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
        return f"{names.get(type(value), 'a number')}, not a record"
    if isinstance(value.get("type"), str):
        return f"a record of type {value['type'][:40]!r} that belongs to no session"
    return f"an object without a type (its keys: {', '.join(map(repr, list(value)[:4]))})"
