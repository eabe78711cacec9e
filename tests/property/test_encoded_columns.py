"""Records written by columns are, byte for byte, what the encoder writes one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SchemaError
from schemas.rates import apr, rate_8h
from schemas.records import FUNDING_RATE, ZSCORE
from schemas.serde.codec import Encoder
from schemas.serde.columns import UpdateTimes, encoded_update_times, origin_of, place_of
from schemas.serde.rate_columns import RateColumns, RateEncoder
from schemas.serde.zscore_columns import ZScoreColumns, ZScoreEncoder

RATES, ZSCORES = Encoder(FUNDING_RATE, 77), Encoder(ZSCORE, 78)
TAIL = ("interval_source", "generation", "rate_kind", "quote", "multiplier")
RATE_COLUMNS, ZSCORE_COLUMNS = RateEncoder(RATES.header), ZScoreEncoder(ZSCORES.header)
TOPIC, PARTITION = "funding.raw.binance-usdm", 5
times = st.integers(10**15, 10**16)
prices = st.floats(1e-12, 1e12)
names = st.text(min_size=1, max_size=12)
offsets = st.integers(0, 2**40)
items = st.integers(0, 16_384)
sources = st.sampled_from(["payload", "exchange_info", "observed", "assumed"])
finite = st.floats(-1e3, 1e3)


def _current() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "contract_id": names,
        "feed": st.just("binance-usdm"),
        "symbol": names,
        "base": names,
        "rate": st.floats(-1.0, 1.0),
        "interval_hours": st.sampled_from([1.0, 2.0, 3.0, 4.0, 8.0, 24.0]),
        "interval_source": sources,
        "mark_price": prices,
        "next_funding_time": times,
        "event_time": times,
        "received_at": times,
        "transport": st.just("ws"),
        "raw_topic": st.just(TOPIC),
        "raw_partition": st.just(PARTITION),
        "raw_offset": offsets,
        "raw_item": items,
        "interval_doubtful": st.just(False),
        "rate_kind": st.just("hourly_estimate"),
        "quote": st.text(max_size=5),
        "multiplier": st.sampled_from([1.0, 1000.0, 1e6]),
    }


rates = st.fixed_dictionaries(
    _current()
    | {
        "index_price": prices,
        "event_time_source": st.just("exchange"),
        "late": st.just(False),
        "out_of_range": st.just(False),
    }
)
scores = st.one_of(
    st.tuples(finite, finite | st.none(), st.floats(0, 1)), st.just((None, None, None))
)
zscores = st.fixed_dictionaries(
    _current()
    | {
        "scores": scores,
        "mean": finite | st.none(),
        "std": finite | st.none(),
        "samples": st.integers(0, 900),
        "confidence": st.sampled_from(["none", "low", "medium", "high", "very_high"]),
        "stats_as_of": times | st.none(),
        "zone": st.sampled_from(["high", "normal", "unrated"]),
        "trigger": st.sampled_from(["first", "zone", "cross", "rate_change", "flush"]),
        "crossed": st.sampled_from([None, -3.0, -2.0, 2.0, 3.0]),
        "generation": st.integers(1, 17),
    }
)


def column(rows: Sequence[dict[str, Any]], name: str) -> Any:
    """One field of all rows; NaN where there is no number."""
    return np.array([math.nan if row[name] is None else row[name] for row in rows])


def origins(rows: Sequence[dict[str, Any]]) -> list[bytes]:
    """Where the raw records stand."""
    places = [place_of(row["raw_topic"], row["raw_partition"]) for row in rows]
    return [origin_of(place, row["raw_offset"]) for place, row in zip(places, rows, strict=True)]


def times_of(rows: Sequence[dict[str, Any]]) -> UpdateTimes:
    """Their times, encoded."""
    names = ("next_funding_time", "event_time", "received_at")
    return encoded_update_times(*(column(rows, name) for name in names))


def rates_of(rows: Sequence[dict[str, Any]]) -> RateColumns:
    """Records as columns."""
    names = ("contract_id", "feed", "symbol", "base", "quote", "multiplier")
    codes = RATE_COLUMNS.source_codes
    return RateColumns(
        [RATE_COLUMNS.identity(*(row[name] for name in names)) for row in rows],
        column(rows, "rate"),
        column(rows, "interval_hours"),
        np.array([codes[row["interval_source"]] for row in rows], dtype=np.uint8),
        column(rows, "mark_price"),
        column(rows, "index_price"),
        times_of(rows),
        origins(rows),
        [row["raw_item"] for row in rows],
        rows[0]["rate_kind"],
    )


def scaled(row: dict[str, Any]) -> dict[str, Any]:
    """A record with what follows from its rate and interval."""
    rate, hours = row["rate"], row["interval_hours"]
    return row | {"rate_8h": rate_8h(rate, hours), "apr": apr(rate, hours)}


@settings(deadline=None)
@given(rows=st.lists(rates, min_size=1, max_size=20))
def test_rates_are_written_as_records_are(rows: list[dict[str, Any]]) -> None:
    """Header, identity, numbers, times and coordinates."""
    assert RATE_COLUMNS.encode(rates_of(rows)) == [RATES.encode(scaled(row)) for row in rows]


@settings(deadline=None)
@given(rows=st.lists(zscores, min_size=1, max_size=20), computed_at=times)
def test_zscores_are_written_as_records_are(rows: list[dict[str, Any]], computed_at: int) -> None:
    """With and without z, robust z, baseline and a threshold."""
    for row in rows:
        row["z"], row["robust_z"], row["percentile"] = row["scores"]
    encoder = ZSCORE_COLUMNS
    baseline = ("mean", "std", "samples", "confidence", "stats_as_of")
    columns = ZScoreColumns(
        [encoder.identity(r["contract_id"], r["feed"], r["symbol"], r["base"]) for r in rows],
        column(rows, "rate"),
        column(rows, "interval_hours"),
        column(rows, "z"),
        column(rows, "robust_z"),
        column(rows, "percentile"),
        [encoder.baseline(*(row[name] for name in baseline)) for row in rows],
        [encoder.reason(row["zone"], row["trigger"], row["crossed"]) for row in rows],
        column(rows, "mark_price"),
        times_of(rows),
        computed_at,
        origins(rows),
        [row["raw_item"] for row in rows],
        [encoder.tail(*(row[name] for name in TAIL)) for row in rows],
    )
    expected = [ZSCORES.encode(scaled(row) | {"computed_at": computed_at}) for row in rows]
    assert encoder.encode(columns) == expected


@given(rows=st.lists(rates, min_size=1, max_size=3), at=st.sampled_from([0, 1, -5, 1 << 60]))
def test_a_time_that_does_not_fit_is_refused(rows: list[dict[str, Any]], at: int) -> None:
    """Times of a fixed width are those of these centuries."""
    with pytest.raises(SchemaError, match="centuries"):
        times_of([*rows, rows[0] | {"event_time": at}])
