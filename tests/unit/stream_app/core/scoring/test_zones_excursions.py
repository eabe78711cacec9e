"""Which excursions of z and which flips of the sign are told, and what is held back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import US_PER_MINUTE
from stream_app.core.scoring.zones import (
    BAND,
    CROSSINGS,
    LASTING_US,
    QUIET_US,
    AlertState,
    level_of,
)

Series = list[tuple[int, float]]
Told = list[tuple[int, float]]
STEPS_US = st.sampled_from(
    [0, 1, US_PER_MINUTE, LASTING_US[2.0] - 1, LASTING_US[2.0], QUIET_US - 1, QUIET_US]
)
ZS = st.sampled_from([0.0, 1.4, 1.5, 1.99, 2.0, 2.01, 2.49, 2.5, 3.0, 3.01, 9.0]).flatmap(
    lambda z: st.sampled_from([z, -z])
)
STEPS = st.lists(st.tuples(STEPS_US, ZS), max_size=40)


def at_times(steps: Series) -> Series:
    """Times and z of updates; the first is a quiet one at 1 µs."""
    at, found = 1, [(1, 0.0)]
    for step_us, z in steps:
        at += step_us
        found.append((at, z))
    return found


def run(state: AlertState, zs: Series) -> Told:
    """When something is told, and of which threshold."""
    crossings = [(at, state.cross(z, at)) for at, z in zs]
    return [(at, c.told.threshold) for at, c in crossings if c is not None and c.told]


def minutes(*zs: tuple[float, float]) -> tuple[list[tuple[float, float]], list[float]]:
    """What updates at (minute, z) lead to: what is told when, and what is held back."""
    state, told, held_back = AlertState(), [], []
    for minute, z in zs:
        crossing = state.cross(z, 1 + int(minute * US_PER_MINUTE))
        if crossing is not None:
            held_back += crossing.held_back
            told += [(minute, crossing.told.threshold)] if crossing.told else []
    return told, held_back


@pytest.mark.parametrize(
    ("z", "before", "level"),
    [
        (2.0, 0.0, 0.0),
        (2.01, 0.0, 2.0),
        (3.01, 0.0, 3.0),
        (1.5, 2.0, 2.0),
        (1.49, 2.0, 0.0),
        (2.5, 3.0, 3.0),
        (2.49, 3.0, 2.0),
        (1.49, 3.0, 0.0),
        (-1.9, 2.0, 0.0),
        (-2.01, 3.0, -2.0),
        (-3.01, 2.0, -3.0),
    ],
)
def test_a_threshold_is_left_half_a_deviation_inside(z: float, before: float, level: float) -> None:
    """Passed outward where it is; the other side is reached through zero."""
    assert level_of(z, before) == level
    assert level_of(-z, -before) == -level


class TestExcursions:
    """Minutes and z, and what is told."""

    def test_a_z_that_hums_about_a_threshold_tells_nothing(self) -> None:
        """22 s of it were a dozen alerts."""
        hum = [(second / 60, 1.99 + second % 2 * 0.02) for second in range(23)]
        assert minutes((0, 1.9), *hum, (1, 1.0)) == ([], [2.0])

    def test_an_excursion_is_told_when_it_has_lasted(self) -> None:
        """Five minutes beyond 2, no time beyond 3; once."""
        assert minutes((0, 0.0), (1, 2.1), (5.9, 2.1), (6, 1.9), (7, 2.1))[0] == [(6, 2.0)]
        assert minutes((0, 0.0), (1, 3.1), (15, 3.1), (16, 2.9), (17, 3.1))[0] == [(1, 3.0)]

    def test_one_that_is_over_sooner_is_counted(self) -> None:
        """Each threshold's own; what begins after it begins anew."""
        assert minutes((0, 0.0), (1, 2.1), (5.9, 1.0), (8, 2.1), (12, 2.1)) == ([], [2.0])

    def test_who_is_told_of_three_is_not_told_of_two(self) -> None:
        """After an alert at 2 a crossing of 3 makes an alert too; after one at 3 a crossing of 2
        does not.
        """
        assert minutes((0, 0.0), (1, 3.1), (16, 3.1), (90, 2.2))[0] == [(1, 3.0)]
        steps = ((0, 0.0), (1, 2.1), (61, 2.1), (62, 3.1), (77, 3.1))
        assert minutes(*steps)[0] == [(61, 2.0), (62, 3.0)]

    def test_the_other_side_is_an_excursion_of_its_own(self) -> None:
        """An alert at +2 does not suppress one at −2."""
        steps = ((0, 0.0), (1, 2.1), (61, 2.1), (62, -2.1), (122, -2.1))
        assert minutes(*steps)[0] == [(61, 2.0), (122, -2.0)]

    def test_what_was_told_stands_until_z_was_back_for_long(self) -> None:
        """Passing again within four hours is the same excursion, and counted."""
        once = ((0, 0.0), (1, 2.1), (61, 2.1), (62, 1.0))
        assert minutes(*once, (62 + 239, 2.1), (400, 2.1)) == ([(61, 2.0)], [2.0])
        assert minutes(*once, (62 + 240, 2.1), (400, 2.1)) == ([(61, 2.0), (400, 2.0)], [])

    def test_the_outer_threshold_is_armed_again_by_itself(self) -> None:
        """After four hours below 2.5 the threshold 3 may raise an alert again."""
        steps = ((0, 0.0), (1, 3.1), (17, 2.2), (257, 3.1))
        assert minutes(*steps)[0] == [(1, 3.0), (257, 3.0)]

    def test_an_excursion_lasts_until_the_next_update(self) -> None:
        """A rate holds: that it was back is known from the update that says so."""
        steps = ((0, 0.0), (1, 2.1), (61, 2.1), (900, 1.0), (901, 2.1), (1000, 2.1))
        assert minutes(*steps) == ([(61, 2.0)], [2.0])

    def test_what_z_is_first_is_a_fact(self) -> None:
        """And no excursion, however long; going further out is one."""
        assert minutes((0, 2.1), (90, 2.1)) == ([], [])
        assert minutes((0, 2.1), (1, 3.1), (16, 3.1)) == ([(1, 3.0)], [])
        assert minutes((0, 2.1), (1, 1.0), (300, 2.1), (360, 2.1)) == ([(360, 2.0)], [])

    @given(steps=STEPS)
    def test_no_two_alike_within_the_quiet_time(self, steps: Series) -> None:
        """Of a threshold, nor of one further inside on the same side."""
        told = run(AlertState(), at_times(steps))
        for index, (at, ours) in enumerate(told):
            for earlier_at, theirs in told[:index]:
                if at - earlier_at < QUIET_US:
                    assert ours * theirs < 0 or abs(ours) > abs(theirs)

    @given(steps=STEPS)
    def test_every_lasting_excursion_is_told_or_goes_on(self, steps: Series) -> None:
        """Told since z was last back inside the threshold for the quiet time."""
        zs = at_times(steps)
        told = run(AlertState(), zs)
        for threshold in CROSSINGS:
            side = 1 if threshold > 0 else -1
            since = back_since = armed_at = None
            for at, z in zs:
                outward = side * z
                if outward > abs(threshold) and since is None:
                    since = at
                    if back_since is None or at - back_since >= QUIET_US:
                        armed_at = at
                elif since is not None and outward < abs(threshold) - BAND:
                    since, back_since = None, at
                if since is not None and at - since >= LASTING_US[abs(threshold)]:
                    assert armed_at is not None
                    assert any(
                        armed_at <= when <= at
                        and theirs * side > 0
                        and abs(theirs) >= abs(threshold)
                        for when, theirs in told
                    )

    @given(steps=STEPS, stored=st.integers(0, 41))
    def test_packed_state_goes_on_where_it_was(self, steps: Series, stored: int) -> None:
        """With state packed and unpacked at any point, the same alerts are raised, each once."""
        zs, state = at_times(steps), AlertState()
        told = run(state, zs[:stored])
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=AlertState)
        assert told + run(again, zs[stored:]) == run(AlertState(), zs)


def flips(*signs: tuple[float, int]) -> list[bool | None]:
    """What the signs of updates at (hour, sign) lead to, where + is known."""
    state, known, found = AlertState(), 1, []
    for hour, sign in signs:
        told = state.flip(known, sign, 1 + int(hour * 60) * US_PER_MINUTE)
        known = -known if told else known
        found.append(told)
    return found


class TestFlips:
    """Changes of the sign."""

    def test_a_sign_that_stays_is_told(self) -> None:
        """After four hours, once; and then the way back."""
        signs = ((0, -1), (3.9, -1), (4, -1), (5, -1), (6, 1), (10, 1))
        assert flips(*signs) == [None, None, True, None, None, True]

    def test_a_flip_that_is_over_sooner_is_counted(self) -> None:
        """The next one begins anew."""
        assert flips((0, -1), (3, 1), (4, -1), (7, -1)) == [None, False, None, None]

    def test_a_rate_about_zero_neither_flips_nor_flips_back(self) -> None:
        """It has no clear sign: what it had goes on, and is told once the sign is clear again."""
        steps = ((0, 0), (1, -1), (2, 0), (5, 0), (6, -1), (7, -1))
        assert flips(*steps) == [None, None, None, None, True, None]
