"""The workloads of the benchmark that start a daemon, and take their time."""

import json
from pathlib import Path

from test_tools import run_tool


def test_the_benchmark_sees_a_daemon_show_lines_and_be_idle(
    repository: Path, tmp_path: Path
) -> None:
    """B6: it waits until what it appended is in SQL."""
    out = tmp_path / "results.jsonl"
    small = ("--scale", "0.001", "--directory", str(tmp_path / "work"), "--out", str(out))

    bench = run_tool(repository, "bench.py", "visible", "idle", *small)

    assert bench.returncode == 0, bench.stderr
    visible, late, cpu, memory, _ = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(visible["values"]) == 2
    assert late["values"] == [max(visible["values"])]
    assert cpu["median"] >= 0
    assert memory["median"] > 1
    assert [r["target"]["number"] for r in (late, cpu, memory)] == ["P10", "P13", "P13"]
