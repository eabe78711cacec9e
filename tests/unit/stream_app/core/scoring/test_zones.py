"""Zones and triggers: when a z-score is emitted, and why (docs/decisions/emission-zones.md)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.scoring.zones import (
    FLUSH_US,
    crossed_between,
    flush_boundary,
    rate_moved,
    trigger_of,
    zone_of,
)

scores = st.none() | st.floats(-6, 6) | st.sampled_from([-3.0, -2.0, 0.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("z", "zone"),
    [
        *((2.0, "normal"), (-2.0, "normal"), (0.0, "normal"), (2.0000001, "high")),
        *((-2.0000001, "high"), (35.0, "high"), (None, "unrated")),
    ],
)
def test_beyond_two_is_high(z: float | None, zone: str) -> None:
    """|z| > 2; without a z nothing is rated."""
    assert zone_of(z) == zone


@pytest.mark.parametrize(
    ("before", "z", "crossed"),
    [
        (1.9, 2.1, 2.0),
        (2.1, 1.9, 2.0),
        (-1.9, -2.1, -2.0),
        (-2.1, -1.9, -2.0),
        (2.5, 3.5, 3.0),
        (3.5, 2.5, 3.0),
        (-2.5, -3.5, -3.0),
        (-3.5, -2.5, -3.0),
        (1.0, 4.0, 3.0),
        (4.0, 1.0, 2.0),
        (-1.0, -4.0, -3.0),
        (-4.0, -1.0, -2.0),
        (-4.0, 4.0, 3.0),
        (4.0, -4.0, -3.0),
        (-2.5, 2.5, 2.0),
        (2.5, -2.5, -2.0),
    ],
)
def test_of_several_thresholds_the_last_one_counts(before: float, z: float, crossed: float) -> None:
    """Whichever way z goes, the threshold nearest to where it has arrived."""
    assert crossed_between(before, z) == crossed


@pytest.mark.parametrize(
    ("before", "z"),
    [
        *((1.0, 1.9), (2.1, 2.9), (-1.0, 1.0), (3.5, 9.0), (None, 5.0), (5.0, None), (None, None)),
        *((1.9, 2.0), (2.0, 1.9), (-2.0, 2.0), (2.5, 3.0), (-3.0, -2.5)),
    ],
)
def test_without_a_threshold_between_nothing_is_crossed(
    before: float | None, z: float | None
) -> None:
    """A threshold itself lies inside; without both values nothing is known."""
    assert crossed_between(before, z) is None


@given(before=scores, z=scores)
def test_a_change_of_zone_is_a_crossing(before: float | None, z: float | None) -> None:
    """Between two scores, the zone cannot change without a threshold having been passed."""
    if before is not None and z is not None and zone_of(before) != zone_of(z):
        assert crossed_between(before, z) in (-3.0, -2.0, 2.0, 3.0)


@given(before=scores, z=scores)
def test_the_way_back_crosses_again(before: float | None, z: float | None) -> None:
    """If something was crossed on the way there, so it is on the way back."""
    assert (crossed_between(before, z) is None) is (crossed_between(z, before) is None)


@pytest.mark.parametrize(
    ("emitted", "rate", "moved"),
    [
        (0.0100, 0.0111, True),
        (0.0100, 0.0109, False),
        (0.0100, 0.0089, True),
        (0.0100, 0.0091, False),
        (-0.0100, -0.0111, True),
        (-0.0100, -0.0091, False),
        (0.0100, -0.0100, True),
        (0.0100, 0.0, True),
        (0.0, 1.1e-8, True),
        (0.0, -1.1e-8, True),
        (0.0, 1e-8, False),
        (0.0, 0.0, False),
    ],
)
def test_a_rate_has_moved_beyond_ten_percent(emitted: float, rate: float, moved: bool) -> None:  # noqa: FBT001
    """Of what was emitted last; from zero, beyond 1e-8."""
    assert rate_moved(emitted, rate) is moved


@pytest.mark.parametrize(
    ("change", "trigger"),
    [
        ({}, "first"),
        ({"first": False}, "cross"),
        ({"first": False, "crossed": None}, "zone"),
        ({"first": False, "crossed": None, "rate_changed": False}, "rate_change"),
        ({"first": False, "crossed": None, "z": 1.0}, "rate_change"),
        ({"first": False, "crossed": None, "z": None}, "rate_change"),
        ({"first": False, "crossed": None, "z": 1.0, "rate": 0.01}, None),
        ({"first": False, "crossed": None, "rate_changed": False, "rate": 0.01}, None),
    ],
)
def test_the_strongest_reason_is_the_trigger(
    change: dict[str, object], trigger: str | None
) -> None:
    """First, cross, zone, rate_change; with none of them the update waits for the flush."""
    everything = {
        "first": True,
        "rate_changed": True,
        "emitted_rate": 0.01,
        "rate": 0.02,
        "z": 2.5,
        "crossed": 2.0,
    }
    assert trigger_of(**{**everything, **change}) == trigger  # type: ignore[arg-type]


@given(times=st.lists(st.integers(0, 2**53), min_size=2, max_size=9).map(sorted))
def test_boundaries_are_multiples_of_five_seconds(times: list[int]) -> None:
    """At or before the time, less than five seconds away, and never going back."""
    boundaries = [flush_boundary(at) for at in times]
    for at, boundary in zip(times, boundaries, strict=True):
        assert boundary % 5_000_000 == 0
        assert 0 <= at - boundary < FLUSH_US
    assert all(left <= right for left, right in pairwise(boundaries))
