"""The synthetic stores that several workloads of a run share, made by the first that asks."""

from __future__ import annotations

import os
from pathlib import Path

from corpus import Shape, make_corpus

from benchmarks.measuring import LINES, Setting, run_child
from provenance_log.store import open_store

ACTIONS = 1000
"""Lines of each session."""
TENTH = 0.1


def shape_of(setting: Setting, lines_count: float = LINES) -> Shape:
    """Return the shape of so many lines, at the scale of the run."""
    return Shape(setting.scaled(round(lines_count / ACTIONS)), ACTIONS)


def store_of(setting: Setting, shape: Shape) -> Path:
    """Return the root of the store of a shape, without a database at first."""
    root = setting.shared_directory / f"store-{shape.sessions_count}-{shape.actions_count}"
    if not root.exists():
        setting.say(f"making {shape.lines_count:,} lines")
        make_corpus(root, shape)
        os.sync()  # so that writing the store back does not slow the first round
    return root


def projected_store_of(setting: Setting, shape: Shape) -> Path:
    """Return the root of the store of a shape, with its database."""
    root = store_of(setting, shape)
    if not open_store(root).database.exists():
        setting.say(f"projecting {shape.lines_count:,} lines")
        run_child("rebuild", root)
        os.sync()
    return root
