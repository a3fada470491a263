"""The forms of a time that a reader takes, and the one that a writer makes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from provenance_log.errors import LineInvalid
from provenance_log.format import (
    canonical_timestamp,
    format_timestamp,
    timestamp_us,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("2026-01-10T14:30:15.123Z", "2026-01-10T14:30:15.123000Z"),
        ("2026-01-10T14:30:15.1234567Z", "2026-01-10T14:30:15.123456Z"),
        ("2026-01-10t14:30:15z", "2026-01-10T14:30:15.000000Z"),
        ("2026-01-10 14:30:15", "2026-01-10T14:30:15.000000Z"),
        ("2026-01-10T14:30:15+02:00", "2026-01-10T12:30:15.000000Z"),
        ("2026-01-10T14:30:15.5-11:30", "2026-01-11T02:00:15.500000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ("2016-12-31T23:59:60.250000Z", "2017-01-01T00:00:00.250000Z"),
        ("0001-01-01T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_every_form_of_a_time_has_one_canonical_form(text: str, expected: str) -> None:
    assert canonical_timestamp(text) == expected
    assert canonical_timestamp(expected) == expected
    since = datetime.fromisoformat(expected) - datetime(1970, 1, 1, tzinfo=UTC)
    assert timestamp_us(text) == since // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-10",
        "2026-01-10T14",
        "2026-01-10T14:30",
        "2026-01-10T14:30:15,123Z",
        "2026-01-10T14:30:15.123+0100",
        "2026-01-10T24:00:00Z",
        "2026-01-10T24:00:00.000000Z",
        "2026-02-30T00:00:00Z",
        "2026-02-30T00:00:00.000000Z",
        "2026-01-10T14:30:61Z",
        "2026-W02-6T14:30:15Z",
        "20260110T143015Z",
        "２０２６-01-10T14:30:15Z",
        "9999-12-31T23:59:60Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "10000-01-01T00:00:00Z",
        "2026-01-10T14:30:15Z\n",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(LineInvalid) as raised:
        timestamp_us(text)

    assert raised.value.reason == "wrong_type"


def test_a_time_is_written_in_utc_whatever_its_zone() -> None:
    moment = datetime(2026, 1, 10, 14, 30, 15, 5, tzinfo=timezone(timedelta(hours=-8)))

    assert format_timestamp(moment) == "2026-01-10T22:30:15.000005Z"
    assert format_timestamp(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"
