"""How an export divides its span into files."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.clickhouse.export_plan import (
    OVER_FOR_US,
    Slice,
    covered,
    days,
    file_name,
    file_stem,
    halves,
    outermost,
    plan,
    replaceable,
    span_of,
    span_of_file,
    uncovered,
)
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_S

SECONDS = st.integers(0, 100 * 3_600)
SLICES = st.tuples(SECONDS, SECONDS).map(
    lambda ends: Slice(min(ends) * US_PER_S, (max(ends) + 1) * US_PER_S)
)
HOURS = st.dictionaries(st.integers(0, 99).map(lambda hour: hour * US_PER_HOUR), st.integers(0, 9))
ALL = Slice(0, 100 * US_PER_HOUR)


def inside(time_us: int, spans: list[Slice]) -> int:
    """In how many spans a time is."""
    return sum(span.from_us <= time_us < span.to_us for span in spans)


@given(HOURS, st.lists(SLICES, max_size=4), st.integers(1, 20))
def test_every_second_with_rows_is_in_one_file(
    hours: dict[int, int], done: list[Slice], max_rows: int
) -> None:
    """In one that is there already, or else in one slice of the plan."""
    planned = plan(hours, done, max_rows, ALL)
    for hour, rows in hours.items():
        for time_us in range(hour, hour + US_PER_HOUR, 300 * US_PER_S):
            expected = 0 if inside(time_us, done) else 1
            if rows:
                assert inside(time_us, planned) == expected
            else:
                assert inside(time_us, planned) <= expected


@given(HOURS, st.integers(1, 20))
def test_a_file_of_several_hours_is_bounded(hours: dict[int, int], max_rows: int) -> None:
    """By its rows."""
    for one in plan(hours, [], max_rows, ALL):
        rows = [n for hour, n in hours.items() if inside(hour, [one]) and n]
        assert len(rows) == 1 or sum(rows) <= max_rows


@given(SLICES)
def test_a_name_tells_its_span(span: Slice) -> None:
    """And to no other export."""
    name = file_name("rates", span)
    assert span_of_file("rates", name) == span
    assert span_of_file("rates-kucoin", name) is None
    assert span_of_file("rates", file_name("rates-kucoin", span)) is None


@given(SLICES)
def test_halves_are_the_whole(span: Slice) -> None:
    """Down to a second, which is not cut."""
    two = halves(span)
    if two is None:
        assert span.to_us - span.from_us == US_PER_S
    else:
        first, second = two
        assert (first.from_us, first.to_us, second.to_us) == (
            span.from_us, second.from_us, span.to_us
        )  # fmt: skip
        assert all(part.from_us < part.to_us for part in two)


TIMES = st.integers(0, 100 * US_PER_HOUR)


@given(TIMES, TIMES, TIMES)
def test_an_hour_that_may_still_get_rows_is_in_no_span(since: int, until: int, now: int) -> None:
    """However far ahead its end is asked for: a file would be taken for done for ever."""
    span = span_of(since, until, now)
    assert span.to_us + OVER_FOR_US <= max(now, OVER_FOR_US)
    assert span.to_us <= until
    assert span.from_us % US_PER_HOUR == span.to_us % US_PER_HOUR == 0


def test_an_hour_is_exported_a_while_after_its_end() -> None:
    """The sink may be a little behind."""
    over = 10 * US_PER_HOUR
    early, late = over + OVER_FOR_US - 1, over + OVER_FOR_US
    assert span_of(0, early, early).to_us == over - US_PER_HOUR
    assert span_of(0, late, late).to_us == over


@given(SLICES)
def test_days_are_the_whole(span: Slice) -> None:
    """Cut at midnights, and nowhere else."""
    pieces = days(span)
    assert (pieces[0].from_us, pieces[-1].to_us) == span
    for one, other in itertools.pairwise(pieces):
        assert one.to_us == other.from_us
        assert one.to_us % US_PER_DAY == 0
    assert all(piece.to_us - piece.from_us <= US_PER_DAY for piece in pieces)


@given(st.lists(SLICES, max_size=6))
def test_what_lies_within_another_span_is_left_out(spans: list[Slice]) -> None:
    """The rest covers it."""
    outer = outermost(spans)
    assert all(not uncovered(one, outer) for one in spans)
    for one in outer:
        assert not any(one is not other and not uncovered(one, [other]) for other in outer)


def test_a_file_is_replaced_only_while_its_rows_are_kept() -> None:
    """Rows expire, oldest first; a file may be all that is left of them."""
    hours = {3 * US_PER_HOUR: 1, 4 * US_PER_HOUR: 1}
    gone = Slice(0, 2 * US_PER_HOUR)
    begun = Slice(2 * US_PER_HOUR, 4 * US_PER_HOUR)
    whole = Slice(3 * US_PER_HOUR + 60 * US_PER_S, 5 * US_PER_HOUR)
    files = [gone, begun, whole]
    assert replaceable(files, hours, None, 0) == [whole]
    assert replaceable(files, hours, 1, whole.from_us + US_PER_DAY - US_PER_HOUR) == [whole]
    assert replaceable(files, hours, 1, whole.from_us + US_PER_DAY) == []


def test_a_file_gives_way_once_its_whole_span_is_written() -> None:
    """Never before, and never to itself."""
    first, second = Slice(0, US_PER_HOUR), Slice(US_PER_HOUR, 2 * US_PER_HOUR)
    both = Slice(0, 2 * US_PER_HOUR)
    assert covered([both, first], [first]) == []
    assert covered([both, first], [first, second]) == [both]
    assert covered([both, first], [both]) == [first]


def test_names_read_well() -> None:
    """Full hours have no minutes; what a contract has in its name is escaped."""
    span = Slice(1_785_369_600 * US_PER_S, 1_785_391_200 * US_PER_S)
    assert file_name("zscores", span) == "zscores-20260730T00-20260730T06.parquet"
    assert file_stem("rates", ["my-venue:A/B"]) == "rates-my-venue%3AA%2FB"


@pytest.mark.parametrize(
    "name", ["rates-20260730T00-20260799T00.parquet", ".rates-20260730T00-20260730T01.parquet.tmp"]
)
def test_other_files_are_none_of_it(name: str) -> None:
    """They stay, and count for nothing."""
    assert span_of_file("rates", name) is None
