"""What other loggers did to their own files while appending, done to ours.

A line cut by a kill and the next append, a full disk, many writers, text that breaks a line. The
first words of each docstring are the thread; docs/field-failures.md tells what happened there.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from log_cases import chain, read_all
from mounting import fill, small_disk

from faults.field_cases import (
    WAIT_S,
    call,
    die_appending,
    resumed,
    run_script,
    seen,
    started,
    tools_of,
)
from provenance_log.appender import Appender
from provenance_log.errors import AppendNotWritten
from provenance_log.store import Store, initialise_store, open_store
from provenance_log.tracker import ProvenanceTracker

pytestmark = pytest.mark.usefixtures("field_failure")


def test_line_cut_by_a_kill_is_not_fused_with_the_next_one_and_the_session_resumes(
    store: Store,
) -> None:
    """anthropics/claude-code#52387: A2, A5, F03."""
    recording = started(store, "s1", "before")
    recording.close()
    die_appending(recording.directory.log, 49, "cut")
    resumed(store, "s1", "after").close()

    assert seen(store) == {"s1": (["before", "after"], [(3, "not_json")])}
    assert read_all(recording.directory.log).unchained == []


def test_three_resumes_that_were_killed_cost_three_fragments_and_no_event(store: Store) -> None:
    """github/copilot-cli#4098: A2, A5."""
    log = started(store, "s1", "before").directory.log
    for number in range(3):
        die_appending(log, 100 + 40 * number, f"cut {number}")
        resumed(store, "s1", f"after {number}").close()

    bad = [(line, "not_json") for line in (3, 5, 7)]
    assert seen(store) == {"s1": (["before", "after 0", "after 1", "after 2"], bad)}


def test_event_that_is_written_again_after_a_kill_is_there_once(store: Store) -> None:
    """openai/codex#24425: A2, A7. The first attempt stays a fragment of its own."""
    log = started(store).directory.log
    die_appending(log, 300, "reasoning", output_bytes=900)
    again = call("reasoning", "x" * 900, database_event_id="reasoning")
    appender = Appender(log)
    first, second = appender.append(again), appender.append(again)

    assert (first.was_there, second.was_there) == (False, True)
    assert seen(store) == {"s1": (["reasoning"], [(2, "not_json")])}


def test_line_without_its_newline_is_ended_before_the_next_one(store: Store) -> None:
    """Runfusion/Fusion#3569: A5. The line is whole, so nothing at all is lost."""
    log = started(store, "s1", "killed before its newline").directory.log
    die_appending(log, 10_000, "whole", output_bytes=10)
    cut = log.read_bytes()
    log.write_bytes(cut.removesuffix(b"\n"))
    resumed(store, "s1", "after").close()

    assert seen(store) == {"s1": (["killed before its newline", "whole", "after"], [])}
    assert log.read_bytes().startswith(cut)


def test_full_disk_leaves_no_prefix_and_says_so_and_the_log_stays_readable(tmp_path: Path) -> None:
    """can1357/oh-my-pi#8596: A2, F05. Strict readers go on, and the writer was told."""
    with small_disk(tmp_path / "disk", "512k") as disk:
        initialise_store(disk / "provenance")
        store = open_store(disk / "provenance")
        recording = started(store, "s1", "before")
        ballast = fill(disk, 16 * 1024)
        whole = recording.directory.log.read_bytes()
        with pytest.raises(AppendNotWritten, match="No space left on device"):
            recording.append(call("cleanup", "x" * 100_000))
        assert recording.directory.log.read_bytes() == whole
        recording.close()
        ballast.unlink()
        resumed(store, "s1", "41 hours later").close()

        assert seen(store) == {"s1": (["before", "41 hours later"], [])}
        if shutil.which("jq"):
            command = ["jq", "-r", ".tool", str(recording.directory.log)]
            read = subprocess.run(command, capture_output=True, text=True, check=True)
            assert read.stdout.split("\n") == ["AgentExecution", "before", "41 hours later", ""]


