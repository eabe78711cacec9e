"""Properties of intervals that hold over any history, for every feed.

Scaling the interval with the rate leaves the rate per 8 h; removing a settlement changes no other
one's interval; any order of arrival gives the same baseline; a move of the settlement clock without
a change of the interval leaves z.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.scoring.settlement import Settled
from tests.support.partitions import of
from tests.support.venue_messages import VENUES, Venue, us

every_venue = pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
BEGIN = us("00:00", -12)
FACTS_AT = BEGIN - US_PER_HOUR
rates = st.integers(-900, 900).map(lambda units: units / 1e7)


class Era(NamedTuple):
    """A time in which settlements are `hours` apart."""

    hours: float
    rates: Sequence[float]


class Due(NamedTuple):
    """A settlement as it truly is."""

    at: int
    hours: float
    rate: float


def eras(hours: Sequence[float], least: int = 5) -> st.SearchStrategy[list[Era]]:
    """A few eras of different intervals, each with some settlements."""
    era = st.builds(
        Era, st.sampled_from(hours), st.lists(rates, min_size=least, max_size=least + 4)
    )
    return st.lists(era, min_size=1, max_size=3)


def history(story: Sequence[Era]) -> list[Due]:
    """The settlements of some eras; each follows the one before it by its own interval."""
    at, found = BEGIN, []
    for era in story:
        for rate in era.rates:
            at += int(era.hours * US_PER_HOUR)
            found.append(Due(at, era.hours, rate))
    return found


def begun(venue: type[Venue]) -> Venue:
    """A venue whose contract is listed, without an interval."""
    feed = venue()
    feed.list_contract(FACTS_AT - US_PER_HOUR)
    return feed


def lists_of(due: Sequence[Due]) -> list[tuple[float, int]]:
    """What the list says when: a changed interval is listed a minute after the one before it."""
    said: list[tuple[float, int]] = []
    before = FACTS_AT
    for one in due:
        if not said or said[-1][0] != one.hours:
            said.append((one.hours, before + US_PER_MINUTE))
        before = one.at
    return said


def intervals(feed: Venue) -> dict[int, float]:
    """The interval of each settlement that the worker keeps."""
    return {s.funding_time: s.interval_hours for s in feed.baseline}


def told(due: Sequence[Due], venue: type[Venue], listed: Sequence[Due] | None = None) -> Venue:
    """A venue that was told a history in order, and first what its list said about `listed`.

    None: about all of it.
    """
    feed = begun(venue)
    for hours, at in lists_of(due if listed is None else listed):
        feed.list_interval(hours, at)
    for one in due:
        feed.settled(repr(one.rate), one.at)
    return feed


@every_venue
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_scaling_the_interval_with_the_rate_leaves_the_rate_of_8_h(
    venue: type[Venue], data: st.DataObject
) -> None:
    """Of settlements, of an estimate, and so of z."""
    hours, others = data.draw(
        st.tuples(st.sampled_from(venue.intervals), st.sampled_from(venue.intervals))
    )
    values = data.draw(st.lists(rates, min_size=12, max_size=20))
    assume(len(set(values)) > 2)
    scores: list[Any] = []
    for each in (hours, others):
        scaled = [value * each / 8 for value in values]
        due = history([Era(each, scaled)])
        feed = told(due, venue)
        coming = due[-1].at + int(each * US_PER_HOUR)
        feed.estimate(repr(0.0002 * each / 8), each, coming, due[-1].at + 5 * US_PER_MINUTE)
        scores.append(feed.newest("zscores"))
    first, second = scores
    for name in ("rate_8h", "mean", "std", "z"):
        assert first[name] == pytest.approx(second[name], rel=1e-9, abs=1e-18)
    assert first["samples"] == second["samples"] == len(values)


@every_venue
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_removing_a_settlement_changes_no_others_interval(
    venue: type[Venue], data: st.DataObject
) -> None:
    """With a list that says the interval of each era, and without any for one era."""
    listed = data.draw(st.booleans())
    story = data.draw(eras(venue.intervals))
    due = history(story if listed else story[:1])
    removed = data.draw(st.sampled_from(due))
    kept = [one for one in due if one != removed]
    whole, holed = (intervals(told(rows, venue, due if listed else ())) for rows in (due, kept))
    assert holed == {at: hours for at, hours in whole.items() if at != removed.at}
    assert whole == {one.at: one.hours for one in due}


@every_venue
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_order_of_arrival_gives_the_same_baseline(
    venue: type[Venue], data: st.DataObject
) -> None:
    """Of history, what the list says, and the stream."""
    due = history(data.draw(eras(venue.intervals)))
    stated = data.draw(st.lists(st.sampled_from(due), max_size=6, unique=True))

    def messages(feed: Venue) -> list[Callable[[], None]]:
        return [
            *(_call(feed.list_interval, hours, at) for hours, at in lists_of(due)),
            *(_call(feed.settled, repr(one.rate), one.at) for one in due),
            *(
                _call(
                    feed.estimate,
                    repr(one.rate),
                    one.hours,
                    one.at,
                    one.at - 20 * US_PER_MINUTE,
                )
                for one in stated
            ),
        ]

    def learnt(order: Sequence[int]) -> list[Settled]:
        feed = begun(venue)
        calls = messages(feed)
        for index in order:
            calls[index]()
        return [s._replace(source="history") for s in feed.baseline]

    plain = range(len(messages(begun(venue))))
    assert learnt(data.draw(st.permutations(plain))) == learnt(plain)


def _call(what: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    return lambda: what(*arguments)


@every_venue
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_moved_clock_leaves_z(venue: type[Venue], data: st.DataObject) -> None:
    """The clock moves by some hours in the middle; the interval stays."""
    hours = data.draw(st.sampled_from(venue.intervals))
    values = data.draw(st.lists(rates, min_size=12, max_size=20))
    assume(len(set(values)) > 2)
    moved_by = data.draw(st.integers(0, int(hours) - 1))
    cut = data.draw(st.integers(4, 8))
    scores = []
    for shift in (0, moved_by):
        due = history([Era(hours, values)])
        later = shift * US_PER_HOUR
        due = [*due[:cut], *(one._replace(at=one.at + later) for one in due[cut:])]
        feed = told(due, venue, due if data.draw(st.booleans()) else ())
        feed.list_interval(hours, due[-1].at + US_PER_MINUTE)
        coming = due[-1].at + int(hours * US_PER_HOUR)
        feed.estimate("0.00021", hours, coming, due[-1].at + 5 * US_PER_MINUTE)
        (score,) = of(feed.outputs, "zscores")
        scores.append((score["z"], score["mean"], score["std"], score["samples"]))
    assert scores[0][0] is not None
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)
