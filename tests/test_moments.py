"""What TIME arguments mean."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance_log.errors import ProvlogError
from provenance_log.moments import moment_of, moment_us

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", "2026-01-31 00:00:00"),
        ("2026-01-31T10:00", "2026-01-31 10:00:00"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31 08:00:00"),
        ("2026-01-31T10:00:00Z", "2026-01-31 10:00:00"),
        ("90m", "2026-02-01 10:30:00"),
        ("12h", "2026-02-01 00:00:00"),
        ("7d", "2026-01-25 12:00:00"),
        ("4w", "2026-01-04 12:00:00"),
    ],
)
def test_a_time_is_a_date_a_moment_or_an_age(text: str, expected: str) -> None:
    moment = moment_of(text, NOW)

    assert str(moment) == f"{expected}+00:00"
    assert moment_us(text, NOW) == round(moment.timestamp() * 1_000_000)


@given(st.text(max_size=12))
def test_any_other_text_is_no_time_and_never_a_crash(text: str) -> None:
    with suppress(ProvlogError):
        assert moment_of(text, NOW).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "9999999d", "999999w", "2026-13-01"])
def test_what_is_no_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ProvlogError) as caught:
        moment_of(text, NOW)

    assert "2026-01-31" in str(caught.value.hint)
