"""Draw the picture of `tools/bench_plot.py`: `python drawing.py POINTS.json PICTURE.png`.

This runs in `.venv-peers`, where matplotlib is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_OWN = "provenance-log"


def draw(points: dict[str, dict[str, list[list[float]]]], picture: Path) -> None:
    """Draw appends on the left, in microseconds, and catching up on the right, in milliseconds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    _panel(left, points["append"], 1e6, "lines in the log", "one append, µs")
    left.set_yscale("log")
    left.legend(frameon=False)
    _panel(right, points["catch_up"], 1e3, "lines in the database", "catching up 100 lines, ms")
    most = max(seconds for curve in points["catch_up"].values() for _, seconds in curve)
    right.set_ylim(0, most * 1e3 * 1.15)
    figure.savefig(picture, dpi=120, metadata={"Software": None})


def _panel(
    axes: Any, curves: dict[str, list[list[float]]], factor: float, across: str, up: str
) -> None:
    for name, curve in curves.items():
        if not curve:
            continue
        lines, seconds = zip(*curve, strict=True)
        style: dict[str, Any] = {"linewidth": 2.2, "color": "black"} if name == _OWN else {}
        axes.plot(lines, [value * factor for value in seconds], "o-", label=name, **style)
    axes.set_xscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
