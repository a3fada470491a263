"""following: the time from `append` to a line printed by `provlog tail --follow`."""

from __future__ import annotations

import json
import subprocess
import threading
import time

from soaking.measuring import Outcome, Setting, spread
from soaking.processes import PROVLOG, children, until

SECONDS = 30.0
RATE_HZ = 50
_END_S = 30.0


def following(setting: Setting) -> Outcome:
    """Append in one process and take the lines that another prints."""
    outcome = Outcome("following")
    store = setting.store()
    command = [*PROVLOG, "tail", "--all", "--follow", "--json", "--root", str(store.root)]
    printed: dict[float, float] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tail:
        taking = threading.Thread(target=_take, args=(tail, printed))
        taking.start()
        try:
            with children(("append", store.root, RATE_HZ)) as (child,):
                until(lambda: bool(printed), "the first line to be printed")
                printed.clear()  # until then the command was starting
                time.sleep(setting.seconds(SECONDS))
                appended = child.stop()
            last = appended["appends"][-1][0]
            until(lambda: last in printed, "the last line to be printed", _END_S)
        finally:
            tail.terminate()
            taking.join(_END_S)
    outcome.add("appends", appended["lines"])
    outcome.add("printed and measured", len(printed))
    outcome.add("append to printed", spread([after - at for at, after in printed.items()]))
    return outcome


def _take(tail: subprocess.Popen[bytes], printed: dict[float, float]) -> None:
    """Read what is printed, and note when, by the moment at which it was appended."""
    assert tail.stdout is not None
    for line in tail.stdout:
        now = time.monotonic()
        appended_at = (json.loads(line).get("details") or {}).get("appended_at")
        if appended_at is not None:
            printed[appended_at] = now
