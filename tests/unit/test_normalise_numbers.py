"""Numbers and times as exchanges write them, and what is no number."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MalformedInputError
from stream_app.normalise.numbers import number, price, time_us


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
    """No double in between (exchanges.md §0.3.16)."""
    assert time_us(1_790_114_460_967_760_880, "P") == 1_790_114_460_967_760


@pytest.mark.parametrize(
    "value", [0, -1, 1_791_269_856, 10**12 - 1, 10**13, 10**15 - 1, 10**16, 10**18 - 1, 10**19]
)
def test_what_is_no_time_in_any_unit_is_refused(value: int) -> None:
    """Zero is no 1970, and seconds, countdowns and dates of another century are errors."""
    with pytest.raises(MalformedInputError, match="event time is no time"):
        time_us(value, "event time")
