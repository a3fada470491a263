"""Being told to stop: a signal becomes something to read, so that it interrupts no work."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def stop_arrivals(numbers: Iterable[signal.Signals]) -> socket.socket:
    """Return what becomes readable whenever one of these signals comes, from now on.

    A byte arrives for each. What is being written is written on. A SIGHUP that is ignored stays
    ignored, as `nohup` wants it. To be called in the main thread, once in a process: the signals
    are not given back.
    """
    arrivals, departures = socket.socketpair()
    departures.setblocking(False)
    signal.set_wakeup_fd(departures.detach())
    for number in numbers:
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, lambda _number, _frame: None)
        signal.siginterrupt(number, False)
    return arrivals
