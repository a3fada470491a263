"""The promises that fuzzing puts to the test: each target takes bytes and raises `Violated`.

A target is made once for a process, with a directory of its own, and called for every input.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from attacks.poison_lines import by_duckdb, by_jq, has_key_twice
from attacks.poison_logs import disagreements, project_and_compare, same, small_log
from provenance_log import reader
from provenance_log.claude_code.arriving import ENV_PROJECT, arrive
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.errors import LineInvalid, ProvlogError
from provenance_log.format import decode, encode, encode_body, line_hash
from provenance_log.reader import START, RawLine, ReadPosition
from provenance_log.redact import RedactionSettings, Redactor
from provenance_log.redaction_marks import REDACTED_KEY
from provenance_log.spool import spooled_paths
from provenance_log.store import Store, initialise_store, open_store
from provenance_log.values import representable
from provenance_log.verifying import verify_log

_BATCH = 500
_LOGS_PER_DATABASE = 256
_MOMENT_US = 1_767_225_600_000_000


class Violated(Exception):
    """A promise is broken; the text says which."""


def demand(is_kept: bool, promise: str) -> None:
    """Raise `Violated` where a promise is not kept."""
    if not is_kept:
        raise Violated(promise)


def demand_none(texts: Iterable[str]) -> None:
    """Raise `Violated` with the first of the texts, if there is one."""
    for text in texts:
        raise Violated(text)


class LogReader:
    """Bytes of a log: framing, any division into chunks, both directions, and each line."""

    def __init__(self, _directory: Path) -> None:
        self._fd = os.memfd_create("log")

    def __call__(self, data: bytes) -> None:
        """Read the bytes in every way that there is."""
        fd = self._fd
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)
        contents = data.split(b"\n")
        lines = list(_chunks(fd, len(data) + 1))
        demand([raw.content for raw in lines] == contents[:-1], "other lines than the bytes have")
        chunk_bytes = 1 + (data[0] * 7 if data else 0)
        demand(list(_chunks(fd, chunk_bytes)) == lines, f"other lines in chunks of {chunk_bytes}")
        backwards = list(reader.lines_backwards(fd, len(data) + 1))
        demand(backwards == contents[:-1][::-1], "other lines backwards")
        with_needle = list(reader.lines_with(fd, b'"tool"'))
        demand(with_needle == [one for one in contents[:-1] if b'"tool"' in one], "lines_with")
        tail = reader.read_tail(fd)
        demand(tail.is_torn == (contents[-1] != b""), "the tail is torn or not")
        last = contents[-1] or (contents[-2] if len(contents) > 1 else None)
        demand(last is None or tail.prev == line_hash(last), "the hash of the last line")
        demand_none(disagreements(lines))


def _chunks(fd: int, bytes_max: int) -> Iterable[RawLine]:
    position: ReadPosition = START
    while True:
        chunk = reader.read_chunk(fd, position, bytes_max=bytes_max)
        yield from chunk.lines
        if not chunk.lines:
            return
        position = chunk.end


class LineDecoder:
    """One line: what is taken is one value to Python, DuckDB and jq, and can be written again."""

    def __init__(self, _directory: Path) -> None:
        self._taken: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        """Decode the bytes as a line; the other parsers are asked in batches."""
        line = data.replace(b"\n", b" ")
        try:
            value = decode(line)
        except LineInvalid:
            return
        demand(same(value, json.loads(line)), "Python makes another value of it")
        self._write_again(value)
        self._taken.append(line)
        if len(self._taken) >= _BATCH:
            self._compare()

    @staticmethod
    def _write_again(value: dict[str, Any]) -> None:
        given = {key: item for key, item in value.items() if key not in {"action_id", "prev"}}
        try:
            again = encode(given, action_id=1, prev="0" * 64)
        except LineInvalid:
            return  # a reader takes more than a writer makes
        found = decode(again)
        for key, item in given.items():
            demand(item is None or same(found.get(key), item), f"{key!r} is another when written")

    def _compare(self) -> None:
        lines, self._taken = self._taken, []
        self._compare_with("DuckDB", by_duckdb, [one for one in lines if not has_key_twice(one)])
        if shutil.which("jq"):
            self._compare_with("jq", by_jq, lines)

    @staticmethod
    def _compare_with(
        name: str, parse: Callable[[Sequence[bytes]], list[Any]], lines: Sequence[bytes]
    ) -> None:
        values = parse(lines)
        demand(len(values) == len(lines), f"{name} reads another number of values")
        for line, value in zip(lines, values, strict=True):
            is_same = same(decode(line).get("details"), value)
            demand(is_same, f"{name} reads another value: {line.hex()}")


class Redaction:
    """Any value: redaction raises nothing, is done once and for all, and can be written."""

    def __init__(self, _directory: Path) -> None:
        self._redactor = Redactor(RedactionSettings(), lambda: b"0" * 32)

    def __call__(self, data: bytes) -> None:
        """Redact what the bytes are as JSON, or as text."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            value = data.decode("utf-8", "replace")
        action = representable({"tool": "Bash", "details": {"input_params": value}})
        once = self._redactor.redact(action)
        twice = self._redactor.redact(json.loads(orjson.dumps(once)))
        demand(_without_list(once) == _without_list(twice), "redacting again changes it")
        encode_body(
            {
                "timestamp": "2026-01-10T14:30:15.000000Z",
                **once,
                "type": "read",
                "status": "success",
            }
        )


