"""Numbers and times as exchanges write them, and what is no number."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MalformedInputError
from stream_app.normalise.numbers import (
    interval_hours_of_ms,
    next_time_us,
    number,
    price,
    time_us,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.00000523", 0.00000523),
        ("-0.03750000", -0.0375),
        ("6.1E-5", 0.000061),
        ("1e-4", 0.0001),
        ("+0.5", 0.5),
        ("0.0002438565367033305404731178", 0.00024385653670333054),
        ("85296.60260870", 85296.6026087),
    ],
)
def test_a_text_is_the_nearest_double(text: str, expected: float) -> None:
    """Exponents, signs and 28 digits; nothing is rounded on the way."""
    assert number(text, "rate") == expected


@given(
    value=st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-9, max_value=9)
)
def test_any_decimal_is_the_nearest_double(value: Decimal) -> None:
    """As Python itself reads the text."""
    assert number(str(value), "rate") == float(value)


@pytest.mark.parametrize("text", ["", "null", "n/a", "N/A", "nan", "NaN", None])
def test_none_is_none_and_never_zero(text: str | None) -> None:
    """All the ways in which exchanges say that there is no number."""
    assert number(text, "rate") is None
    assert price(text, "mark price") is None


@pytest.mark.parametrize("text", ["0", "0.0", "0.00000000", "-0", "-0.0", "-0.00000000", "0e5"])
def test_zero_is_a_rate_and_has_no_sign(text: str) -> None:
    """A true zero is a reading; −0 becomes 0."""
    parsed = number(text, "rate")
    assert parsed == 0.0
    assert math.copysign(1.0, parsed) == 1.0


@pytest.mark.parametrize("text", ["0", "0.00000000", "-0"])
def test_a_price_of_zero_is_no_price(text: str) -> None:
    """Exchanges send 0 where there is none, and no asset costs nothing."""
    assert price(text, "mark price") is None
    assert price("0.00000001", "mark price") == 1e-8


@pytest.mark.parametrize(
    "text",
    [
        *("0x10", "1_000", " 1", "1 ", "1,5", "1.2.3", "--1", "1e", "e5", ".", "+", "true"),
        *("١", "１", "inf", "-Infinity", "NAN", "1e400", "-1e999", "0.1%", "1\n", "\x00"),
    ],
)
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    """Also what Python's float() would take: underscores, spaces, digits of other scripts."""
    with pytest.raises(MalformedInputError, match="rate is not"):
        number(text, "rate")


def test_the_message_about_a_long_text_is_short() -> None:
    """It travels in a header of the dead letter."""
    with pytest.raises(MalformedInputError) as caught:
        number("x" * 100_000, "rate")
    assert len(str(caught.value)) < 100


@given(text=st.text(max_size=12))
def test_any_other_text_is_malformed_input(text: str) -> None:
    """A text is a finite number, a way to say none, or MalformedInputError: nothing else."""
    try:
        parsed = number(text, "rate")
    except MalformedInputError:
        return
    assert parsed is None or math.isfinite(parsed)


@pytest.mark.parametrize(
    "value", [1_791_269_856_000, 1_791_269_856_000_000, 1_791_269_856_000_000_000]
)
def test_a_times_unit_is_told_by_its_magnitude(value: int) -> None:
    """Milliseconds, microseconds and nanoseconds all become microseconds."""
    assert time_us(value, "event time") == 1_791_269_856_000_000


def test_nanoseconds_beyond_two_to_the_53_keep_their_microseconds() -> None:
    """No double in between (docs/exchanges/README.md §3 rule 16)."""
    assert time_us(1_790_114_460_967_760_880, "P") == 1_790_114_460_967_760


@pytest.mark.parametrize(
    "value", [0, -1, 1_791_269_856, 10**12 - 1, 10**13, 10**15 - 1, 10**16, 10**18 - 1, 10**19]
)
def test_what_is_no_time_in_any_unit_is_refused(value: int) -> None:
    """Zero is no 1970, and seconds, countdowns and dates of another century are errors."""
    with pytest.raises(MalformedInputError, match="event time is no time"):
        time_us(value, "event time")


@pytest.mark.parametrize(
    "value",
    ["1790114460967760880", "1790114460967760", 1_790_114_460_967_760, "1.79011446096776E+15"],
)
def test_a_time_may_be_text_or_a_float(value: int | str) -> None:
    """Digits are taken as digits: the first one exceeds 2^53."""
    assert time_us(value, "P") == 1_790_114_460_967_760


def test_a_float_of_milliseconds_is_exact() -> None:
    """As a JSON number with an exponent, or a point, is decoded."""
    assert time_us(1.790114460967e12, "ft") == 1_790_114_460_967_000


@pytest.mark.parametrize(
    "value", ["", "null", "soon", "1" * 20, "1" * 5_000, "-1", "1e999", "१७९०११४४६०९६७", 1e300, 0.5]
)
def test_another_text_is_no_time(value: str | float) -> None:
    """Also digits of other scripts, and more of them than int() takes."""
    with pytest.raises(MalformedInputError, match="P is"):
        time_us(value, "P")


EVENT_US = 1_790_000_123_456_789
HOUR_US = 3_600_000_000


@pytest.mark.parametrize("distance_us", [-HOUR_US, 0, 1, HOUR_US, 8 * 24 * HOUR_US])
def test_a_next_time_is_near_its_event(distance_us: int) -> None:
    """From an hour before, around the settlement, to eight days ahead."""
    assert next_time_us(EVENT_US + distance_us, EVENT_US) == EVENT_US + distance_us


@pytest.mark.parametrize("distance_us", [-HOUR_US - 1, 8 * 24 * HOUR_US + 1, -EVENT_US + 1])
def test_a_next_time_that_is_not_near_is_dropped(distance_us: int) -> None:
    """Another unit or another meaning."""
    assert next_time_us(EVENT_US + distance_us, EVENT_US) is None


@pytest.mark.parametrize("value", [None, 0, "", "0", "n/a", -1, 17_752_926, 1e300])
def test_where_there_is_no_next_time_there_is_none(value: str | float | None) -> None:
    """Never 1970, and no error: the rate beside it is good."""
    assert next_time_us(value, EVENT_US) is None


@pytest.mark.parametrize(
    ("value", "hours"),
    [(28_800_000, 8.0), ("14400000", 4.0), (3.6e6, 1.0), ("8.64E7", 24.0), (120_000, 1 / 30)],
)
def test_an_interval_in_milliseconds_becomes_hours(value: str | float, hours: float) -> None:
    """In any notation, up to a day."""
    assert interval_hours_of_ms(value, "gl") == hours


@pytest.mark.parametrize("value", [None, 0, "", "0", "null", 0.0])
def test_without_an_interval_there_is_none(value: str | float | None) -> None:
    """Nothing is assumed here."""
    assert interval_hours_of_ms(value, "gl") is None


@pytest.mark.parametrize(
    "value", [8, 28_800, 60_000, -3_600_000, 86_400_001, 28_800_000_000, "8h", "1e999"]
)
def test_an_interval_in_another_unit_is_refused(value: str | float) -> None:
    """Hours, seconds, KuCoin's granularity of estimates, µs."""
    with pytest.raises(MalformedInputError, match="gl is"):
        interval_hours_of_ms(value, "gl")
