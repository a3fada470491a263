"""import_transcripts: what an import adds to decoding the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.measuring import Result, Setting, Target, alternate, ratios, run_child

_NAME = "import_transcripts"
_AGAINST = "json.loads of the same bytes"
_REPOSITORY = Path(__file__).resolve().parent.parent.parent


def import_transcripts(setting: Setting) -> list[Result]:
    """Import recorded transcripts into a fresh store against decoding every line of them."""
    data = Path(os.environ.get("PROVLOG_DATA") or _REPOSITORY.parent / "shared" / "data")
    found = sorted((data / "claude-code" / "transcripts").glob("*.jsonl"))
    if not found:
        reason = f"no transcripts below {data}; set PROVLOG_DATA"
        return [Result(_NAME, _AGAINST, "time", (), skipped=reason)]
    paths = found[: setting.scaled(len(found))]

    def ours(number: int) -> float:
        root = setting.directory / str(number)
        return float(run_child("import_transcripts", root, *paths).value)

    values = alternate(
        setting,
        {"loads": lambda _: float(run_child("json_loads", *paths).value), "ours": ours},
        warm_up=False,
    )
    times = ratios(values["ours"], values["loads"])
    return [Result(_NAME, _AGAINST, "time", times, Target("P11", 2, "time"), values)]