def _without_list(action: dict[str, Any]) -> bytes:
    details = {key: item for key, item in action["details"].items() if key != REDACTED_KEY}
    return orjson.dumps({**action, "details": details})


class Projection:
    """Bytes behind the first line of a session: the tables hold what the reader finds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._inputs: list[bytes] = []
        self._count = 0

    def __call__(self, data: bytes) -> None:
        """Keep the bytes, and project hundreds of them at once."""
        self._inputs.append(data)
        if len(self._inputs) < _LOGS_PER_DATABASE:
            return
        root = self._directory / f"store-{self._count}"
        initialise_store(root)
        store = open_store(root)
        for number, given in enumerate(self._inputs):
            log = store.sessions_dir / f"log-{number:05d}" / "actions.jsonl"
            log.parent.mkdir()
            log.write_bytes(small_log(number).split(b"\n")[0] + b"\n" + given)
        demand_none(project_and_compare(store))
        shutil.rmtree(root)
        self._inputs.clear()
        self._count += 1


class _OfStore:
    """A store that is empty again before every input."""

    def __init__(self, directory: Path) -> None:
        root = directory / "project" / ".claude" / "provenance"
        initialise_store(root)
        self.store: Store = open_store(root)

    def clear(self) -> None:
        for directory in (
            self.store.sessions_dir,
            self.store.indices_dir,
            self.store.root / "spool",
        ):
            shutil.rmtree(directory, ignore_errors=True)
        self.store.sessions_dir.mkdir()
        self.store.by_id_dir.mkdir(parents=True)
        (self.store.root / "recorder-problems.jsonl").unlink(missing_ok=True)

    def demand_sound_logs(self) -> int:
        """Return how many lines there are; each has to be an action, and chained."""
        count = 0
        for directory in self.store.session_directories():
            report = verify_log(directory.log)
            demand(report.verdict == "OK", f"a log of ours: {report.levels}")
            count += report.line_count
        return count


class TranscriptImport(_OfStore):
    """A transcript: imported without any but the documented errors, and only once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._path = directory / "transcript.jsonl"

    def __call__(self, data: bytes) -> None:
        """Import the bytes twice."""
        self.clear()
        self._path.write_bytes(data)
        try:
            import_transcripts(self.store, [self._path])
        except ProvlogError:
            return
        count = self.demand_sound_logs()
        again = import_transcripts(self.store, [self._path])
        demand(again.added_count == 0, f"importing again adds {again.added_count}")
        demand(self.demand_sound_logs() == count, "importing again adds lines")


class HookPayload(_OfStore):
    """What is on a hook's stdin: it is in the log, or counted as no payload; nothing is raised."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        os.environ[ENV_PROJECT] = str(directory / "project")

    def __call__(self, data: bytes) -> None:
        """Let the bytes arrive in the process that they would be read in."""
        self.clear()
        arrive(data, _MOMENT_US)
        count = self.demand_sound_logs()
        problems = self._problems()
        demand(bool(count) != bool(problems), f"{count} lines, and problems: {problems}")
        demand(not spooled_paths(self.store.root), "spooled where nobody was in the way")
        demand(all("record" not in text for text in problems), f"problems: {problems}")

    def _problems(self) -> list[str]:
        path = self.store.root / "recorder-problems.jsonl"
        if not path.exists():
            return []
        return [str(orjson.loads(line)["reason"]) for line in path.read_bytes().splitlines()]


TARGETS: dict[str, Callable[[Path], Callable[[bytes], None]]] = {
    "reader": LogReader,
    "decoder": LineDecoder,
    "redaction": Redaction,
    "projector": Projection,
    "importer": TranscriptImport,
    "hook": HookPayload,
}
