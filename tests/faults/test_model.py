"""The stateful model, with one seed: any order of acts and harms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attacks.effort import Effort
from attacks.model import model


def test_any_order_of_acts_and_harms_leaves_the_store_as_the_model_says(
    tmp_path: Path, score: Any
) -> None:
    """A1 to A7, B1 to B5, B9, B10, C1, C3, D1 to D3, E1 to E4.

    F15, F19, F30 to F38, F55, F56.
    """
    score(model(Effort(tmp_path, 5, times=14)))
