"""What made other readers stop, crash or hide a session, in our logs and before our readers.

NUL bytes after a crash, lines that are none, numbers that run backwards, a chain that was cut.
The first words of each docstring are the thread; docs/field-failures.md tells what happened there.
"""

from pathlib import Path

import orjson
import pytest
from archive_cases import archive, names_in, restored
from imported_sessions import call_ids, new_store
from log_cases import chain, line, read_all
from looking_cases import run_provlog
from transcript_records import Script

from faults.field_cases import call, die_appending, resumed, seen, started, tools_of
from projections.projector import catch_up
from provenance_log.anchors import anchor_beside
from provenance_log.appender import Appender
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.errors import TranscriptInvalid
from provenance_log.format import line_hash
from provenance_log.store import Store
from provenance_log.verifying import EXIT_OK, EXIT_TAMPERED, NOT_PROVED_END, verify_log

pytestmark = pytest.mark.usefixtures("field_failure")


def test_nothing_after_a_block_of_nul_bytes_is_lost(store: Store) -> None:
    """anthropics/claude-code#49876: B3, F19. Blocks of 200 to 700 bytes, as ext4 leaves."""
    recording = started(store, "s1", "before")
    for size in (200, 453, 700):
        with recording.directory.log.open("ab") as file:
            file.write(b"\0" * size + b"\n")
        recording.append(call(f"after {size}"))
    recording.close()

    bad = [(line_number, "control_byte") for line_number in (3, 5, 7)]
    assert seen(store) == {"s1": (["before", "after 200", "after 453", "after 700"], bad)}


