"""Normalising never raises anything but MalformedInputError, whatever the bytes.

An exception that escapes would end the worker on the same record again and again.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import MalformedInputError
from schemas.feeds import FEEDS
from schemas.records import Purpose
from stream_app.normalise import normaliser
from stream_app.normalise.readings import ContractReading, NoRate, RateReading, SettlementReading

CHANNELS: tuple[tuple[Purpose, str], ...] = (
    ("stream", "!markPrice@arr@1s"),
    ("fallback", "premiumIndex"),
    ("reconcile", "premiumIndex"),
    ("history", "fundingRate"),
    ("contract", "fundingInfo"),
    ("contract", "exchangeInfo"),
    ("history", "fundingstream.backfill-begin"),
)
ROWS: tuple[dict[str, Any], ...] = (
    {
        "e": "markPriceUpdate",
        "E": 1_791_269_856_000,
        "s": "BTCUSDT",
        "p": "85296.6",
        "i": "85345.9",
        "r": "0.00000523",
        "T": 1_791_273_600_000,
        "st": 1,
    },
    {
        "symbol": "ETHUSDT",
        "markPrice": "3793.6",
        "indexPrice": "3781.8",
        "lastFundingRate": "0.0003",
        "nextFundingTime": 1_791_302_400_000,
        "time": 1_791_280_495_002,
    },
    {"symbol": "0GUSDT", "fundingTime": 1_791_273_600_001, "fundingRate": "-0.00005"},
    {"symbol": "BLZUSDT", "adjustedFundingRateCap": "0.02", "fundingIntervalHours": 4},
    {"symbol": "1000PEPEUSDT", "status": "TRADING", "baseAsset": "1000PEPE", "quoteAsset": "USDT"},
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**12, 10**19)
    | st.floats()
    | st.text(max_size=8)
    | st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,3})?([eE]-?[0-9]{1,3})?", fullmatch=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def read_or_refuse(feed: str, purpose: Purpose, channel: str, payload: bytes) -> None:
    """Read a payload; whatever is read is usable by the core."""
    try:
        readings = normaliser(feed)(purpose, channel, payload)
    except MalformedInputError:
        return
    for reading in readings:
        assert isinstance(reading.symbol, str)
        if isinstance(reading, RateReading | SettlementReading):
            assert math.isfinite(reading.rate)
            assert math.copysign(1.0, reading.rate) == 1.0 or reading.rate < 0.0
        elif isinstance(reading, ContractReading):
            assert reading.interval_hours is None or 0 < reading.interval_hours <= 24
        else:
            assert isinstance(reading, NoRate)


@pytest.mark.parametrize("feed", FEEDS)
@settings(max_examples=200, deadline=None)
@given(channel=st.sampled_from(CHANNELS), payload=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(
    feed: str, channel: tuple[Purpose, str], payload: bytes
) -> None:
    """Random bytes on every channel."""
    read_or_refuse(feed, *channel, payload)


@pytest.mark.parametrize("feed", FEEDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data(), channel=st.sampled_from(CHANNELS), row=st.sampled_from(ROWS))
def test_a_row_with_other_values_is_read_or_refused(
    feed: str, data: st.DataObject, channel: tuple[Purpose, str], row: dict[str, Any]
) -> None:
    """Valid rows with some values replaced by any other JSON, and some keys gone."""
    replaced = data.draw(st.dictionaries(st.sampled_from(sorted(row)), json_values, max_size=3))
    gone = data.draw(st.sets(st.sampled_from(sorted(row)), max_size=1))
    mutated = {key: value for key, value in {**row, **replaced}.items() if key not in gone}
    read_or_refuse(feed, *channel, json.dumps(mutated).encode())


@pytest.mark.parametrize("feed", FEEDS)
@settings(max_examples=150, deadline=None)
@given(
    channel=st.sampled_from(CHANNELS),
    row=st.sampled_from(ROWS),
    cuts=st.lists(st.integers(0, 200), min_size=2, max_size=2).map(sorted),
    middle=st.binary(max_size=6) | st.sampled_from([b"\\ud83d", b"\xed\xa0\x80", b"{", b"9" * 400]),
)
def test_a_row_with_damaged_bytes_is_read_or_refused(
    feed: str, channel: tuple[Purpose, str], row: dict[str, Any], cuts: list[int], middle: bytes
) -> None:
    """Valid rows with a stretch of bytes replaced."""
    payload = json.dumps(row).encode()
    read_or_refuse(feed, *channel, payload[: cuts[0]] + middle + payload[cuts[1] :])
