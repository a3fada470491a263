"""What made others read the wrong file, count twice, miss lines or burn a processor, with our logs.

The first words of each docstring are the thread; docs/field-failures.md tells what happened there.
"""

import shutil
from pathlib import Path

import pytest
from imported_sessions import new_store
from projecting import Log, rebuilt, rewrite, session_start
from rebuilding import content
from transcript_records import Script, text, use
from watched import Watched, running

from faults.field_cases import call, resumed, seen, started
from projections import daemon_hints
from projections.database import connect
from projections.projector import catch_up
from provenance_log.claude_code.importing import import_transcripts
from provenance_log.store import Store

pytestmark = pytest.mark.usefixtures("field_failure")


def sessions(store: Store, columns: str) -> list[tuple[object, ...]]:
    catch_up(store)
    with connect(store.database, read_only=True) as connection:
        return connection.execute(f"SELECT {columns} FROM provenance_sessions ORDER BY session_id")


def incidents(store: Store) -> list[tuple[object, ...]]:
    with connect(store.database, read_only=True) as connection:
        return connection.execute("SELECT kind, log FROM provenance_incidents ORDER BY ALL")


def test_of_two_logs_with_the_same_first_line_none_is_passed_over_in_silence(store: Store) -> None:
    """vectordotdev/vector#5833: B4, D2. Where they go on differently, it is told as a fork."""
    for number in range(2):  # two sessions of the same minute and agent are two
        started(store, f"s{number}", "a").close()
    first = Log(store, "kern.log", "same")
    second = store.sessions_dir / "ufw.log" / "actions.jsonl"
    second.parent.mkdir()
    second.write_bytes(first.path.read_bytes())
    first.add(tool="Kern")
    other = Log(store, "copy-of-ufw", "same")
    rewrite(other, first.lines[:1])
    other.add(tool="Ufw")
    second.write_bytes(other.path.read_bytes())
    shutil.rmtree(other.path.parent)

    found = seen(store)
    assert found["s0"] == found["s1"] == (["a"], [])
    assert found["same"] == (["Kern"], [])
    assert incidents(store) == [("fork", "ufw.log")]


def test_new_content_in_an_old_inode_is_read_from_its_start(store: Store) -> None:
    """vectordotdev/vector#25079: B4, F31, F33. Same device, inode and first line, and longer."""
    log = Log(store, "a", "s1")
    for _ in range(3):
        log.add()
    catch_up(store)
    inode = log.path.stat().st_ino
    new = Log(store, "b", "s1")
    for number in range(9):
        new.add(tool=f"New{number}")
    rewrite(log, [log.lines[0], *new.lines[1:]])
    shutil.rmtree(new.path.parent)

    assert log.path.stat().st_ino == inode
    assert seen(store) == {"s1": ([f"New{number}" for number in range(9)], [])}
    assert incidents(store) == [("replaced", "a")]
    assert content(store)["provenance_events"] == rebuilt(store)["provenance_events"]


def test_files_of_no_bytes_are_not_taken_for_one_another(store: Store) -> None:
    """vectordotdev/vector#643: B4, F42. Each is a session as soon as it has a line."""
    logs = [Log(store, f"cron-{number}") for number in range(100)]
    report = catch_up(store)
    assert (report.problems, report.incidents, report.session_ids) == ((), 0, ())
    for number, log in enumerate(logs):
        log.add(**session_start(f"cron {number:03d}"))

    assert seen(store) == {f"cron {number:03d}": ([], []) for number in range(100)}


def test_every_line_is_projected_when_every_notification_was_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gorakhargosh/watchdog#654: B6, F60. A hint only shortens the wait."""
    monkeypatch.setattr(daemon_hints.Waker, "dispatch", lambda _self, _event: None)
    logs = [Log(store, f"session-{number}", f"s{number}") for number in range(20)]
    watched = Watched(store)
    with running(watched):
        for log in logs:
            for _ in range(10):
                log.add()
        watched.until(20 * 11)
    assert content(store) == rebuilt(store)