def test_session_with_nul_blocks_is_listed_with_all_its_other_lines(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """anthropics/claude-code#76059: B3, F19. 9 KB behind a record, 143 KB at the end."""
    recording = started(store, "s1", *(f"call {number}" for number in range(126)))
    recording.close()
    log = recording.directory.log
    lines = log.read_bytes().splitlines(keepends=True)
    record = b'{"type":"user","text":"' + b"x" * 134 + b'"}'
    lines.insert(64, record + b"\0" * 9 * 1024 + b"\n")
    log.write_bytes(b"".join(lines) + b"\0" * 143 * 1024)

    tools = [f"call {number}" for number in range(126)]
    assert seen(store) == {"s1": (tools, [(65, "control_byte")])}
    (session,) = run_provlog(capsys, store, "sessions", "--json").json
    assert (session["session_id"], session["tool_call_count"]) == ("s1", 126)
    resumed(store, "s1", "after").close()
    bad = [(65, "control_byte"), (129, "control_byte")]
    assert seen(store) == {"s1": ([*tools, "after"], bad)}


def test_session_with_a_cut_last_line_shows_every_line_before_it(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """anthropics/claude-code#53821: B1, F03. And `verify` says that a tail is torn."""
    tools = [f"call {number}" for number in range(300)]
    log = started(store, "s1", *tools).directory.log
    die_appending(log, 150, "cut")

    assert seen(store) == {"s1": (tools, [])}
    assert verify_log(log).verdict == "OK-unsealed-tail"
    shown = run_provlog(capsys, store, "show", "s1", "--json")
    assert (shown.code, shown.json["session"]["tool_call_count"]) == (0, 300)
    resumed(store, "s1", "after").close()
    assert seen(store) == {"s1": ([*tools, "after"], [(302, "not_json")])}


def test_reading_goes_on_behind_a_malformed_line_and_says_how_many_there_were(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """anthropics/claude-code#50347: B3. Two cut records of metadata among thousands of lines."""
    tools = [f"call {number}" for number in range(2_000)]
    recording = started(store, "s1")
    recording.append_many([call(tool) for tool in tools])
    recording.close()
    log = recording.directory.log
    lines = log.read_bytes().splitlines(keepends=True)
    lines[500:500] = [b'{"type":"attachment","attachment":{"type":"queued_comm\n']
    lines[1500:1500] = [b'{"type":"file-history-snapshot","messageId":"8\n']
    log.write_bytes(b"".join(lines))

    assert seen(store) == {"s1": (tools, [(501, "not_json"), (1501, "not_json")])}
    (session,) = run_provlog(capsys, store, "sessions", "--json").json
    assert session["quarantined_count"] == 2
    verdict = verify_log(log)
    assert (verdict.verdict, verdict.first_bad and verdict.first_bad.line) == ("TAMPERED", 501)


def test_one_corrupt_session_costs_no_other_one(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """anthropics/claude-code#20992: B3, F43, F46. Neither a crash nor a recursion without end."""
    started(store, "healthy", "a", "b").close()
    recording = started(store, "corrupt", "a")
    recording.append(call("earlier", timestamp="2026-01-07T15:15:13.309Z"))
    with recording.directory.log.open("ab") as file:
        file.write(b'pbi/gUEKpQ"}]},"timestamp":"2026-01-07T15:15:13.309Z"}\n')
        file.write(b"[" * 100_000 + b"\n" + b'{"a":' * 100_000 + b"\n")
    recording.append(call("b"))
    recording.close()
    started(store, "later", "c").close()

    bad = [(4, "not_json"), (5, "too_deep"), (6, "too_deep")]
    assert seen(store) == {
        "healthy": (["a", "b"], []),
        "corrupt": (["a", "earlier", "b"], bad),
        "later": (["c"], []),
    }
    for command in (["sessions"], ["show", "corrupt"], ["status"], ["stats"]):
        assert run_provlog(capsys, store, *command).code in {0, 1}


def test_nul_tail_stale_locks_and_broken_metadata_at_once_are_no_obstacle(store: Store) -> None:
    """github/copilot-cli#2927: A9, B3, B7, F17. What an uncontrolled shutdown left together."""
    recording = started(store, "s1", "before")
    recording.close()
    catch_up(store)
    directory = recording.directory.path
    with recording.directory.log.open("ab") as file:
        file.write(b"\0" * 1206)
    for name in ("projector.lock", "spool.lock", "daemon.json"):
        (store.root / name).write_bytes(b"999999999 claude\n" + b"\0" * 64)
    (directory / "manifest.yaml").write_bytes(b"\0" * 300)
    for path in store.by_id_dir.iterdir():
        path.write_bytes(b"\0" * 40)

    assert seen(store) == {"s1": (["before"], [])}
    resumed(store, "s1", "after").close()
    assert seen(store) == {"s1": (["before", "after"], [(3, "control_byte")])}


def test_event_of_an_unknown_type_is_an_event(store: Store) -> None:
    """github/copilot-cli#2122: B3, F45. Nothing calls the session corrupted for it."""
    recording = started(store, "s1", "before")
    recording.append(call("note", event_type="system.notification", event_name="system.notify"))
    recording.append(call("after"))
    recording.close()

    assert seen(store) == {"s1": (["before", "note", "after"], [])}
    assert verify_log(recording.directory.log).verdict == "OK"


def test_byte_order_mark_costs_its_line_and_no_other(store: Store, tmp_path: Path) -> None:
    """openai/codex#28139: B3, F42. In a transcript, which others write, it costs nothing."""
    started(store, "healthy", "a").close()
    log = store.sessions_dir / "with-mark" / "actions.jsonl"
    log.parent.mkdir()
    log.write_bytes(b"\xef\xbb\xbf" + b"".join(chain(3)))
    (of_mark,) = (one for session_id, one in seen(store).items() if session_id != "healthy")
    assert of_mark == (["Read", "Read"], [(1, "not_json")])

    script = Script()
    script.prompt("hello")
    script.call("t1")
    script.result("t1")
    path = script.write(tmp_path / "marked.jsonl")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    other = new_store(tmp_path / "other")
    report = import_transcripts(other, [path])
    assert (report.problems, list(call_ids(other).values())) == ([], [["t1"]])


def test_numbers_that_run_backwards_keep_nobody_from_starting(store: Store) -> None:
    """KAFKA-3919: A6, B3, F45. The next number is above all that are there."""
    log = store.sessions_dir / "after-a-power-cut" / "actions.jsonl"
    log.parent.mkdir()
    lines = chain(5)
    repeated = line(3, "0" * 64, tool="Repeated")
    log.write_bytes(b"".join(lines) + repeated + b"\n" + lines[1])

    (found,) = seen(store).values()
    assert found == (["Read"] * 5 + ["Repeated", "Read"], [])
    added = Appender(log).append(call("after"))
    assert added.action_id == 6
    assert tools_of(log)[-1] == "after"
    assert read_all(log).values[-1]["prev"] == line_hash(lines[1][:-1])


def test_log_with_a_tail_of_nul_bytes_is_archived_and_restored_as_it_was(store: Store) -> None:
    """openclaw/openclaw#119887: B3, D1, F19. Six records and 284 NUL bytes."""
    recording = started(store, "s1", *"abcd")
    recording.end(success=True)
    log = recording.directory.log
    with log.open("ab") as file:
        file.write(b"\0" * 284)
    whole = log.read_bytes()
    report = archive(store, "s1")
    assert [session.state for session in report.sessions] == ["archived"]
    assert names_in(store.sessions_dir) == []

    assert restored(store, "s1") == {"s1": ("restored", recording.directory.name)}
    assert log.read_bytes() == whole
    resumed(store, "s1", "after").close()
    assert seen(store) == {"s1": ([*"abcd", "after"], [(7, "control_byte")])}


def test_record_that_is_json_and_no_message_is_imported_around(tmp_path: Path) -> None:
    """anthropics/claude-code#24663: B3. Thousands of numbered keys where a message should be."""
    script = Script()
    script.prompt("hello")
    script.call("t1")
    script.result("t1")
    script.add("assistant", message={str(number): "x" for number in range(5_000)} | {"content": []})
    script.add("assistant", message=[1, 2, 3])
    script.add("user", message={"role": "user", "content": {"0": "h", "1": "i"}})
    script.call("t2")
    script.result("t2")
    store = new_store(tmp_path)
    import_transcripts(store, [script.write(tmp_path / "t.jsonl")])

    assert list(call_ids(store).values()) == [["t1", "t2"]]


def test_separators_of_unicode_in_a_transcript_split_no_record_and_replay_none(
    tmp_path: Path,
) -> None:
    """Arize-ai/coding-harness-tracing#148: B1. Importing again adds nothing."""
    script = Script()
    script.prompt("one\u2028two\u2029three\u0085four")
    script.call("t1")
    script.result("t1", "a\u2028b")
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in script.records))
    store = new_store(tmp_path)
    first, second = import_transcripts(store, [path]), import_transcripts(store, [path])

    assert (first.problem_count, first.call_count, second.added_count) == (0, 1, 0)
    assert list(call_ids(store).values()) == [["t1"]]


def test_spliced_transcript_gives_both_records_or_names_the_torn_one(tmp_path: Path) -> None:
    """delexw/claude-code-trace#66: B3, F19. What Claude Code left behind can still be read."""
    script = Script()
    script.prompt("hello")
    for name in ("t1", "t2", "t3"):
        script.call(name)
        script.result(name)
    lines = [orjson.dumps({"parentUuid": None, **record}) for record in script.records]
    torn = lines[1][:80] + lines[1] + b"\n" + lines[2] + lines[3] + b"\n" + b"\0" * 700 + lines[4]
    path = tmp_path / "t.jsonl"
    path.write_bytes(lines[0] + b"\n" + torn + b"\n" + b"\n".join(lines[5:]) + b"\n")
    store = new_store(tmp_path)
    report = import_transcripts(store, [path])

    assert list(call_ids(store).values()) == [["t1", "t2", "t3"]]
    assert [(problem.line, problem.reason) for problem in report.problems] == [
        (2, "a torn record"),
        (3, "2 records on one line"),
        (4, "NUL bytes around a record"),
    ]
    (tmp_path / "none.jsonl").write_bytes(b"\0" * 5000)
    refused = import_transcripts(store, [tmp_path / "none.jsonl"]).refused
    assert [type(error) for error in refused] == [TranscriptInvalid]


def test_tail_that_was_cut_off_shows_against_the_manifest_and_is_not_vouched_for_without(
    store: Store,
) -> None:
    """msaad00/agent-bom#3697: E2, E4, F70. No chain can show it by itself, and we say so."""
    recording = started(store, "s1", *"abcdef")
    recording.close()
    catch_up(store)
    log = recording.directory.log
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-2]))

    report = verify_log(log, anchor_beside(log))
    assert (report.verdict, report.exit_code) == ("TRUNCATED-vs-anchor", EXIT_TAMPERED)
    alone = verify_log(log)
    assert (alone.verdict, alone.exit_code) == ("OK", EXIT_OK)
    assert NOT_PROVED_END in alone.not_proved


def test_log_that_was_emptied_or_deleted_is_not_valid(store: Store) -> None:
    """flare19/payment-reconciliation-agent-platform#18: E2, E5, F70."""
    recording = started(store, "s1", *"abc")
    recording.close()
    catch_up(store)
    log = recording.directory.log
    log.write_bytes(b"")
    emptied = verify_log(log, anchor_beside(log))
    log.unlink()
    deleted = verify_log(log, anchor_beside(log))

    assert (emptied.verdict, emptied.exit_code) == ("TRUNCATED-vs-anchor", EXIT_TAMPERED)
    assert (deleted.verdict, deleted.exit_code) == ("UNKNOWN", 3)
