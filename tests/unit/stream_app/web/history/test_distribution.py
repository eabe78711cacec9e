"""How settled rates are distributed, and where of a day nothing was known."""

from __future__ import annotations

from schemas.times import US_PER_S
from stream_app.web.history.answers import BINS
from stream_app.web.history.history import distribution
from stream_app.web.history.queries import QUARTER_S, of_subjects
from stream_app.web.history.times_told import iso
from stream_app.web.rest.answers import QUARTERS
from stream_app.web.rest.feed_rows import quarters

NOW_US = 1_790_000_400 * US_PER_S
NOW_QUARTER = 1_790_000_400 // QUARTER_S
OVER_S = 1_790_000_400 % QUARTER_S


def test_bins_are_of_equal_width() -> None:
    """From the lowest rate to the highest, which is in the last bin."""
    found = distribution([0.0, 1.0, 1.5, 44.0, 43.5, 22.0])
    assert found is not None
    assert (found.low, found.high, found.samples) == (0.0, 44.0, 6)
    assert sum(found.counts) == 6
    assert (found.counts[0], found.counts[1], found.counts[22], found.counts[43]) == (1, 2, 1, 2)


def test_equal_rates_are_in_the_middle() -> None:
    """A distribution without width has nowhere to be drawn."""
    found = distribution([1e-4] * 90)
    assert found is not None
    assert found.low < 1e-4 < found.high
    assert found.counts[BINS // 2] == 90
    assert distribution([]) is None


def test_a_quarter_tells_the_share_that_is_known() -> None:
    """Of the contracts' time; the newest quarter counts as far as it has come."""
    lost = {NOW_QUARTER - 1: 450.0, NOW_QUARTER: float(OVER_S)}
    found = quarters(lost, NOW_QUARTER - 3, 2, NOW_US)
    assert len(found) == QUARTERS
    assert found[:-4] == [None] * (QUARTERS - 4)
    assert found[-4:] == [1.0, 1.0, 0.75, 0.5]


def test_what_is_not_known_is_no_share() -> None:
    """Without a report of the producer, or without contracts."""
    assert quarters({}, None, 2, NOW_US) == [None] * QUARTERS
    assert quarters({NOW_QUARTER: 9.0}, NOW_QUARTER, 0, NOW_US) == [None] * QUARTERS
    assert quarters({NOW_QUARTER: 1e9}, NOW_QUARTER, 2, NOW_US)[-1] == 0.0


def test_names_become_hexadecimal_digits_in_a_condition() -> None:
    """Nothing of a name can end the text that it stands in."""
    settings = of_subjects(["x'); DROP TABLE y", "ü"])
    condition = settings["additional_table_filters"]
    assert "DROP" not in condition
    assert "78273b" not in condition
    assert f"unhex(\\'{b'x'.hex()}" in condition
    assert f"unhex(\\'{'ü'.encode().hex()}\\')" in condition


def test_times_are_told_as_iso() -> None:
    """To the microsecond, UTC; a time that no calendar has becomes the nearest."""
    assert iso(1_790_000_000_000_001) == "2026-09-21T14:13:20.000001Z"
    assert iso(0) == "1970-01-01T00:00:00.000000Z"
    assert iso(None) is None
    assert iso(1 << 62) == "9999-12-31T23:59:59.999999Z"
    assert iso(-(1 << 62)) == "0001-01-01T00:00:00.000000Z"
