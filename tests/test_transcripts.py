"""Transcript files as bytes: what is a record, what is not, and what is recovered."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcript_records import SESSION, Script

from provenance_log.claude_code import transcripts
from provenance_log.claude_code.transcripts import open_transcript, recover
from provenance_log.errors import TranscriptInvalid

FIRST = {"type": "user", "sessionId": SESSION, "uuid": "1", "message": {"content": "hello"}}
LAST = {"type": "assistant", "sessionId": SESSION, "uuid": "2", "message": {"content": []}}


def line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


# The records, and of each problem the line, byte, reason and number of records recovered.
Found = tuple[list[Any], list[tuple[int, int, str, int]]]


def read(path: Path) -> Found:
    transcript = open_transcript(path)
    records = [record for _line, record in transcript.records()]
    problems = [(p.line, p.offset, p.reason, p.recovered_count) for p in transcript.problems]
    return records, problems


def read_between(
    tmp_path: Path, middle: bytes
) -> tuple[list[Any], list[tuple[int, int, str, int]]]:
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(line(FIRST) + middle + line(LAST))
    records, problems = read(path)
    assert records[0] == FIRST
    assert records[-1] == LAST
    return records[1:-1], problems


def test_every_json_value_of_the_real_transcripts_is_a_record(shared_data: Path) -> None:
    decoder = json.JSONDecoder()
    for path in sorted((shared_data / "claude-code" / "transcripts").iterdir())[::3]:
        values = []
        for content in path.read_text("utf-8").split("\n"):
            rest = content.strip()
            while rest:
                value, end = decoder.raw_decode(rest)
                values.append(value)
                rest = rest[end:].strip()
        records, _problems = read(path)
        assert records == values, path.name


def test_two_records_on_one_line_are_both_read_and_the_line_is_named(shared_data: Path) -> None:
    path = shared_data / "claude-code" / "transcripts" / "8c_fa910f8ef9_0_full.jsonl"
    _records, problems = read(path)
    lines = path.read_bytes().split(b"\n")
    offsets = {number: sum(len(one) + 1 for one in lines[: number - 1]) for number in (115, 241)}
    assert problems == [
        (number, offset, "2 records on one line", 2) for number, offset in offsets.items()
    ]


def test_a_byte_order_mark_blank_lines_and_crlf_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line(FIRST) + b"\n \t\r\n" + line(LAST)[:-1] + b"\r\n")
    assert read(path) == ([FIRST, LAST], [])


@pytest.mark.parametrize(
    ("middle", "found", "reason"),
    [
        (b"\0\0\0" + line(FIRST), [FIRST], "NUL bytes around a record"),
        (b"\0\0\0\0\n", [], "only NUL bytes"),
        (line(FIRST)[:40] + line(LAST), [LAST], "a torn record"),
        (line(FIRST)[:40] + b"\n", [], "the line ends in the middle of a record"),
        (line(FIRST)[:-1] + line(LAST), [FIRST, LAST], "2 records on one line"),
        (b'{"type":"user","x":"\xff\xfe"}\n', [{"type": "user", "x": "\ufffd\ufffd"}], "not UTF-8"),
        (b'{"type":"user","x":"\\ud83d"}\n', [{"type": "user", "x": "\ud83d"}], "lone surrogates"),
        (b'{"type":"user","x":NaN}\n', [], "not JSON"),
        (b"[" * 100_000 + b"\n", [], "not JSON"),
        (b'"text"\n', [], "a text, not a record"),
        (b"42\n", [], "a number, not a record"),
        (b"[1]\n", [], "an array, not a record"),
        (b'{"silly": "this"}\n', [], "an object without a type (its keys: 'silly')"),
    ],
)
def test_damage_is_named_and_both_neighbours_survive(
    tmp_path: Path, middle: bytes, found: list[Any], reason: str
) -> None:
    records, problems = read_between(tmp_path, middle)
    assert records == found
    assert [(number, offset, count) for number, offset, _, count in problems] == [
        (2, len(line(FIRST)), len(found))
    ]
    assert problems[0][2].startswith(reason)


def test_an_object_inside_a_torn_record_is_not_taken_for_a_record(tmp_path: Path) -> None:
    torn = b'{"parentUuid":null,"message":{"content":[{"type":"text","text":"hi"}]},"cut":"he'
    assert read_between(tmp_path, torn + b"\n")[0] == []


def test_a_line_that_is_too_long_is_passed_over_and_its_successor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "LINE_BYTES_MAX", 1000)
    records, problems = read_between(tmp_path, line({"type": "user", "x": "y" * 5000}))
    assert records == []
    assert problems == [(2, len(line(FIRST)), "the line is longer than 1000 bytes", 0)]


def test_a_last_line_that_is_still_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    whole = line(FIRST) + line(LAST)
    for size in range(len(line(FIRST)), len(whole) - 1):
        path.write_bytes(whole[:size])
        assert read(path) == ([FIRST], []), size
    path.write_bytes(whole[:-1])
    assert read(path) == ([FIRST, LAST], [])


@given(st.binary(max_size=300).map(lambda data: data.replace(b"\n", b" ")))
def test_any_bytes_between_two_records_leave_both_whole(
    tmp_path_factory: pytest.TempPathFactory, middle: bytes
) -> None:
    read_between(tmp_path_factory.getbasetemp(), middle + b"\n")


def test_json_documents_of_every_kind_leave_their_neighbours_whole(
    shared_data: Path, tmp_path: Path
) -> None:
    documents = sorted((shared_data / "jsontestsuite").glob("*.json"))
    assert documents
    for document in documents:
        read_between(tmp_path, document.read_bytes().replace(b"\n", b" ") + b"\n")


def test_memory_of_the_problems_is_bounded_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(line(FIRST) + b"no\n" * 500)
    transcript = open_transcript(path)
    list(transcript.records())
    assert transcript.problem_count == 500
    assert len(transcript.problems) == transcripts.PROBLEMS_MAX


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b'{\n  "sessionId": "x",\n  "messages": []\n}\n',
            "a JSON document spread over many lines",
        ),
        (b'[\n  {"type": "user"}\n]\n', "a JSON document spread over many lines"),
        (b'[{"type": "user", "sessionId": "x"}]\n', "an array, not a record"),
        (b'{"type":"session_meta","payload":{}}\n', "a record of type 'session_meta'"),
        (b'{"sessionId":"x"}\n', "an object without a type (its keys: 'sessionId')"),
        (b"# Notes\n\nSome text.\n", "not JSON"),
        (b"\x7fELF\xff\xfe\x00\n", "not UTF-8 at byte 4 of the line"),
    ],
)
def test_a_file_that_is_no_transcript_is_refused_with_its_place_and_a_hint(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    with pytest.raises(TranscriptInvalid) as caught:
        open_transcript(path)
    error = caught.value
    assert (error.path, error.line, error.offset) == (path, 1, 0)
    assert error.message.startswith(f"not a Claude Code transcript: {reason}")
    assert "provlog import claude-code" in str(error.hint)


def test_the_files_of_other_agents_are_refused(shared_data: Path) -> None:
    paths = sorted((shared_data / "claude-code" / "not_claude").iterdir())
    assert len(paths) == 8
    for path in paths:
        with pytest.raises(TranscriptInvalid, match="spread over many lines"):
            open_transcript(path)


def test_a_transcript_is_recognised_behind_damage_at_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(b"\0\0\0\n" + line(FIRST))
    assert open_transcript(path).session_id == SESSION


@pytest.mark.parametrize("content", [b"", b"\n\n", line({"type": "summary", "leafUuid": "x"})])
def test_a_file_without_a_session_is_a_transcript_of_nothing(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(content)
    assert open_transcript(path).session_id == ""


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(TranscriptInvalid, match="can't be read: No such file"):
        open_transcript(tmp_path / "missing.jsonl")
    with pytest.raises(TranscriptInvalid, match="can't be read: Is a directory"):
        open_transcript(tmp_path)


def test_a_subagents_file_names_its_agent_and_the_trunk(tmp_path: Path) -> None:
    script = Script(isSidechain=True, agentId="abc1234")
    script.prompt("look around")
    transcript = open_transcript(script.write(tmp_path / "agent-abc1234.jsonl"))
    assert (transcript.session_id, transcript.agent_id) == (SESSION, "abc1234")


@given(st.lists(st.sampled_from([FIRST, LAST, {"a": 1}, 7, "x", None]), max_size=4))
def test_values_on_one_line_come_back_in_order(values: list[Any]) -> None:
    found, _reason = recover(b" ".join(line(value)[:-1] for value in values))
    assert found == values
