"""One line of a terminal that tells what is going on."""

from __future__ import annotations

import shutil
import sys

from provenance_log.terminal import elide


def say(text: str) -> None:
    """Show on one line of a terminal what is going on; nothing elsewhere."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{elide(text, width)}", end="", file=sys.stderr, flush=True)
