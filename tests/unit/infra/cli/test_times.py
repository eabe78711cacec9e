"""Times as people write them: ISO 8601, how long ago, microseconds."""

from __future__ import annotations

import pytest

from infra.cli.times import span_us, time_us
from schemas.errors import ConfigurationError
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S

NOW_US = 1_785_000_000_000_001
JULY_30_US = 1_785_369_600_000_000


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("2026-07-30", JULY_30_US),
        ("2026-07-30T14:00", JULY_30_US + 14 * US_PER_HOUR),
        ("2026-07-30 14:00:00.000001", JULY_30_US + 14 * US_PER_HOUR + 1),
        ("2026-07-30T14:00Z", JULY_30_US + 14 * US_PER_HOUR),
        ("2026-07-30T14:00+02:00", JULY_30_US + 12 * US_PER_HOUR),
        ("now", NOW_US),
        ("30s", NOW_US - 30 * US_PER_S),
        ("15m", NOW_US - 15 * US_PER_MINUTE),
        (" 2h ", NOW_US - 2 * US_PER_HOUR),
        ("7d", NOW_US - 7 * US_PER_DAY),
        ("1w", NOW_US - 7 * US_PER_DAY),
        ("1d12h", NOW_US - 36 * US_PER_HOUR),
        ("1785369600000000", JULY_30_US),
        ("2026-07-30T01:00:00.5+01:00", JULY_30_US + US_PER_S // 2),
    ],
)
def test_a_time_is_read(text: str, expected_us: int) -> None:
    """A time without a zone is UTC; a span counts back from now; 16 digits are microseconds."""
    assert time_us(text, NOW_US) == expected_us


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "5", "2x", "-2h", "1969-12-31", "999999999w", "h"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """The message shows what to write instead."""
    with pytest.raises(ConfigurationError, match="2026-07-30T14:00"):
        time_us(text, NOW_US)


def test_a_span_has_a_length() -> None:
    """Its parts are added."""
    assert span_us("1h30m") == 90 * US_PER_MINUTE
    with pytest.raises(ConfigurationError, match="15m"):
        span_us("soon")
