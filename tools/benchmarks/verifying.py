"""verify: what the look at every level of every line adds to hashing the bytes."""

from __future__ import annotations

from benchmarks.measuring import LINES, Result, Setting, Target, alternate, ratios, run_child
from benchmarks.stores import TENTH, shape_of, store_of


def verify(setting: Setting) -> list[Result]:
    """Verify logs against SHA-256 of their bytes, both read from files that are cached."""
    shape = shape_of(setting, LINES * TENTH)
    root = store_of(setting, shape)
    values = alternate(
        setting,
        {
            "sha256": lambda _: float(run_child("sha256", root).value),
            "ours": lambda _: float(run_child("verify", root).value),
        },
        warm_up=False,
    )
    times = ratios(values["ours"], values["sha256"])
    name = f"verify, {shape.lines_count:,} lines"
    against = "hashlib.sha256 of the same bytes"
    return [Result(name, against, "time", times, Target("P12", 3, "time"), values)]
