"""Space, files and descriptors run out while tables, files beside the logs and copies are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.conftest import Score
from faults.test_exhaustion import exhausted_or_skipped

OPERATIONS = ["catch up", "write derived files", "rebuild", "copy", "archive"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("what", ["space", "inodes", "writing", "descriptors"])
def test_what_a_database_or_a_copy_lacks_is_told_and_the_next_run_succeeds(
    tmp_path: Path, score: Score, what: str, operation: str
) -> None:
    """B2, B10, C1, C2, C3, F06, F07: the tables are what a rebuild makes of the logs."""
    score([exhausted_or_skipped(tmp_path, what, operation, 4)])
