"""The process of one fuzz target: `python fuzz_child.py TARGET DIRECTORY FLAG…`.

libFuzzer ends it: with 0 after the last input, with 77 at the first input that raises anything.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

# This file is run as a script, from a directory that holds only a part of what it needs.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_BYTES_SHARE = 0.5
"""Of the mutations that change bytes, and not values of JSON."""


def main() -> None:
    """Instrument our modules while they are imported, and hand over to libFuzzer."""
    target, directory, *flags = sys.argv[1:]
    atheris: Any = import_module("atheris")  # optional, and without types
    with atheris.instrument_imports(include=["provenance_log", "projections"]):
        from attacks.fuzz_mutating import json_lines, mutated  # noqa: PLC0415
        from attacks.fuzz_seeds import SEEDS  # noqa: PLC0415
        from attacks.fuzz_targets import TARGETS  # noqa: PLC0415
    test_one = TARGETS[target](Path(directory) / "work")
    valid = json_lines(SEEDS[target]())

    def mutate(data: bytes, size_bytes_max: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < _BYTES_SHARE:
            return bytes(atheris.Mutate(data, size_bytes_max))
        return mutated(data, random, valid)[:size_bytes_max]

    atheris.Setup([sys.argv[0], *flags], test_one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