def test_prefix_that_can_not_be_taken_back_is_sealed_by_the_next_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """earendil-works/pi#8575: A2, A5, F20. The error tells of the fragment."""

    def refuse(_fd: int, _length: int) -> None:
        raise OSError(5, "Input/output error")

    with small_disk(tmp_path / "disk", "512k") as disk:
        initialise_store(disk / "provenance")
        store = open_store(disk / "provenance")
        recording = started(store, "s1", "before")
        ballast = fill(disk, 16 * 1024)
        size_bytes = recording.directory.log.stat().st_size
        with monkeypatch.context() as broken:
            broken.setattr("provenance_log.files.os.ftruncate", refuse)
            with pytest.raises(AppendNotWritten, match="a fragment stays in the log"):
                recording.append(call("torn", "x" * 100_000))
        assert recording.directory.log.stat().st_size > size_bytes
        ballast.unlink()
        recording.append(call("hours later"))
        recording.close()

        assert seen(store) == {"s1": (["before", "hours later"], [(3, "not_json")])}


QUEUED = """if True:
    import json, resource, sys, threading
    from pathlib import Path
    from provenance_log.appender import Appender
    from provenance_log.errors import AppendNotWritten

    log = Path(sys.argv[1])
    appender = Appender(log)
    limit = log.stat().st_size + 512 * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    done = {}

    def append(tool, size):
        action = {"type": "read", "tool": tool, "status": "success"}
        try:
            done[tool] = appender.append(action | {"details": {"text": "x" * size}}).action_id
        except AppendNotWritten:
            done[tool] = None

    first = threading.Thread(target=append, args=("m3", 600 * 1024))
    second = threading.Thread(target=append, args=("m4", 10))
    first.start(); second.start(); first.join(); second.join()
    append("m5", 10)
    print(json.dumps(done))
"""


def test_append_that_waited_behind_one_that_failed_survives_a_reopening(store: Store) -> None:
    """earendil-works/pi#7902: A1, A2, F04. The file may grow by 512 KiB: a short write."""
    log = started(store).directory.log
    done = run_script(QUEUED, log)
    resumed(store, "s1", "m6").close()

    assert (done["m3"], sorted((done["m4"], done["m5"]))) == (None, [2, 3])
    assert seen(store) == {"s1": (["m4", "m5", "m6"], [])}


def test_one_full_disk_stops_recording_for_that_one_append_only(tmp_path: Path) -> None:
    """MoonshotAI/kimi-code#2902: A2, F05. Neither a restart nor memory is needed to go on."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        initialise_store(disk / "provenance")
        store = open_store(disk / "provenance")
        recording = started(store, "s1", "before")
        ballast = fill(disk)
        with pytest.raises(AppendNotWritten):
            recording.append(call("lost, and told", "x" * 10_000))
        ballast.unlink()
        later = [f"later {number}" for number in range(50)]
        for tool in later:
            recording.append(call(tool))
            assert tools_of(recording.directory.log)[-1] == tool
        recording.close()

        assert seen(store) == {"s1": (["before", *later], [])}


def test_full_disk_is_told_and_counted_and_recording_goes_on_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """google-gemini/gemini-cli#27277: A2, F05. The end of the session says how many are missing."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        initialise_store(disk / "provenance")
        tracker = ProvenanceTracker(manifest_dir=disk / "provenance")
        tracker.start_session("agent")
        ballast = fill(disk)
        for number in range(3):
            tracker.record_event("log", f"lost {number}", {"text": "x" * 10_000})
        told = capsys.readouterr().err
        ballast.unlink()
        tracker.record_event("log", "kept", {"text": "x"})
        tracker.end_session(success=True)
        (log,) = (disk / "provenance").glob("sessions/*/actions.jsonl")
        values = read_all(log).values

        assert told.count("not recorded") == 1
        assert "No space left on device" in told
        assert [value["event_name"] for value in values] == [
            "session_start",
            "kept",
            "session_end",
        ]
        assert values[-1]["details"]["recording_failures"] == 3


def test_killed_at_512_kib_of_a_larger_line_both_neighbours_stay(store: Store) -> None:
    """Prism-Shadow/penguin-harness#249: A5. Node writes in pieces of 524,288 bytes."""
    log = started(store, "s1", "before").directory.log
    die_appending(log, 524_288, "image", output_bytes=700 * 1024)
    resumed(store, "s1", "after").close()

    assert seen(store) == {"s1": (["before", "after"], [(3, "not_json")])}


