"""Hyperliquid payloads: each documented edge case of docs/exchanges/hyperliquid.md §6-12 and
README.md §8.3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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


def test_a_nameless_context_is_its_items_rate() -> None:
    """REST contexts are joined by index; the symbol is the item's."""
    assert read(CONTEXT, "kPEPE", "fallback", "metaAndAssetCtxs") == rate("kPEPE")


def test_the_hourly_snapshot_tells_liquidity_too() -> None:
    """Turnover in dollars; open interest in coins, at the mark price beside it."""
    row = {**CONTEXT, "dayNtlVlm": "250000.5", "openInterest": "2.5", "markPx": "84148.0"}
    payload = json.dumps(row).encode()
    facts = InstrumentUpdate("kPEPE", turnover_24h=250000.5, open_interest=210370.0)
    channel = "metaAndAssetCtxs"
    compared = normalise("reconcile", channel, "kPEPE", payload, RECEIVED_AT_US)
    assert compared == (rate("kPEPE"), facts)
    assert read(row, "kPEPE", "contract", channel) == facts
    assert read({"dayNtlVlm": None}, "BTC", "contract", channel) == InstrumentUpdate("BTC")
    with_fault = json.dumps({**row, "openInterest": "-1"}).encode()
    found = normalise("contract", channel, "kPEPE", with_fault, RECEIVED_AT_US)
    assert found == (
        InstrumentUpdate("kPEPE", turnover_24h=250000.5),
        Unreadable("kPEPE", "openInterest is no amount: '-1'"),
    )


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


def test_an_asset_without_a_book_has_no_rate() -> None:
    """The row of §6: funding 0.0 with premium, mid and impact null."""
    delisted = read_context(funding="0.0", premium=None, midPx=None, impactPxs=None)
    assert delisted == NoRate("BTC", "no order book: halted or delisted", halted=True)


def test_an_asset_that_has_not_opened_is_halted() -> None:
    """A builder's new asset has prices and no book yet; it is not gone (§9a)."""
    row = {"funding": "0.0", "premium": None, "midPx": None, "markPx": "7.5", "oraclePx": "7.5"}
    update = read(row, "abc:NEW", "fallback", "metaAndAssetCtxs")
    assert update == NoRate("abc:NEW", "no order book: halted or delisted", halted=True)


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
    """Only all three together say that it does not trade."""
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


def test_a_history_row_is_a_settlement_with_its_raw_stamp() -> None:
    """118 ms after the hour; `premium` may be missing, and no interval is stated (§9b)."""
    expected = SettlementUpdate("BTC", 1_789_999_200_118_000, 0.0000125)
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
        status=ContractStatus.TRADING,
        interval_hours=1.0,
        rate_cap=0.04,
        rate_floor=-0.04,
    )


@pytest.mark.parametrize("name", ["xyz:NVDA", "NVDA"])
def test_a_builders_asset_loses_its_dex_and_has_no_known_cap(name: str) -> None:
    """Whether the universe of a dex repeats its prefix or not (§7, §8)."""
    row = {"name": name, "szDecimals": 3, "maxLeverage": 20, "isDelisted": True}
    assert read(row, "xyz:NVDA", "contract", "meta") == InstrumentUpdate(
        "xyz:NVDA",
        base="NVDA",
        quote="",
        multiplier=1.0,
        status=ContractStatus.DELISTED,
        interval_hours=1.0,
    )


def envelope(entry: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A meta cut to one entry, as producers publish it."""
    return {"universe": [entry], "marginTables": [], **more}


def facts_of(row: Any, symbol: str) -> InstrumentUpdate:
    """The facts in a payload of the list, and nothing beside."""
    update = read(row, symbol, "contract", "allPerpMetas")
    assert isinstance(update, InstrumentUpdate)
    return update


def test_a_meta_of_one_entry_says_the_same_as_the_entry_alone() -> None:
    """Records in the log have the entry alone; both give the same facts."""
    assert facts_of(envelope(UNIVERSE, collateralToken=0), "kPEPE") == facts_of(UNIVERSE, "kPEPE")
    gone = {**UNIVERSE, "isDelisted": True}
    assert facts_of(envelope(gone), "kPEPE") == facts_of(gone, "kPEPE")
    assert facts_of(gone, "kPEPE").status is ContractStatus.DELISTED


@pytest.mark.parametrize(
    ("token", "quote"),
    [(0, "USDC"), (235, "USDE"), (360, "USDH"), ("235", "USDE"), (999, ""), (-1, ""), (None, "")],
)
def test_the_collateral_token_of_a_dex_is_the_quote(token: Any, quote: str) -> None:
    """A token that is not known is no USDC (§8)."""
    entry = {"name": "abc:GOLD", "szDecimals": 2}
    assert facts_of(envelope(entry, collateralToken=token), "abc:GOLD").quote == quote


@pytest.mark.parametrize("nothing", [{}, {"isDelisted": None}, {"isDelisted": False}])
def test_a_flag_that_is_null_or_absent_is_false(nothing: dict[str, Any]) -> None:
    """In both forms of the list."""
    entry = {**UNIVERSE, **nothing}
    assert facts_of(entry, "kPEPE").status is ContractStatus.TRADING
    assert facts_of(envelope(entry), "kPEPE").status is ContractStatus.TRADING


@pytest.mark.parametrize("junk", ["true", 1, [], {}])
@pytest.mark.parametrize("wrap", [dict, envelope])
def test_a_flag_that_is_none_costs_the_status_alone(
    junk: Any, wrap: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The known status stays."""
    row = wrap({**UNIVERSE, "isDelisted": junk})
    facts, fault = normalise("contract", "meta", "kPEPE", json.dumps(row).encode(), RECEIVED_AT_US)
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.base, facts.status) == ("PEPE", None)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("isDelisted is no flag")


@pytest.mark.parametrize("junk", [True, False, "USDC", [0], {"token": 0}])
def test_a_token_that_is_no_number_leaves_the_quote_open(junk: Any) -> None:
    """True is not 1, nor false the token 0."""
    row = envelope({"name": "abc:GOLD"}, collateralToken=junk)
    facts, fault = normalise(
        "contract", "meta", "abc:GOLD", json.dumps(row).encode(), RECEIVED_AT_US
    )
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.base, facts.quote, facts.status) == ("XAU", "", ContractStatus.TRADING)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("collateralToken is not a number")


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"universe": None},
        {"universe": []},
        {"universe": [UNIVERSE, UNIVERSE]},
        {"universe": [{"szDecimals": 5}]},
        {"universe": UNIVERSE},
        {"name": None, "isDelisted": False},
        {"collateralToken": 0},
    ],
)
def test_a_meta_that_is_not_of_one_entry_is_malformed(row: Any) -> None:
    """Whose facts they are cannot be known."""
    with pytest.raises(MalformedInputError):
        read(row, "kPEPE", "contract", "allPerpMetas")


@pytest.mark.parametrize(
    ("row", "symbol", "purpose", "channel"),
    [
        (ACTIVE_ASSET, "NVDA", "stream", "activeAssetCtx"),
        (ACTIVE_ASSET, "xyz:nvda", "stream", "activeAssetCtx"),
        (HYPERLIQUID_SETTLED, "ETH", "history", "fundingHistory"),
        (UNIVERSE, "PEPE", "contract", "meta"),
        ({"name": "io:NVDA"}, "xyz:NVDA", "contract", "meta"),
        ({"universe": [{"name": "io:NVDA"}]}, "xyz:NVDA", "contract", "meta"),
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