def read_bytes() -> int:
    """How many bytes this process has read so far, from files or elsewhere."""
    told = Path("/proc/self/io")
    if not told.exists():
        pytest.skip("the system does not tell what a process has read")
    fields = dict(line.split(": ") for line in told.read_text().splitlines())
    return int(fields["rchar"])


def test_idle_daemon_reads_no_log_again(store: Store) -> None:
    """kenn-io/agentsview#1820: B6, B11. There it read 46 TiB in a week without work."""
    for number in range(20):
        recording = started(store, f"s{number}")
        for _ in range(20):
            recording.append(call("a", "x" * 10_000))
        with recording.directory.log.open("ab") as file:
            file.write(b"can't be parsed\n")
        recording.close()
    watched = Watched(store)
    watched.look()
    before = read_bytes()
    for _ in range(50):
        watched.daemon._look()
    looked = read_bytes() - before

    assert watched.daemon._line_count == 20 * 22
    assert looked < 4_000_000  # once all logs, where 50 times was possible
    assert content(store) == rebuilt(store)


def pieces(script: Script, message_id: str, outputs: tuple[int, ...]) -> None:
    """One answer of a model, which is written once per block with its usage so far."""
    blocks = [text("a"), use(f"call-{message_id}", "Read"), text("b"), text("c")]
    for block, output in zip(blocks, outputs, strict=True):
        usage = {
            "input_tokens": 6,
            "output_tokens": output,
            "cache_creation_input_tokens": 11_352,
            "cache_read_input_tokens": 22_076,
        }
        script.answer(block, message_id=message_id, usage=usage)


TOKENS = "input_tokens, output_tokens, cache_creation_tokens, cache_read_tokens"


def test_answer_that_was_written_in_four_pieces_is_counted_once(tmp_path: Path) -> None:
    """ccusage/ccusage#994: C1. The sums of a session are of messages, not of lines."""
    script = Script()
    script.prompt("hello")
    for name in ("msg_1", "msg_2"):
        pieces(script, name, (384, 384, 384, 384))
        script.result(f"call-{name}")
    store = new_store(tmp_path)
    import_transcripts(store, [script.write(tmp_path / "t.jsonl")])

    expected = [(2 * 6, 2 * 384, 2 * 11_352, 2 * 22_076)]
    assert sessions(store, TOKENS) == expected
    import_transcripts(store, [script.write(tmp_path / "again.jsonl")])
    assert sessions(store, TOKENS) == expected


def test_of_an_answer_that_grows_the_last_usage_counts(tmp_path: Path) -> None:
    """ccusage/ccusage#938: C1. Also where the import ended in the middle of it."""
    script = Script()
    script.prompt("hello")
    pieces(script, "msg_1", (3, 9, 9, 159))
    script.result("call-msg_1")
    store = new_store(tmp_path)
    import_transcripts(store, [script.write(tmp_path / "t.jsonl", 3)])
    import_transcripts(store, [script.write(tmp_path / "t.jsonl")])

    assert sessions(store, TOKENS) == [(6, 159, 11_352, 22_076)]


def test_copy_of_a_session_doubles_no_count(store: Store) -> None:
    """ccusage/ccusage#1349: D2, F38. Copied directories, one of which went on."""
    usage = {"input_tokens": 100, "output_tokens": 30}
    message = call("Assistant", event_type="log", event_name="assistant_message")
    message["details"] = {"message_id": "m1", "model": "m", "usage": usage}
    recording = started(store, "s1", "a", "b")
    recording.append(message)
    recording.close()
    for number in range(3):
        shutil.copytree(recording.directory.path, store.sessions_dir / f"copy-{number}")
    resumed(store, "s1", "c").close()

    assert sessions(store, "session_id, action_count, tool_call_count, output_tokens") == [
        ("s1", 5, 3, 30)
    ]
    assert content(store) == rebuilt(store)
