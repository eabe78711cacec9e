"""Hyperliquid payloads: each documented edge case of docs/exchanges/hyperliquid.md §6-12 and
README.md §8.3.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.hyperliquid import normalise
from tests.venues.hyperliquid import ACTIVE_ASSET, CONTEXT, HYPERLIQUID_SETTLED, UNIVERSE
from tests.venues.samples import RECEIVED_AT_US

HOUR_US = 3_600_000_000
NEXT_HOUR_US = RECEIVED_AT_US - RECEIVED_AT_US % HOUR_US + HOUR_US


def read(
    row: Any,
    symbol: str = "xyz:NVDA",
    purpose: Purpose = "stream",
    channel: str = "activeAssetCtx",
    received_at_us: int = RECEIVED_AT_US,
) -> Update:
    """The one reading of a payload."""
    (update,) = normalise(purpose, channel, symbol, json.dumps(row).encode(), received_at_us)
    return update


def read_context(**change: Any) -> Update:
    """The reading of a REST context with other values."""
    return read({**CONTEXT, **change}, "BTC", "fallback", "metaAndAssetCtxs")


def rate(symbol: str) -> RateUpdate:
    """What the sample context means."""
    return RateUpdate(
        symbol,
        0.0000018952,
        event_time=None,
        mark_price=84148.0,
        index_price=84198.0,
        next_funding_time=NEXT_HOUR_US,
        interval_hours=1.0,
    )


def test_a_frame_is_an_hourly_rate_stamped_on_receipt() -> None:
    """No time in it: the event time is the receipt's, the next funding the next full hour."""
    assert read(ACTIVE_ASSET) == rate("xyz:NVDA")


@pytest.mark.parametrize("purpose", ["fallback", "reconcile"])
def test_a_nameless_context_is_its_items_rate(purpose: Purpose) -> None:
    """REST contexts are joined by index; the symbol is the item's."""
    assert read(CONTEXT, "kPEPE", purpose, "metaAndAssetCtxs") == rate("kPEPE")


@pytest.mark.parametrize(
    ("after_us", "hours"), [(0, 1), (1, 1), (HOUR_US - 1, 1), (HOUR_US, 2), (HOUR_US + 118_000, 2)]
)
def test_the_next_funding_is_the_full_hour_after_the_receipt(after_us: int, hours: int) -> None:
    """On the hour itself it is the next one (§6)."""
    hour = 1_790_000_000_000_000 // HOUR_US * HOUR_US
    update = read(ACTIVE_ASSET, received_at_us=hour + after_us)
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time == hour + hours * HOUR_US


def test_the_rate_may_be_a_number() -> None:
    """The documentation types it so; the wire is text (§6)."""
    assert read_context(funding=0.0000018952) == rate("BTC")


def test_a_delisted_asset_has_no_rate() -> None:
    """The row of §6: funding 0.0 with premium, mid and impact null."""
    delisted = read_context(funding="0.0", premium=None, midPx=None, impactPxs=None)
    assert delisted == NoRate("BTC", "delisted")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"funding": "0.0"}, 0.0),
        ({"funding": "0.0", "midPx": None}, 0.0),
        ({"funding": "0.0", "premium": None}, 0.0),
        ({"premium": None, "midPx": None}, 0.0000018952),
        ({"funding": "-0.0000015186", "premium": None, "midPx": None}, -0.0000015186),
        ({"funding": "-0.0"}, 0.0),
    ],
)
def test_a_live_asset_may_have_a_zero_or_no_book(change: dict[str, Any], expected: float) -> None:
    """Only all three together say that it is delisted."""
    update = read_context(**change)
    assert isinstance(update, RateUpdate)
    assert repr(update.rate) == repr(expected)


@pytest.mark.parametrize("nothing", [None, "", "n/a"])
def test_a_context_without_a_rate_is_no_rate(nothing: str | None) -> None:
    """Never 0."""
    assert read_context(funding=nothing) == NoRate("BTC", "no funding rate")
    row = {key: value for key, value in CONTEXT.items() if key != "funding"}
    assert read(row, "BTC", "fallback", "metaAndAssetCtxs") == NoRate("BTC", "no funding rate")


