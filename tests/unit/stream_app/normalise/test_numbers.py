"""Numbers and times as exchanges write them, and what is no number."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MalformedInputError
from stream_app.normalise.numbers import (
    amount,
    flag,
    hours,
    interval_hours_of_ms,
    next_time_us,
    number,
    optional,
    past_time_us,
    price,
    product,
    text,
    time_us,
)


@pytest.mark.parametrize(
    ("written", "expected"),
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
def test_a_text_is_the_nearest_double(written: str, expected: float) -> None:
    """Exponents, signs and 28 digits; nothing is rounded on the way."""
    assert number(written, "rate") == expected


@given(
    value=st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-9, max_value=9)
)
def test_any_decimal_is_the_nearest_double(value: Decimal) -> None:
    """As Python itself reads the text."""
    assert number(str(value), "rate") == float(value)


@pytest.mark.parametrize("written", ["", "null", "n/a", "N/A", "nan", "NaN", None])
def test_none_is_none_and_never_zero(written: str | None) -> None:
    """All the ways in which exchanges say that there is no number."""
    assert number(written, "rate") is None
    assert price(written, "mark price") is None


@pytest.mark.parametrize("written", ["0", "0.0", "0.00000000", "-0", "-0.0", "-0.00000000", "0e5"])
def test_zero_is_a_rate_and_has_no_sign(written: str) -> None:
    """A true zero is a reading; −0 becomes 0."""
    parsed = number(written, "rate")
    assert parsed == 0.0
    assert math.copysign(1.0, parsed) == 1.0


@pytest.mark.parametrize("written", ["0", "0.00000000", "-0"])
def test_a_price_of_zero_is_no_price(written: str) -> None:
    """Exchanges send 0 where there is none, and no asset costs nothing."""
    assert price(written, "mark price") is None
    assert price("0.00000001", "mark price") == 1e-8


@pytest.mark.parametrize(
    "written",
    [
        *("0x10", "1_000", " 1", "1 ", "1,5", "1.2.3", "--1", "1e", "e5", ".", "+", "true"),
        *("١", "１", "inf", "-Infinity", "NAN", "1e400", "-1e999", "0.1%", "1\n", "\x00"),
    ],
)
def test_what_is_no_finite_number_is_refused(written: str) -> None:
    """Also what Python's float() would take: underscores, spaces, digits of other scripts."""
    with pytest.raises(MalformedInputError, match="rate is not"):
        number(written, "rate")


def test_the_message_about_a_long_text_is_short() -> None:
    """It travels in a header of the dead letter."""
    with pytest.raises(MalformedInputError) as caught:
        number("x" * 100_000, "rate")
    assert len(str(caught.value)) < 100


@given(written=st.text(max_size=12))
def test_any_other_text_is_malformed_input(written: str) -> None:
    """A text is a finite number, a way to say none, or MalformedInputError: nothing else."""
    try:
        parsed = number(written, "rate")
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
    ("value", "expected"),
    [(28_800_000, 8.0), ("14400000", 4.0), (3.6e6, 1.0), ("8.64E7", 24.0), (900_000, 0.25)],
)
def test_an_interval_in_milliseconds_becomes_hours(value: str | float, expected: float) -> None:
    """In any notation, up to a day."""
    assert interval_hours_of_ms(value, "gl") == expected


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


@pytest.mark.parametrize(
    ("value", "expected"), [(8, 8.0), ("4", 4.0), (0.5, 0.5), ("1E0", 1.0), (24, 24.0)]
)
def test_an_interval_in_hours_is_read_in_any_notation(value: str | float, expected: float) -> None:
    """Up to a day."""
    assert hours(value, "interval") == expected


@pytest.mark.parametrize("value", [None, 0, "", "0", "null", 0.0])
def test_without_an_interval_in_hours_there_is_none(value: str | float | None) -> None:
    """Nothing can be divided by zero."""
    assert hours(value, "interval") is None


@pytest.mark.parametrize("value", [-8, 1 / 60, 24.1, 28_800, 28_800_000, "8h", True, [8]])
def test_what_is_no_interval_in_hours_is_refused(value: Any) -> None:
    """Seconds, ms, a minute, more than a day."""
    with pytest.raises(MalformedInputError, match="interval is"):
        hours(value, "interval")


