"""How an export divides its span into files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.clickhouse.export_plan import (
    Slice,
    file_name,
    file_stem,
    halves,
    plan,
    span_of_file,
)
from schemas.times import US_PER_HOUR, US_PER_S

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
