"""The process that Claude Code starts for a hook: stdin in, one line in a log, and out.

It prints nothing, whatever happens, always exits 0, and never waits long: what it says would
reach the model, and what it takes, the person waits for. Run as a file, `python -I -S hook.py`,
it starts without site-packages and finds by itself what it needs of them.
"""

from __future__ import annotations

import gc
import os
import sys
import time


def main() -> None:
    """Record what is on stdin and end the process with exit code 0."""
    gc.disable()  # a process of one line has no time to collect and nothing to collect
    try:
        moment_us = time.time_ns() // 1000
        if sys.flags.no_site:
            _find_packages()
        # This file is compiled each time that it is run, so the rest is in one that is not.
        from provenance_log.claude_code.hook_process import run  # noqa: PLC0415

        run(moment_us)
    except BaseException:  # noqa: BLE001, S110  (whatever it is, the agent must not notice)
        pass
    finally:
        os._exit(0)


def _find_packages() -> None:
    """Make importable what `-I -S` leaves out: this package and those beside its interpreter."""
    here = __file__  # absolute, as `provlog install` wrote it
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(here))))
    environment = os.path.dirname(os.path.dirname(sys.executable))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    sys.path.append(os.path.join(environment, "lib", version, "site-packages"))


if __name__ == "__main__":
    main()
