"""What of a contract's z and sign is told, and what is held back."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import US_PER_MINUTE
from stream_app.core.damping import BAND, PAUSE_US, AlertState, Crossing, level_of
from stream_app.core.zones import CROSSINGS

Series = list[tuple[int, float]]
STEPS_US = st.sampled_from([0, 1, US_PER_MINUTE, PAUSE_US // 2, PAUSE_US - 1, PAUSE_US])
ZS = st.sampled_from([0.0, 1.4, 1.5, 1.99, 2.0, 2.01, 2.49, 2.5, 3.0, 3.01, 9.0]).flatmap(
    lambda z: st.sampled_from([z, -z])
)


@st.composite
def series(draw: st.DrawFn) -> Series:
    """Times and z of updates."""
    at, found = 1, []
    for step_us, z in draw(st.lists(st.tuples(STEPS_US, ZS), max_size=40)):
        at += step_us
        found.append((at, z))
    return found


def run(*zs: tuple[float, float]) -> list[tuple[str, float] | None]:
    """What updates at (minute, z) lead to: kind and threshold."""
    state = AlertState()
    found = (state.cross(z, 1 + int(minute * US_PER_MINUTE)) for minute, z in zs)
    return [None if c is None else (c.kind, c.standing.threshold) for c in found]


def told(state: AlertState, zs: Series) -> list[tuple[int, Crossing]]:
    """When something is told, and what."""
    found = [(at, state.cross(z, at)) for at, z in zs]
    return [(at, c) for at, c in found if c is not None and c.kind != "held_back"]


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


class TestCrossings:
    """Minutes and z, and what is told."""

    def test_a_z_that_hums_about_a_threshold_is_told_once(self) -> None:
        """Hysteresis: 22 s of it were a dozen alerts."""
        hum = [(0.0, 1.9), *((second / 60, 1.99 + second % 2 * 0.02) for second in range(1, 23))]
        assert [c for c in run(*hum) if c] == [("beyond", 2.0)]

    def test_a_wider_swing_is_the_same_excursion(self) -> None:
        """It is counted while the threshold stands."""
        swing = run((0, 0.0), (1, 2.1), (2, 1.0), (3, 2.1), (4, 1.0))
        assert swing == [None, ("beyond", 2.0), None, ("held_back", 2.0), None]

    def test_escalations_wait_for_nothing(self) -> None:
        """The outer threshold, and both of the other side."""
        steps = run((0, 0.0), (1, 2.1), (2, 3.1), (3, -2.1), (4, -3.1))
        assert steps[1:] == [("beyond", t) for t in (2.0, 3.0, -2.0, -3.0)]

    def test_a_jump_over_both_is_one_alert(self) -> None:
        """Of the outer; the inner is known with it."""
        assert run((0, 0.0), (1, 3.1), (2, 1.0), (3, 2.1)) == [
            None,
            ("beyond", 3.0),
            None,
            ("held_back", 2.0),
        ]

    def test_back_inside_is_told_after_the_pause(self) -> None:
        """Once, at the first update then; what follows is a new excursion."""
        assert run((0, 0.0), (1, 2.1), (2, 1.0), (31, 1.0), (32, 1.0), (33, 1.0), (34, 2.1)) == [
            None,
            ("beyond", 2.0),
            None,
            None,
            ("inside", 2.0),
            None,
            ("beyond", 2.0),
        ]

    def test_after_a_silence_the_excursion_that_begins_is_told(self) -> None:
        """Not that the one before had ended."""
        assert run((0, 0.0), (1, 2.1), (2, 1.0), (90, 2.1))[3] == ("beyond", 2.0)

    def test_an_excursion_lasts_until_the_next_update(self) -> None:
        """A rate holds; the pause begins when it is known to be inside."""
        assert run((0, 0.0), (1, 2.1), (90, 1.0), (91, 2.1))[2:] == [None, ("held_back", 2.0)]

    def test_the_outer_threshold_is_armed_again_by_itself(self) -> None:
        """Thirty minutes between 2 and 2.5 make 3 news, and are not back inside."""
        steps = run((0, 0.0), (1, 3.1), (2, 2.2), (33, 2.2), (34, 3.1), (35, 2.2))
        assert steps[2:] == [None, None, ("beyond", 3.0), None]

    def test_what_z_is_first_is_a_fact(self) -> None:
        """No crossing, neither then nor when it ends; an escalation is one, and so is its end."""
        assert run((0, 2.1), (1, 1.0), (40, 1.0), (41, 2.1)) == [
            None,
            None,
            None,
            ("beyond", 2.0),
        ]
        assert run((0, 2.1), (1, 3.1), (2, 1.0), (40, 1.0))[1:] == [
            ("beyond", 3.0),
            None,
            ("inside", 2.0),
        ]

    def test_back_inside_says_how_long_and_how_often(self) -> None:
        """For the text."""
        state = AlertState()
        for minute, z in ((0, 0.0), (1, 2.1), (5, 1.0), (6, 2.1), (9, 1.0)):
            state.cross(z, minute * US_PER_MINUTE)
        crossing = state.cross(0.0, 60 * US_PER_MINUTE)
        assert crossing is not None
        assert crossing.kind == "inside"
        standing = crossing.standing
        assert (standing.since, standing.beyond_at) == (US_PER_MINUTE, 9 * US_PER_MINUTE)
        assert standing.repeats == 1

    @given(zs=series())
    def test_no_two_alike_within_the_pause(self, zs: Series) -> None:
        """Of a threshold, nor of one further inside on the same side; back inside neither."""
        alerts = told(AlertState(), zs)
        for index, (at, crossing) in enumerate(alerts):
            for earlier_at, earlier in alerts[:index]:
                if earlier.kind == crossing.kind and at - earlier_at < PAUSE_US:
                    ours, theirs = crossing.standing.threshold, earlier.standing.threshold
                    assert crossing.kind == "beyond"
                    assert ours * theirs < 0 or abs(ours) > abs(theirs)

    @given(zs=series())
    def test_every_excursion_is_told_or_goes_on(self, zs: Series) -> None:
        """Since the newest alert of its side z was never inside the threshold for the pause."""
        zs = [(0, 0.0), *zs]
        state = AlertState()
        newest = dict.fromkeys(CROSSINGS, -1)
        inside_since: dict[float, int | None] = dict.fromkeys(CROSSINGS, None)
        for at, z in zs:
            crossing = state.cross(z, at)
            for threshold in CROSSINGS:
                side = 1 if threshold > 0 else -1
                if crossing and crossing.kind == "beyond":
                    passed = crossing.standing.threshold
                    if passed * side > 0 and abs(passed) >= abs(threshold):
                        newest[threshold] = at
                if side * z > abs(threshold):
                    since = inside_since[threshold]
                    assert newest[threshold] >= 0
                    assert since is None or at - since < PAUSE_US or newest[threshold] == at
                    inside_since[threshold] = None
                elif side * z < abs(threshold) - BAND and inside_since[threshold] is None:
                    inside_since[threshold] = at

    @given(zs=series())
    def test_what_is_told_as_inside_was_told_as_beyond(self, zs: Series) -> None:
        """And is inside of every threshold."""
        alerts = told(AlertState(), zs)
        for (_, before), (_, after) in pairwise([(0, None), *alerts]):
            if after.kind == "inside":
                assert before is not None
                assert before.kind == "beyond"
        assert not alerts or alerts[0][1].kind == "beyond"

    @given(zs=series(), stored=st.integers(0, 40))
    def test_packed_state_goes_on_where_it_was(self, zs: Series, stored: int) -> None:
        """A restart tells nothing twice and loses nothing."""
        state = AlertState()
        found = told(state, zs[:stored])
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=AlertState)
        found += told(again, zs[stored:])
        expected = told(AlertState(), zs)
        assert [(at, c.kind, c.standing.threshold) for at, c in found] == [
            (at, c.kind, c.standing.threshold) for at, c in expected
        ]


class TestFlips:
    """Changes of the sign."""

    def test_the_next_change_waits_for_the_pause(self) -> None:
        """It is told then if the sign is still another; both meanwhile are counted."""
        state = AlertState()
        minutes = [(40, True), (41, True), (42, True), (69, False), (70, False), (71, False)]
        found = [state.flip(m * US_PER_MINUTE, flipped=f) for m, f in minutes]
        assert found == ["told", "held_back", "held_back", None, None, None]
        assert state.flips == 2

    def test_a_change_that_stays_is_told_when_the_pause_ends(self) -> None:
        """At the next update, though that one changes nothing."""
        state = AlertState()
        minutes = [(40, True), (41, True), (69, False), (70, False), (71, False)]
        found = [state.flip(m * US_PER_MINUTE, flipped=f) for m, f in minutes]
        assert found == ["told", "held_back", None, "told", None]

    @given(steps=st.lists(st.tuples(STEPS_US, st.booleans()), max_size=40))
    def test_the_reader_knows_the_sign_within_the_pause(
        self, steps: list[tuple[int, bool]]
    ) -> None:
        """And hears of it at most once in it."""
        state, at, known, sign = AlertState(), PAUSE_US, 1, 1
        told_at: list[int] = []
        for step_us, flipped in steps:
            at += step_us
            sign = -sign if flipped else sign
            if state.flip(at, flipped=flipped) == "told":
                known = sign
                told_at.append(at)
            assert sign == known or at - told_at[-1] < PAUSE_US
        assert all(after - before >= PAUSE_US for before, after in pairwise(told_at))
