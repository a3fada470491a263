"""The process that Claude Code starts for a hook: stdin in, one line in a log, and out.

It prints nothing, whatever happens, always exits 0, and never waits long: what it says would
reach the model, and what it takes, the person waits for. Run as a file, `python -I -S hook.py`,
it starts without site-packages and finds by itself what it needs of them.
"""

from __future__ import annotations

import os
import sys
import time
from types import ModuleType

_STDIN_BYTES_MAX = 64 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def main() -> None:
    """Record what is on stdin and end the process with exit code 0."""
    try:
        _be_silent()
        _run()
    except BaseException:  # noqa: BLE001, S110  (whatever it is, the agent must not notice)
        pass
    finally:
        os._exit(0)


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _run() -> None:
    moment_us = time.time_ns() // 1000
    data = _read_stdin()
    _find_packages()
    from provenance_log.claude_code.arriving import arrive  # noqa: PLC0415 - the path is set now

    arrive(data, moment_us)


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


def _find_packages() -> None:
    """Make importable what `-I -S` leaves out, and put off what nothing here needs."""
    sys.modules.setdefault("inspect", _Later("inspect"))
    if not sys.flags.no_site:
        return
    here = __file__  # absolute, as `provlog install` wrote it
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(here))))
    environment = os.path.dirname(os.path.dirname(sys.executable))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    sys.path.append(os.path.join(environment, "lib", version, "site-packages"))
    try:
        import orjson  # noqa: F401, PLC0415
    except ImportError:
        import site  # noqa: PLC0415

        site.main()


class _Later(ModuleType):
    """A module that is imported when somebody asks it for something.

    `dataclasses` imports `inspect` for what it does without a docstring: a third of our time.
    """

    def __getattr__(self, name: str) -> object:
        from importlib import import_module  # noqa: PLC0415

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


if __name__ == "__main__":
    main()
