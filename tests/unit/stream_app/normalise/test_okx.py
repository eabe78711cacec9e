"""OKX payloads: each documented edge case of docs/exchanges/okx.md and README.md §8.3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Unreadable,
    Update,
)
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.okx import SETTLED_AFTER_US, SETTLED_UNTIL_US, normalise, split_symbol
from tests.venues.okx import HELD, INSTRUMENT, MARKED, ROW, SETTLED, STREAMED, TICKER
from tests.venues.samples import RECEIVED_AT_US

SYMBOL = "BTC-USDT-SWAP"
PREV_US = 1_789_977_600_000_000
SETTLED_TS = str(PREV_US // 1_000 + 600_000)
"""Ten minutes after a settlement."""
ESTIMATE = RateUpdate(
    SYMBOL,
    0.0000912044771358,
    event_time=1_790_000_122_645_000,
    next_funding_time=1_790_006_400_000_000,
    interval_hours=8.0,
)
SETTLEMENT = SettlementUpdate(SYMBOL, PREV_US, 0.0000386152740917, source="stream")


def read(payload: Any, purpose: Purpose, channel: str) -> Sequence[Update]:
    """The readings of a payload."""
    return normalise(purpose, channel, SYMBOL, json.dumps(payload).encode(), RECEIVED_AT_US)


def streamed(*without: str, **change: Any) -> Sequence[Update]:
    """The readings of a frame of a row with other values."""
    row = {name: value for name, value in {**ROW, **change}.items() if name not in without}
    return read({**STREAMED, "data": [row]}, "stream", "funding-rate")


def estimate(*without: str, **change: Any) -> RateUpdate:
    """The estimate in such a frame."""
    (update, *_) = streamed(*without, **change)
    assert isinstance(update, RateUpdate)
    return update


def test_a_row_is_an_estimate_and_the_settlement_before() -> None:
    """`fundingRate` for `fundingTime`, `settFundingRate` at `prevFundingTime`; not the next one."""
    estimate, settlement = streamed(ts=SETTLED_TS)
    assert estimate == msgspec.structs.replace(ESTIMATE, event_time=int(SETTLED_TS) * 1_000)
    assert settlement == SETTLEMENT
    assert streamed() == (ESTIMATE,)


def test_rest_has_the_estimate_alone() -> None:
    """Settlements come with the stream and the history."""
    for purpose in ("fallback", "reconcile"):
        assert read(ROW, purpose, "public/funding-rate") == (ESTIMATE,)


@pytest.mark.parametrize(
    ("before", "at", "after", "hours"),
    [
        # The interval after the coming settlement is another one.
        ("1789977600000", "1790006400000", "1790020800000", 8.0),
        ("1790002800000", "1790006400000", "1790010000000", 1.0),
        ("", "1790006400000", "1790020800000", 4.0),
        (None, "1790006400000", "1790013600000", 2.0),
        ("0", "1790006400000", "", None),
        (None, "", "1790020800000", None),
    ],
)
def test_the_interval_is_the_one_that_the_estimate_ends(
    before: object, at: object, after: object, hours: float | None
) -> None:
    """From the settlement before; where that is not told, the one behind stands in (§3)."""
    change = {"prevFundingTime": before, "fundingTime": at, "nextFundingTime": after}
    assert estimate(**change).interval_hours == hours


def test_an_interval_that_is_none_costs_no_rate() -> None:
    """Times that were swapped, or of a test fixture, make no interval."""
    update, told = streamed(prevFundingTime="1790013600000")
    assert isinstance(update, RateUpdate)
    assert update.interval_hours is None
    assert update.rate == ESTIMATE.rate
    assert isinstance(told, Unreadable)


@pytest.mark.parametrize(
    "change",
    [
        {"settState": "processing"},
        {"settState": None},
        {"settFundingRate": ""},
        {"prevFundingTime": None},
        {"prevFundingTime": "0"},
    ],
)
def test_a_settlement_needs_its_time_and_its_end(change: dict[str, Any]) -> None:
    """While it goes on, the rate may be that of the settlement that is being made (§3)."""
    assert [type(update) for update in streamed(ts=SETTLED_TS, **change)] == [RateUpdate]


@pytest.mark.parametrize(
    ("after_us", "count"),
    [
        (SETTLED_AFTER_US - 1_000, 1),
        (SETTLED_AFTER_US, 2),
        (SETTLED_UNTIL_US - 1_000, 2),
        (SETTLED_UNTIL_US, 1),
    ],
)
def test_a_settlement_is_told_when_it_is_sure_and_still_news(after_us: int, count: int) -> None:
    """At first the old rate may stand there; each of the next pushes tells it again."""
    ts = (PREV_US + after_us) // 1_000
    assert len(streamed(ts=str(ts))) == count


@pytest.mark.parametrize(("coming_ms", "count"), [(-1, 1), (0, 1), (1, 2)])
def test_times_that_have_not_moved_on_make_no_settlement(coming_ms: int, count: int) -> None:
    """The rate beside them may be that of the settlement that has just been made."""
    coming = str(int(SETTLED_TS) + coming_ms)
    found = streamed(ts=SETTLED_TS, fundingTime=coming)
    assert len([u for u in found if not isinstance(u, Unreadable)]) == count


def test_a_row_without_a_rate() -> None:
    """The settlement beside it is one all the same; a rate of 0 is a rate."""
    found = streamed(fundingRate="", ts=SETTLED_TS)
    assert found == (NoRate(SYMBOL, "no funding rate"), SETTLEMENT)
    assert estimate(fundingRate="0").rate == 0.0
    update, told = streamed(fundingRate="x", ts=SETTLED_TS)
    assert update == SETTLEMENT
    assert isinstance(told, Unreadable)
    with pytest.raises(MalformedInputError):
        streamed(fundingRate="x")


def test_the_next_rate_is_no_rate_of_ours() -> None:
    """`nextFundingRate` is empty, and was for a later settlement where it was not (§2)."""
    assert estimate(nextFundingRate="0.9", method="next_period") == ESTIMATE


@pytest.mark.parametrize("purpose", ["stream", "fallback", "reconcile"])
def test_x_perps_are_no_swaps(purpose: Purpose) -> None:
    """They share the channel and the call (README.md §8.3.18)."""
    row = {**ROW, "instType": "FUTURES"}
    is_stream = purpose == "stream"
    payload = {**STREAMED, "data": [row]} if is_stream else row
    channel = "funding-rate" if is_stream else "public/funding-rate"
    assert read(payload, purpose, channel) == (NoRate(SYMBOL, "no swap"),)


@pytest.mark.parametrize("kind", [None, "", 5])
def test_a_row_that_does_not_say_its_product_is_told_by_its_symbol(kind: object) -> None:
    """A rate of an X-Perp must not become one of a swap, nor the other way round."""
    x_perp = "BTC-USD_UM_XPERP-310404"
    row = {**ROW, "instId": x_perp, "instType": kind}
    payload = json.dumps({**STREAMED, "data": [row]}).encode()
    found = normalise("stream", "funding-rate", x_perp, payload, RECEIVED_AT_US)
    assert found == (NoRate(x_perp, "no swap"),)
    assert estimate(instType=kind) == ESTIMATE
    assert estimate("instType") == ESTIMATE


def test_a_row_of_before_2023_has_no_time() -> None:
    """The time of receipt stands in, as it does in the core."""
    without = ("ts", "prevFundingTime", "nextFundingTime", "settFundingRate", "settState")
    assert streamed(*without) == (
        RateUpdate(SYMBOL, ESTIMATE.rate, next_funding_time=1_790_006_400_000_000),
    )


@pytest.mark.parametrize("odd", [[], {}, 5, True])
def test_odd_fields_are_told_or_malformed(odd: object) -> None:
    """And never end the reader."""
    for name in ROW:
        if name in {"instId", "fundingRate"}:
            continue
        (update, *_) = streamed(**{name: odd})
        assert isinstance(update, RateUpdate)
    with pytest.raises(MalformedInputError):
        streamed(instId=odd)


@pytest.mark.parametrize("rows", [[], [ROW, ROW]])
def test_a_piece_has_one_row(rows: list[Any]) -> None:
    """Any other number of rows was not cut by us."""
    with pytest.raises(MalformedInputError):
        read({**STREAMED, "data": rows}, "stream", "funding-rate")


def test_settled_is_what_was_realized() -> None:
    """`fundingRate` is what was predicted (§4b)."""
    assert read(SETTLED, "history", "funding-rate-history") == (
        SettlementUpdate(SYMBOL, PREV_US, 0.0000714),
    )
    for none in ("", None):
        row = {**SETTLED, "realizedRate": none}
        found = read(row, "history", "funding-rate-history")
        assert found == (NoRate(SYMBOL, "no settled rate"),)


def test_caps_and_interval_are_facts_of_the_current_rates() -> None:
    """The list has neither (§4c)."""
    assert read(ROW, "contract", "public/funding-rate") == (
        InstrumentUpdate(SYMBOL, interval_hours=8.0, rate_cap=0.00365, rate_floor=-0.00345),
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("live", ContractStatus.TRADING),
        ("suspend", ContractStatus.HALTED),
        ("preopen", ContractStatus.PRE_LAUNCH),
        ("expired", ContractStatus.DELISTED),
        ("newword", ContractStatus.HALTED),
        (None, None),
    ],
)
def test_a_listed_contract_has_its_facts(word: str | None, status: ContractStatus | None) -> None:
    """Base and quote stand in its family (§3)."""
    found = read({**INSTRUMENT, "state": word}, "contract", "instruments")
    assert found == (
        InstrumentUpdate(
            SYMBOL,
            base="BTC",
            quote="USDT",
            multiplier=1.0,
            status=status,
            status_word=word,
            listed_at=1_573_557_408_000_000,
        ),
    )


@pytest.mark.parametrize(("coin", "asset"), [("BB", "BLACKBERRY"), ("QNT", "QUANTINUUM")])
def test_a_share_with_the_ticker_of_a_coin_is_another_asset(coin: str, asset: str) -> None:
    """Elsewhere BB is BounceBit and QNT is Quant (§3)."""
    (facts,) = read({**INSTRUMENT, "instFamily": f"{coin}-USDT"}, "contract", "instruments")
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.base, facts.multiplier) == (asset, 1.0)
    assert canonical_asset(coin) == (coin, 1.0)


def test_base_and_quote_are_guessed_where_the_family_is_not_told() -> None:
    """From the underlying, else from the symbol."""
    for change in ({"instFamily": ""}, {"instFamily": None, "uly": None}):
        (facts,) = read({**INSTRUMENT, **change}, "contract", "instruments")
        assert isinstance(facts, InstrumentUpdate)
        assert (facts.base, facts.quote) == ("BTC", "USDT")


def test_the_mark_price_is_a_fact() -> None:
    """The stream of rates has no prices (§4d); without one no spread can check a pair."""
    assert read(MARKED, "contract", "mark-price") == (
        InstrumentUpdate(SYMBOL, mark_price=84_655.4),
    )
    for none in ("", "0", None):
        found = read({**MARKED, "markPx": none}, "contract", "mark-price")
        assert found == (InstrumentUpdate(SYMBOL),)


def test_turnover_is_coins_at_the_last_price() -> None:
    """Contracts are of any size (§4d)."""
    (facts,) = read(TICKER, "contract", "tickers")
    assert isinstance(facts, InstrumentUpdate)
    assert facts.turnover_24h == pytest.approx(72_110.4311 * 84_660.5)
    assert facts.open_interest is None
    for change in ({"last": ""}, {"volCcy24h": ""}, {"last": "1e300", "volCcy24h": "1e17"}):
        (facts,) = read({**TICKER, **change}, "contract", "tickers")
        assert facts == InstrumentUpdate(SYMBOL)


def test_open_interest_is_told_in_usd() -> None:
    """Beside contracts and coins (§4d)."""
    held = InstrumentUpdate(SYMBOL, open_interest=2_252_180_411.07)
    assert read(HELD, "contract", "open-interest") == (held,)
    assert read({**HELD, "oiUsd": ""}, "contract", "open-interest") == (InstrumentUpdate(SYMBOL),)


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("BTC-USDT-SWAP", ("BTC", "USDT")),
        ("BTC-USD-SWAP", ("BTC", "USD")),
        ("BTC-USD", ("BTC", "USD")),
        ("BTC", ("BTC", "")),
        ("-SWAP", ("-SWAP", "")),
    ],
)
def test_base_and_quote_of_a_symbol(symbol: str, parts: tuple[str, str]) -> None:
    """A name without them is its own base."""
    assert split_symbol(symbol) == parts