@pytest.mark.parametrize("value", [1_683_500_400_000, "1683500400000", 1_683_500_400_000_000])
def test_a_past_time_is_in_microseconds(value: int | str) -> None:
    """It may be years before what it stands in."""
    assert past_time_us(value, "listed") == 1_683_500_400_000_000


@pytest.mark.parametrize("value", [None, 0, "", "0", 0.0, "null"])
def test_without_a_past_time_there_is_none(value: str | float | None) -> None:
    """Never 1970."""
    assert past_time_us(value, "listed") is None


@pytest.mark.parametrize("value", [5, -1, "soon", True, False, [], {}, [1_683_500_400_000]])
def test_what_is_no_past_time_is_refused(value: Any) -> None:
    """An empty list is no way to say none."""
    with pytest.raises(MalformedInputError, match="listed is"):
        past_time_us(value, "listed")


DEEP: Any = []
for _ in range(50_000):
    DEEP = [DEEP]
READERS: tuple[Callable[[object, str], object], ...] = (
    *(number, price, time_us, past_time_us, hours, interval_hours_of_ms, text, flag),
)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("value", [{}, {"a": 1}, [], [1], DEEP], ids=["", "a", "[]", "[1]", "deep"])
def test_a_list_or_an_object_is_refused_in_a_few_words(
    read: Callable[[object, str], object], value: object
) -> None:
    """However deep: its text would be as long, or no text at all."""
    with pytest.raises(MalformedInputError, match=r"^x is .*: (a list|an object)$"):
        read(value, "x")


@pytest.mark.parametrize(
    "read", [r for r in READERS if r is not flag], ids=lambda read: read.__name__
)
@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_no_number_no_time_and_no_text(
    read: Callable[[object, str], object], value: object
) -> None:
    """Though Python counts it among the integers."""
    with pytest.raises(MalformedInputError, match=f"^x is .*: {value}$"):
        read(value, "x")


@pytest.mark.parametrize(("value", "expected"), [("Open", "Open"), ("", None), (None, None)])
def test_a_text_is_itself_and_an_empty_one_is_none(value: str | None, expected: str | None) -> None:
    """Exchanges write both for what there is not."""
    assert text(value, "status") == expected


@pytest.mark.parametrize("value", [0, 1.5])
def test_a_number_is_no_text(value: float) -> None:
    """It would be a word that nobody knows."""
    with pytest.raises(MalformedInputError, match="status is no text"):
        text(value, "status")


@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), (None, False)])
def test_a_flag_that_is_not_there_is_false(value: object, expected: object) -> None:
    """Null is as good as absent."""
    assert flag(value, "isDelisted") is expected


@pytest.mark.parametrize("value", ["true", "", 1, 0])
def test_what_is_no_flag_is_refused(value: object) -> None:
    """Whether "false" is true must not be guessed."""
    with pytest.raises(MalformedInputError, match="isDelisted is no flag"):
        flag(value, "isDelisted")


def test_an_optional_field_that_is_read_leaves_no_fault() -> None:
    """Nor does one that is not there."""
    faults: list[str] = []
    assert optional(price, "2.5", "p", faults) == 2.5
    assert optional(price, None, "p", faults) is None
    assert faults == []


def test_an_optional_field_that_cannot_be_read_is_none_and_a_fault() -> None:
    """One for each field, in the order of reading."""
    faults: list[str] = []
    assert optional(price, "?", "p", faults) is None
    assert optional(hours, 25, "h", faults) is None
    assert faults == ["p is not a number: '?'", "h is no interval in hours: 25"]


@pytest.mark.parametrize("value", ["-1", -0.5, 1e19, "1e300"])
def test_what_is_less_than_nothing_or_too_much_is_no_amount(value: object) -> None:
    """The core would refuse the whole update for it."""
    with pytest.raises(MalformedInputError, match="held is no amount"):
        amount(value, "held")


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ((2.0, 3.0), 6.0),
        ((2.0, 0.0), 0.0),
        ((2.0, None), None),
        ((None, 2.0, 3.0), None),
        ((1e300, 1e300), None),
        ((1e15, 1e15), None),
        ((2.0, -3.0), None),
        ((1e300, 1e300, 0.0), None),
    ],
)
def test_a_product_is_an_amount_or_none(
    factors: tuple[float | None, ...], expected: float | None
) -> None:
    """One that overflows is none, and neither is one with a factor that is missing."""
    assert product(*factors) == expected
