"""What the process of a hook does: be silent, read stdin, have the payload recorded."""

from __future__ import annotations

import os
import sys

_STDIN_BYTES_MAX = 64 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def run(moment_us: int) -> None:
    """Record what is on stdin, which came at this time; raises anything."""
    _be_silent()
    data = _read_stdin()
    if sys.flags.no_site:
        _import_lightly()
    from provenance_log.claude_code.arriving import arrive  # noqa: PLC0415 - orjson is found now

    arrive(data, moment_us)


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _read_stdin() -> bytes:
    if os.isatty(0):
        return b""
    pieces = []
    size_bytes = 0
    while size_bytes < _STDIN_BYTES_MAX:
        piece = os.read(0, _PIECE_BYTES)
        if not piece:
            break
        pieces.append(piece)
        size_bytes += len(piece)
    return b"".join(pieces)


def _import_lightly() -> None:
    """Put stand-ins in the place of modules, unless it takes more than that to find orjson."""
    from provenance_log.claude_code import stand_ins  # noqa: PLC0415

    try:
        stand_ins.import_orjson()
    except ImportError:
        import site  # noqa: PLC0415

        site.main()
    else:
        stand_ins.install()