WRITER = """if True:
    import sys
    from pathlib import Path
    from provenance_log.appender import Appender

    appender = Appender(Path(sys.argv[1]))
    for number, size in enumerate([1, 700_000, 40, 5_000, 550_000, 90_000, 1, 900_000, 300, 20]):
        action = {"type": "read", "tool": f"{sys.argv[2]}/{number}", "status": "success"}
        appender.append(action | {"details": {"text": "x" * size}})
"""


def test_many_writers_of_small_and_large_lines_splice_none(store: Store) -> None:
    """anthropics/claude-code#81843: A1, A3, A4, A6, F11. Lines beyond 512 KiB are among them."""
    log = started(store).directory.log
    command = [sys.executable, "-c", WRITER, str(log)]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(8)]
    assert [writer.wait(WAIT_S * 2) for writer in writers] == [0] * 8

    found = seen(store)["s1"]
    assert sorted(found[0]) == sorted(f"{one}/{n}" for one in range(8) for n in range(10))
    for writer in range(8):
        own = [tool for tool in found[0] if tool.startswith(f"{writer}/")]
        assert own == [f"{writer}/{number}" for number in range(10)]
    reading = read_all(log)
    assert (reading.bad, reading.unchained) == ([], [])
    assert [value["action_id"] for value in reading.values] == list(range(1, 82))


def test_half_of_a_surrogate_pair_becomes_a_character_that_every_reader_takes(
    store: Store,
) -> None:
    """anthropics/claude-code#45982: A3, F43. The line says where a character was lost."""
    cut = "Make Videos with Your AI Avatar  \ud83c"
    recording = started(store)
    recording.append(call("cut in the middle", cut))
    recording.append(call("whole", "\ud83c\udff7"))
    recording.close()
    values = read_all(recording.directory.log).values[1:]

    assert seen(store) == {"s1": (["cut in the middle", "whole"], [])}
    assert [value["details"]["output_data"] for value in values] == [
        cut[:-1] + "\ufffd",
        "\U0001f3f7",
    ]
    assert values[0]["details"]["_lossy"] == ["$.details.output_data"]
    assert json.loads(recording.directory.log.read_bytes().split(b"\n")[1]) == values[0]


SEPARATORS = "one\u2028two\u2029three\u0085four\x0bfive\x0csix\x1eseven"


def test_line_separators_of_unicode_stay_inside_their_line(store: Store) -> None:
    """github/copilot-cli#2012: B1, A3, F43."""
    recording = started(store)
    recording.append(call("separators", SEPARATORS))
    recording.append(call("after"))
    recording.close()

    assert recording.directory.log.read_bytes().count(b"\n") == 3
    assert seen(store) == {"s1": (["separators", "after"], [])}
    value = read_all(recording.directory.log).values[1]
    assert value["details"]["output_data"] == SEPARATORS


def test_output_of_many_lines_is_one_line_of_the_log(store: Store) -> None:
    """github/copilot-cli#2649: A3. Newlines are escaped, also in keys and in errors."""
    page = "Contents of https://example.com:\n\nPricing\r\n\r\n| a | b |\n"
    recording = started(store)
    recording.append(call(page, {page: page}, error={"message": page}))
    recording.append(call("after"))
    recording.close()

    assert recording.directory.log.read_bytes().count(b"\n") == 3
    assert seen(store) == {"s1": ([page, "after"], [])}


def test_log_of_other_hands_without_a_last_newline_goes_on(store: Store) -> None:
    """Tracer-Cloud/opensre#5750: A5, F15. A torn line costs at most itself."""
    log = store.sessions_dir / "by-hand" / "actions.jsonl"
    log.parent.mkdir()
    lines = chain(3)
    log.write_bytes(b"".join(lines) + b'{"id": "partial", "type": "custom_message", "text": "tor')
    appender = Appender(log)
    appender.append(call("after the crash"))

    (found,) = seen(store).values()
    assert found == (["Read"] * 3 + ["after the crash"], [(4, "not_json")])
