"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from provenance_log.store import Store, initialise_store, open_store

REPOSITORY = Path(__file__).resolve().parent.parent

# One fixed run for everybody: a failure in CI is the same failure here. To search further, run
# `HYPOTHESIS_PROFILE=search pytest tests/test_x.py`.
_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", _unhurried, derandomize=True, database=None)
settings.register_profile("search", _unhurried, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The recorded data beside the repository, or where PROVLOG_DATA says; skips without it."""
    path = Path(os.environ.get("PROVLOG_DATA") or REPOSITORY.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no recorded data at {path}; set PROVLOG_DATA")
    return path


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in ("PROVENANCE_ROOT", "PROVENANCE_DB", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A fresh store in a directory of its own."""
    root = tmp_path / "project" / ".claude" / "provenance"
    initialise_store(root)
    return open_store(root)
