"""The times of settlements: producers page by them and normalisers read them, in the same units."""

from __future__ import annotations

import pytest

from producers.exchanges.json_slicing import settled_ms
from schemas.errors import MalformedInputError
from stream_app.normalise.numbers import settled_us


@pytest.mark.parametrize(
    "value",
    [
        1_790_006_400,
        1_790_006_400_000,
        "1790006400",
        "1790006400000",
        1_790_006_400.0,
        1.7900064e12,
    ],
)
def test_seconds_and_milliseconds_are_told_by_their_magnitude(value: object) -> None:
    """As numbers, as text and as decimal numbers."""
    assert settled_ms(value) == 1_790_006_400_000
    assert settled_us(value, "t") == 1_790_006_400_000_000


@pytest.mark.parametrize("value", [0, -1, 999_999_999, 10**10, "", "soon", None, True, [], 1e300])
def test_what_is_no_such_time_is_refused_by_both(value: object) -> None:
    """A row of it is a dead letter, whoever reads it first."""
    with pytest.raises(MalformedInputError):
        settled_ms(value)
    with pytest.raises(MalformedInputError):
        settled_us(value, "t")
