"""What a person means by TIME: a date, a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from provenance_log.errors import ProvlogError
from provenance_log.format import format_timestamp, timestamp_us

_AGO = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_AGO_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HINT = "write a date (2026-01-31), a time (2026-01-31T10:00Z) or an age (90m, 12h, 7d, 4w)"


def moment_of(text: str, now: datetime) -> datetime:
    """Return the time (UTC) that `2026-01-31`, `2026-01-31T10:00`, `90m`, `12h` or `7d` means.

    A time without a zone is UTC; `now` has a zone. Raises `ProvlogError`.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is None:
            moment = datetime.fromisoformat(text.upper())
        else:
            moment = now - timedelta(**{_AGO_UNITS[ago[2]]: int(ago[1])})
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ProvlogError(f"{text!r} is not a time", hint=_HINT) from error


def moment_us(text: str, now: datetime) -> int:
    """Return the same time as microseconds since 1970; raises `ProvlogError`."""
    return timestamp_us(format_timestamp(moment_of(text, now)))
