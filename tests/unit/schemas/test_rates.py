"""Rate arithmetic and time arithmetic: the formulas of docs/decisions/intervals-and-units.md."""

from __future__ import annotations

import pytest

from schemas.rates import apr, rate_8h
from schemas.times import (
    US_PER_DAY,
    US_PER_HOUR,
    US_PER_MINUTE,
    US_PER_MS,
    US_PER_S,
    hour_floor,
    minute_round,
)

EIGHT_AM_US = 1_791_273_600_000_000  # 2026-10-06 08:00 UTC


@pytest.mark.parametrize(
    ("rate", "interval_hours", "expected"),
    [(0.0001, 8, 0.0001), (0.0001, 1, 0.0008), (-0.0003, 4, -0.0006), (0.0002, 24, 0.0002 / 3)],
)
def test_rate_8h_scales_to_eight_hours(rate: float, interval_hours: float, expected: float) -> None:
    """The rate × 8 / interval_hours."""
    assert rate_8h(rate, interval_hours) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("rate", "interval_hours", "expected"),
    [(0.0001, 8, 0.1095), (0.0001, 1, 0.876), (-0.0003, 4, -0.657)],
)
def test_apr_is_simple_and_of_365_days(rate: float, interval_hours: float, expected: float) -> None:
    """The rate × 8760 / interval_hours."""
    assert apr(rate, interval_hours) == pytest.approx(expected, rel=1e-15)


def test_the_units_of_time_are_microseconds() -> None:
    """One unit inside: a factor of a thousand must not hide."""
    assert (US_PER_MS, US_PER_S) == (10**3, 10**6)
    assert (US_PER_MINUTE, US_PER_HOUR, US_PER_DAY) == (6 * 10**7, 36 * 10**8, 864 * 10**8)


@pytest.mark.parametrize(
    ("offset_us", "expected_us"),
    [
        (0, 0),
        (1, 0),
        (US_PER_HOUR - 1, 0),
        (US_PER_HOUR, US_PER_HOUR),
        (-1, -US_PER_HOUR),
    ],
)
def test_hour_floor_is_the_full_hour_at_or_before(offset_us: int, expected_us: int) -> None:
    """A full hour is its own."""
    assert hour_floor(EIGHT_AM_US + offset_us) == EIGHT_AM_US + expected_us


@pytest.mark.parametrize("jitter_us", [0, 1_000, 118_000, 1_356_000, -1, 29_999_999, -30_000_000])
def test_a_settlement_stamp_rounds_to_its_minute(jitter_us: int) -> None:
    """The jitter of docs/exchanges/README.md §3 rule 9: +1 ms, +1..118 ms, once +1356 ms."""
    assert minute_round(EIGHT_AM_US + jitter_us) == EIGHT_AM_US


def test_half_a_minute_rounds_up() -> None:
    """Half goes to the next minute, always, and not to the even one."""
    assert minute_round(EIGHT_AM_US + 30 * US_PER_S) == EIGHT_AM_US + US_PER_MINUTE
    assert minute_round(EIGHT_AM_US + 90 * US_PER_S) == EIGHT_AM_US + 2 * US_PER_MINUTE
