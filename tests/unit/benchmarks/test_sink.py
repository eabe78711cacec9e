"""The sink's benchmarks: numbered rows, what is new since the last look, tables and verdicts."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

import pytest

from benchmarks.sink import BATCHES, OURS, ROW_BY_ROW, Watch, aims, text
from benchmarks.sink_faults import Found, Poisoned
from benchmarks.sink_faults import text as faults_text
from benchmarks.sink_rows import CONTRACTS, TOPICS, above_zero, at_least_one, record
from schemas.serde.codec import Encoder

AT_US = 1_791_244_800_000_000


def test_every_second_row_is_a_zscore_and_each_fits_its_schema() -> None:
    """A row's number tells its topic, and contracts repeat."""
    for number in (0, 1, 2 * CONTRACTS, 2 * CONTRACTS + 1):
        topic = TOPICS[number % 2]
        assert topic.record_type is not None
        row = record(number, AT_US)
        assert set(row) == set(topic.record_type.fields)
        assert row["raw_offset"] == number
        assert Encoder(topic.record_type, 1).encode(row)
    assert record(0, AT_US)["contract_id"] == record(2 * CONTRACTS, AT_US)["contract_id"]


class Stored:
    """A ClickHouse client that returns the numbers it holds, as the query asks for them."""

    def __init__(self) -> None:
        self.rates: list[int] = []
        self.zscores: list[int] = []
        self.answered = 0

    def query(self, sql: str, parameters: dict[str, int]) -> Any:
        """Answer the query of `Watch`."""
        held = self.zscores if "zscores" in sql else self.rates
        found = [number for number in held if number >= parameters["below"]]
        self.answered += len(found)
        return type("Result", (), {"result_columns": [found] if found else []})


def test_what_is_new_is_told_once_however_partitions_interleave() -> None:
    """What lies below the first gap is not asked for again."""
    stored = Stored()
    watch = Watch(stored, 11)
    assert watch.new() == set()
    stored.rates, stored.zscores = [12, 16], [11]
    assert watch.new() == {11, 12, 16}
    stored.rates += [14]
    assert watch.new() == {14}
    stored.answered = 0
    assert watch.new() == set()
    assert stored.answered == 0


def test_ratios_to_plain_batches_are_of_the_same_round() -> None:
    """More rows a second for less CPU are aimed at."""

    def runs(*rows_s: float, cpu_s: float) -> list[dict[str, float]]:
        return [{"rows": 9, "rows_s": s, "cpu_s": cpu_s, "clickhouse_cpu_s": 9.0} for s in rows_s]

    late = {"share": 1.0, "p50_ms": 600.0, "p99_ms": 1_100.0, "resolution_ms": 20.0}
    figures = {
        "rows": 400_000,
        "rate": 2_000.0,
        "speeds": {
            OURS: runs(60_000, 20_000, cpu_s=10.0),
            BATCHES: runs(40_000, 10_000, cpu_s=8.0),
            ROW_BY_ROW: runs(50, 40, cpu_s=1_000.0),
        },
        "latencies": {name: [late] for name in (OURS, BATCHES, ROW_BY_ROW)},
    }
    shown = text(figures)
    assert "| plain batches | 25,000 (10,000-40,000) | 1.75 (1.50-2.00) | 8.0 | 1.25 |" in shown
    assert "| row by row | 600 | 1,100 | 100 % | 20 |" in shown
    assert [(aim.measured, aim.met) for aim in aims(figures)] == [
        ("1.75 ×", True),
        ("1.25 ×", False),
    ]


def test_one_sink_stores_nothing_twice_and_several_nothing_that_final_shows() -> None:
    """A rebalance may tear a plan apart: then the key of the table is what counts."""
    assert Found("kills", 1, published=9).good
    assert not Found("kills", 1, published=9, twice=1).good
    assert Found("kills", 3, published=9, twice=1).good
    assert not Found("kills", 3, published=9, twice=1, twice_final=1).good
    assert not Found("kills", 3, published=9, missing=1).good


def test_poison_is_kept_with_its_reason_and_all_else_is_stored() -> None:
    """One letter, no more."""
    good = Poisoned("unreadable", 10_000, 9_999, 1, "cut")
    assert good.good
    assert not Poisoned("unreadable", 10_000, 9_999, 1, "").good
    assert not Poisoned("unreadable", 10_000, 9_998, 1, "cut").good
    assert not Poisoned("unreadable", 10_000, 9_999, 2, "cut").good
    shown = faults_text([Found("kills", 1, 40_000, caught=3, drained_s=1.5)], [good])
    assert "| kills | 40,000 | 0 | 0 | 0 | 3 | 1.5 |" in shown
    assert "| unreadable | 10,000 | 9,999 | 1 | `cut` |" in shown
    long = faults_text([], [Poisoned("refused", 2, 1, 1, "Constraint `c`|" + "x" * 200)])
    assert long.splitlines()[-1].startswith("| refused | 2 | 1 | 1 | `Constraint c/xx")
    assert long.endswith("x…` |")


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", ""])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    """The message names it."""
    assert at_least_one("3") == 3
    with pytest.raises(ArgumentTypeError, match="is no whole number from 1 on"):
        at_least_one(text)


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", ""])
def test_a_time_or_rate_that_is_none_is_refused(text: str) -> None:
    """Nothing would end with it."""
    assert above_zero("0.5") == 0.5
    with pytest.raises(ArgumentTypeError, match="is no number above 0"):
        above_zero(text)
