"""The process of one fuzz target: `python fuzz_child.py TARGET DIRECTORY FLAG…`.

libFuzzer ends it: with 0 after the last input, with 77 at the first input that raises anything.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

# This file is run as a script, from a directory that holds only a part of what it needs.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    """Instrument our modules while they are imported, and hand over to libFuzzer."""
    target, directory, *flags = sys.argv[1:]
    atheris: Any = import_module("atheris")  # optional, and without types
    with atheris.instrument_imports(include=["provenance_log", "projections"]):
        targets = import_module("attacks.fuzz_targets")
    test_one = targets.TARGETS[target](Path(directory) / "work")
    atheris.Setup([sys.argv[0], *flags], test_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
