"""The tools for developers: the corpus is what it says, the demo and the benchmark run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import bench_peers
import pytest
from benchmarks import appending, peer_calls
from benchmarks.measuring import Setting

from provenance_log import decode, open_store, read_log
from provenance_log.reader import is_chained

CORPUS = ("--sessions", "3", "--actions", "40")
# Not `cli`, `visible` and `idle`, which start many processes or wait.
QUICK = (
    *("append_process", "append_disk", "append_8_processes", "hook", "rebuild_1m", "size"),
    *("catch_up_100", "verify", "import_transcripts"),
)


def run_tool(repository: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool with this interpreter and these packages, from another directory."""
    return subprocess.run(
        [sys.executable, str(repository / "tools" / name), *arguments],
        cwd=repository.parent,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def content(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_equal_arguments_make_byte_identical_corpora(repository: Path, tmp_path: Path) -> None:
    made = [run_tool(repository, "corpus.py", str(tmp_path / name), *CORPUS) for name in "ab"]

    assert [run.returncode for run in made] == [0, 0]
    assert made[0].stdout == made[1].stdout
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_another_seed_makes_another_corpus(repository: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "7"), ("b", "8")):
        run_tool(repository, "corpus.py", str(tmp_path / name), *CORPUS, "--seed", seed)

    logs = [{k: v for k, v in content(tmp_path / n).items() if "actions" in k} for n in "ab"]
    assert len(logs[0]) == len(logs[1]) == 3
    assert set(logs[0].values()).isdisjoint(logs[1].values())


def test_every_line_of_a_corpus_decodes_and_chains(repository: Path, tmp_path: Path) -> None:
    run_tool(repository, "corpus.py", str(tmp_path), *CORPUS)

    store = open_store(tmp_path)
    for directory in store.session_directories():
        raws = [raw for chunk in read_log(directory.log) for raw in chunk.lines]
        values = [decode(raw.content or b"") for raw in raws]
        assert all(is_chained(value, raw) for value, raw in zip(values, raws, strict=True))
        assert [value["action_id"] for value in values] == list(range(1, 41))
        assert values[0]["event_name"] == "session_start"
        assert values[-1]["event_name"] == "session_end"
        session_id = values[0]["details"]["session"]["session_id"]
        assert store.find_session(session_id) == directory


def test_a_corpus_is_not_made_over_sessions(repository: Path, tmp_path: Path) -> None:
    run_tool(repository, "corpus.py", str(tmp_path), *CORPUS)
    before = content(tmp_path)

    again = run_tool(repository, "corpus.py", str(tmp_path), *CORPUS)

    assert again.returncode == 1
    assert "holds sessions already" in again.stderr
    assert content(tmp_path) == before


def test_the_demo_brings_everything_back_and_leaves_nothing_behind(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    demo = run_tool(repository, "demo.py")

    assert demo.returncode == 0, demo.stderr
    assert "byte for byte the same" in demo.stdout.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_demo_keeps_its_store_when_asked(repository: Path, tmp_path: Path) -> None:
    demo = run_tool(repository, "demo.py", "--keep", str(tmp_path / "kept"))
    again = run_tool(repository, "demo.py", "--keep", str(tmp_path / "kept"))

    assert demo.returncode == 0, demo.stderr
    assert again.stderr.startswith(f"error: {tmp_path / 'kept'} is there already")
    (directory,) = open_store(tmp_path / "kept").session_directories()
    names = {path.name for path in directory.path.iterdir()}
    assert names == {"actions.jsonl", "manifest.yaml", "summary.md"}


def test_the_benchmark_prints_a_table_and_appends_a_line_per_result(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVLOG_DATA", str(tmp_path / "nothing"))
    out = tmp_path / "results.jsonl"
    out.write_text("{}\n")
    small = ("--repeat", "1", "--scale", "0.001", "--directory", str(tmp_path / "work"))

    bench = run_tool(repository, "bench.py", *QUICK, *small, "--out", str(out))

    assert bench.returncode == 0, bench.stderr
    lines = bench.stdout.splitlines()
    assert lines[0].split() == ["workload", "against", "result", "(min–max)", "target", "verdict"]
    records = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    assert [record["workload"] for record in records] == [
        "append_process",
        "append_process, redaction",
        "append_process, at 1,000 lines",
        "append_process, at 1,000 lines, open too",
        "append_disk, 1 thread, time",
        "append_disk, 8 threads, rate",
        "append_8_processes, rate",
        "hook, whole process",
        "rebuild_1m, 1,000 lines",
        "rebuild_1m, 1,000 lines, peak memory",
        "rebuild_1m, 1,000 lines, peak memory",
        "size, database",
        "size, log",
        "catch_up_100, 1,000 lines before",
        "verify, 1,000 lines",
        "import_transcripts",
    ]
    *measured, skipped = records
    assert all(len(record["values"]) == 1 and min(record["values"]) > 0 for record in measured)
    assert skipped["values"] == []
    # Nobody should read a verdict off a run this small.
    assert {record["verdict"] for record in records} == {""}
    assert list((tmp_path / "work").iterdir()) == []


def test_the_benchmark_asks_the_same_sql_as_the_commands(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    small = ("--repeat", "1", "--scale", "0.001", "--directory", str(tmp_path / "work"))

    bench = run_tool(repository, "bench.py", "cli", *small, "--out", str(out))

    assert bench.returncode == 0, bench.stderr
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["workload"].split(", ")[1] for record in records] == [
        "sessions",
        "show",
        "stats",
    ]
    assert all(min(record["values"]) > 0 for record in records)


def test_the_benchmark_says_why_a_workload_was_skipped(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVLOG_DATA", str(tmp_path / "nothing"))

    bench = run_tool(repository, "bench.py", "import_transcripts", "--directory", str(tmp_path))

    assert bench.returncode == 0, bench.stderr
    assert bench.stdout == (
        f"import_transcripts: skipped, no transcripts below {tmp_path / 'nothing'};"
        " set PROVLOG_DATA\n"
    )


def test_an_unknown_workload_is_refused_with_the_names_there_are(repository: Path) -> None:
    bench = run_tool(repository, "bench.py", "append_proces")

    assert bench.returncode == 2
    assert "append_process, append_disk, append_8_processes, hook, rebuild_1m" in bench.stderr


def test_peers_that_are_not_there_are_rows_that_say_so(repository: Path, tmp_path: Path) -> None:
    small = ("--repeat", "1", "--marks", "100,120", "--directory", str(tmp_path / "work"))

    bench = run_tool(repository, "bench_peers.py", *small, "--environment", str(tmp_path / "no"))

    assert bench.returncode == 0, bench.stderr
    title, headers, *rows = bench.stdout.splitlines()
    assert title == "one tool call, µs"
    assert headers.split()[:6] == ["recorder", "durability", "at", "100", "at", "120"]
    assert [row.split("  ")[0] for row in rows[:2]] == [
        "provenance-log disk",
        "provenance-log process",
    ]
    missing = [row for row in rows if ": not measured, [Errno 2] No such file" in row]
    assert [row.split(":")[0] for row in missing] == [*bench_peers.PEERS, "hooks"]
    assert list((tmp_path / "work").iterdir()) == []


def test_a_peer_has_no_time_for_a_mark_that_it_did_not_reach() -> None:
    calls: list[int] = []

    found = peer_calls.windows(calls.append, [100, 300], limit_s=60)
    none = peer_calls.windows(calls.append, [100], limit_s=0)

    assert calls == list(range(300))
    assert all(value is not None and value > 0 for value in found)
    assert none == [None]


def test_appends_are_timed_at_logs_of_these_lengths(tmp_path: Path) -> None:
    setting = Setting(2, 0.001, tmp_path, tmp_path, lambda _: None)

    found = appending.appends_at(setting, [20, 40])

    assert found.keys() == {20, 40}
    assert all(len(values) == 2 and min(values) > 0 for values in found.values())
    # The lines made at first, and for the warm-up and two rounds 20 appends and one that opens.
    logs = sorted(tmp_path.glob("log-*/sessions/*/actions.jsonl"))
    assert [log.read_bytes().count(b"\n") for log in logs] == [20 + 63, 40 + 63]


def test_a_soak_run_prints_its_figures_and_leaves_nothing_behind(
    repository: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.jsonl"
    short = ("--seconds", "0.5", "--directory", str(tmp_path / "work"))

    soak = run_tool(repository, "soak.py", "following", *short, "--out", str(out))

    assert soak.returncode == 0, soak.stdout + soak.stderr
    assert soak.stdout.splitlines()[0] == "following"
    record = json.loads(out.read_text())
    assert record["broken"] == []
    assert record["figures"].keys() == {"appends", "printed and measured", "append to printed"}
    assert list((tmp_path / "work").iterdir()) == []


def test_a_soak_run_that_breaks_a_promise_fails_and_says_which(
    repository: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.argv[1:] = ['load', '--directory', sys.argv[1]]\n"
        "import soak\n"
        "from soaking.measuring import Outcome\n"
        "soak.RUNS['load'] = lambda _: Outcome('load', [('a', '1')], ['a line was lost'])\n"
        "soak.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=repository / "tools",
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "BROKEN: a line was lost" in done.stdout
    assert done.stderr.endswith("error: promises were broken in: load\n")


def test_a_soak_run_sees_a_lock_that_vanishes(repository: Path, tmp_path: Path) -> None:
    """F51: any other close of the file in the process that has it open drops DuckDB's lock."""
    database = tmp_path / "x.duckdb"
    careless = (
        "import duckdb, sys, time\n"
        "connection = duckdb.connect(sys.argv[1]); print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "open(sys.argv[1], 'rb').close(); print('dropped', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", careless, str(database)]
    child = str(repository / "tools" / "soaking" / "child.py")
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        watch = [sys.executable, child, "locks", str(database), str(owner.pid)]
        with subprocess.Popen(watch, stdin=PIPE, stdout=PIPE, text=True) as watcher:
            assert watcher.stdout is not None
            assert watcher.stdout.readline() == "covered\n"
            owner.stdin.write("\n")
            owner.stdin.flush()
            assert owner.stdout.readline() == "dropped\n"
            assert watcher.stdout.readline() == "vanished\n"
            found = json.loads(watcher.communicate(timeout=60)[0])
        owner.kill()
    assert found["covered"] > 0
    assert len(found["vanished"]) == 1