@pytest.mark.parametrize("nothing", [None, "0.0", ""])
def test_a_price_that_is_not_there_is_null(nothing: str | None) -> None:
    """The rate stands without its prices."""
    update = read_context(markPx=nothing, oraclePx=nothing)
    assert isinstance(update, RateUpdate)
    assert (update.mark_price, update.index_price) == (None, None)


def test_a_history_row_is_an_hourly_settlement_with_its_raw_stamp() -> None:
    """118 ms after the hour; `premium` may be missing (§9b)."""
    expected = SettlementUpdate("BTC", 1_789_999_200_118_000, 0.0000125, interval_hours=1.0)
    without_premium = {k: v for k, v in HYPERLIQUID_SETTLED.items() if k != "premium"}
    for row in (HYPERLIQUID_SETTLED, {**HYPERLIQUID_SETTLED, "premium": None}, without_premium):
        assert read(row, "BTC", "history", "fundingHistory") == expected
    row = {**HYPERLIQUID_SETTLED, "fundingRate": ""}
    assert read(row, "BTC", "history", "fundingHistory") == NoRate("BTC", "no settled rate")


@pytest.mark.parametrize("channel", ["meta", "allPerpMetas"])
def test_a_universe_entry_gives_the_facts(channel: str) -> None:
    """A kPEPE is a thousand PEPE (§12); 4 % an hour is the cap (§7)."""
    assert read(UNIVERSE, "kPEPE", "contract", channel) == InstrumentUpdate(
        "kPEPE",
        base="PEPE",
        quote="USDC",
        multiplier=1000.0,
        status="trading",
        interval_hours=1.0,
        rate_cap=0.04,
        rate_floor=-0.04,
    )


@pytest.mark.parametrize("name", ["xyz:NVDA", "NVDA"])
def test_a_builders_asset_loses_its_dex_and_has_no_known_cap(name: str) -> None:
    """Whether the universe of a dex repeats its prefix or not (§7, §8)."""
    row = {"name": name, "szDecimals": 3, "maxLeverage": 20, "isDelisted": True}
    assert read(row, "xyz:NVDA", "contract", "meta") == InstrumentUpdate(
        "xyz:NVDA", base="NVDA", quote="USDC", multiplier=1.0, status="delisted", interval_hours=1.0
    )


@pytest.mark.parametrize(
    ("row", "symbol", "purpose", "channel"),
    [
        (ACTIVE_ASSET, "NVDA", "stream", "activeAssetCtx"),
        (ACTIVE_ASSET, "xyz:nvda", "stream", "activeAssetCtx"),
        (HYPERLIQUID_SETTLED, "ETH", "history", "fundingHistory"),
        (UNIVERSE, "PEPE", "contract", "meta"),
        ({"name": "io:NVDA"}, "xyz:NVDA", "contract", "meta"),
    ],
)
def test_a_payload_of_another_coin_is_malformed(
    row: Any, symbol: str, purpose: Purpose, channel: str
) -> None:
    """Case and dex count (§12)."""
    with pytest.raises(MalformedInputError, match="in an item of"):
        read(row, symbol, purpose, channel)


@pytest.mark.parametrize(
    "row",
    [
        {"channel": "pong"},
        {"channel": "error", "data": "Already subscribed: {...}"},
        {**ACTIVE_ASSET, "channel": "activeSpotAssetCtx"},
        {**ACTIVE_ASSET, "data": {"coin": "xyz:NVDA"}},
        {**ACTIVE_ASSET, "data": {"coin": "xyz:NVDA", "ctx": {"funding": "x"}}},
        {**ACTIVE_ASSET, "data": {"coin": "xyz:NVDA", "ctx": {"funding": "1e999"}}},
        {**ACTIVE_ASSET, "data": {"coin": "xyz:NVDA", "ctx": {"funding": ["0.1"]}}},
        [CONTEXT],
        None,
    ],
)
def test_another_message_is_malformed(row: Any) -> None:
    """Spot contexts are of the same family and are no perpetual's (§12)."""
    with pytest.raises(MalformedInputError):
        read(row)


@pytest.mark.parametrize("stamp", [0, 1_790_000, "soon", None, "2026-09-21T14:00:00"])
def test_a_settlement_at_no_time_is_malformed(stamp: Any) -> None:
    """It would stand in the baseline for a month."""
    with pytest.raises(MalformedInputError):
        read({**HYPERLIQUID_SETTLED, "time": stamp}, "BTC", "history", "fundingHistory")
