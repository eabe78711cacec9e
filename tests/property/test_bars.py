"""Hourly bars against a slow, obvious reference: intervals held, split at hours, weighed."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.core.state.bars import LATENESS_US, BarState, ClosedBar, Held

START_US = 1_790_000_000_000_000
SILENCE_US = 4 * US_PER_HOUR


class Event(NamedTuple):
    """A rate from a time on."""

    at: int
    rate: float


def bars_of(events: list[Event], stale_us: int, settle_one_in: int = 1) -> list[ClosedBar]:
    """Bars of events in their order of arrival, the last ones closed by silence."""
    state = BarState()
    closed: list[ClosedBar] = []
    for at, rate in events:
        state.add(Held(at, rate, None, None, "ws"))
        if at % settle_one_in == 0:
            closed += state.settle(stale_us)
    newest = max(event.at for event in events)
    closed += state.close_silent(newest + SILENCE_US, stale_us)
    return closed


def pieces_of(events: list[Event], stale_us: int) -> dict[int, list[tuple[float, int]]]:
    """(rate, µs held) by hour: each rate until the next, at most `stale_us`."""
    ordered = sorted(events)
    pieces = defaultdict(list)
    for index, (at, rate) in enumerate(ordered):
        end = at + stale_us
        if index + 1 < len(ordered):
            end = min(end, ordered[index + 1].at)
        while at < end:
            hour = at - at % US_PER_HOUR
            until = min(end, hour + US_PER_HOUR)
            pieces[hour].append((rate, until - at))
            at = until  # noqa: PLW2901 - the rest of the hold lies in the next hour
    return pieces


gaps_us = st.sampled_from([1, 3, 30, 60, 400, 3000]).flatmap(
    lambda step_s: st.lists(st.integers(1_000, 2 * step_s * US_PER_S), min_size=1, max_size=60)
)
rates = st.sampled_from([0.0, 0.0001, -0.0001, 0.0000125]) | st.floats(-0.04, 0.04)
stale = st.sampled_from([10, 150, 180]).map(lambda seconds: seconds * US_PER_S)


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """Events in time order, each at its own time."""
    at = START_US
    events = []
    for gap in draw(gaps_us):
        at += gap
        events.append(Event(at, draw(rates)))
    return events


@given(events=event_lists(), stale_us=stale)
def test_bars_are_those_of_the_reference(events: list[Event], stale_us: int) -> None:
    """Every hour with a rate has a bar; mean and std weigh by time held."""
    closed = bars_of(events, stale_us)
    pieces = pieces_of(events, stale_us)
    assert [bar.hour for bar in closed] == sorted(pieces)
    for bar in closed:
        held = pieces[bar.hour]
        covered = sum(us for _, us in held)
        mean = math.fsum(rate * us for rate, us in held) / covered
        variance = math.fsum(us * (rate - mean) ** 2 for rate, us in held) / covered
        in_force = [rate for rate, _ in held]
        assert (bar.open, bar.close) == (in_force[0], in_force[-1])
        assert (bar.high, bar.low) == (max(in_force), min(in_force))
        assert bar.covered_s == covered / US_PER_S
        assert math.isclose(bar.mean, mean, rel_tol=1e-9, abs_tol=1e-15)
        assert math.isclose(bar.std, math.sqrt(variance), rel_tol=1e-6, abs_tol=1e-12)
    assert sum(bar.updates for bar in closed) == len(events)


@given(events=event_lists(), stale_us=stale, data=st.data())
def test_the_order_of_arrival_within_the_lateness_changes_no_bit(
    events: list[Event], stale_us: int, data: st.DataObject
) -> None:
    """Each event may come up to ten seconds late."""
    delays = data.draw(
        st.lists(st.integers(0, LATENESS_US), min_size=len(events), max_size=len(events))
    )
    arrivals = sorted(zip(events, delays, strict=True), key=lambda pair: pair[0].at + pair[1])
    one_in = data.draw(st.sampled_from([1, 2, 7, 1_000_003]), label="settled after one event in")
    shuffled = bars_of([event for event, _ in arrivals], stale_us, one_in)
    assert shuffled == bars_of(events, stale_us)


@given(events=event_lists(), stale_us=stale)
def test_a_silent_contract_is_covered_for_the_stale_threshold_only(
    events: list[Event], stale_us: int
) -> None:
    """What is not known is not made up."""
    covered_s = sum(bar.covered_s for bar in bars_of(events, stale_us))
    assert covered_s <= len(events) * stale_us / US_PER_S + 1e-6
