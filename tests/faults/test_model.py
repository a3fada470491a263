"""The stateful model, with fixed seeds: any order of acts and harms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attacks.effort import Effort
from attacks.model import model


# Many tests, so that the file, which takes longest, is begun early: that goes by their number.
@pytest.mark.parametrize("seed", range(5, 19))
def test_any_order_of_acts_and_harms_leaves_the_store_as_the_model_says(
    tmp_path: Path, score: Any, seed: int
) -> None:
    """A1, A2, A4 to A7, B1 to B5, B10, C1, C3, C4, D1 to D3, E2, E4.

    F15, F19, F30 to F35, F37, F38, with no daemon running and on one file system.
    """
    score(model(Effort(tmp_path, seed, times=1)))
