"""Canonical assets: synonyms and multipliers, and the names that only look like them."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.asset_names import AssetNames, Meant
from schemas.feeds import FEEDS, spec
from stream_app.model import InstrumentUpdate
from stream_app.normalise import normaliser, symbol_splitter
from stream_app.normalise.assets import NAMES, canonical_asset
from tests.support.clock import START_US


@pytest.mark.parametrize(
    ("name", "asset", "multiplier"),
    [
        ("BTC", "BTC", 1),
        ("XBT", "BTC", 1),
        ("1000PEPE", "PEPE", 1_000),
        ("kPEPE", "PEPE", 1_000),
        ("10000SATS", "SATS", 10_000),
        ("1000000MOG", "MOG", 1_000_000),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000),
        ("1000XBT", "BTC", 1_000),
        ("1000币安", "币安", 1_000),
        ("AAPL.US", "AAPL", 1),
        ("BRK.B.US", "BRK.B", 1),
        ("1000XYZ.US", "XYZ", 1_000),
        ("10000000AIDOGE", "AIDOGE", 10_000_000),
        ("1000MATIC", "POL", 1_000),
        ("k1000MOG", "k1000MOG", 1),
        ("1000NEIROCTO", "NEIRO", 1_000),
    ],
)
def test_units_are_taken_off(name: str, asset: str, multiplier: float) -> None:
    """Every exchange's way to trade thousands and millions of a coin gives the coin."""
    assert canonical_asset(name) == (asset, multiplier)


@pytest.mark.parametrize(
    "name",
    [
        *("1INCH", "1M", "1000", "1000Y", "100BTC", "KAVA", "kava", "k", "0G", "币安人生", "2Z"),
        *("1MX", "AAPL.HK", "AAPL.us", "AAPLUS", "US", ".US", "AAPL.USA"),
    ],
)
def test_other_names_stay(name: str) -> None:
    """Digits and a k that belong to the name are no unit, nor is another country the home."""
    assert canonical_asset(name) == (name, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_an_entry_is_its_asset_and_says_why(name: str) -> None:
    """What it stands for is an asset's own name."""
    meant = NAMES[name]
    assert canonical_asset(name) == (meant.asset, meant.multiplier)
    assert canonical_asset(meant.asset) == (meant.asset, 1.0)
    assert name != meant.asset
    assert len(meant.why) > 10


@pytest.mark.parametrize(
    "name",
    [
        # Tokens for gold, which follow its price and are not it.
        *("PAXG", "XAUT"),
        # Tokens for shares, whose dividends make them worth more than one.
        *("TSLAX", "NVDAX"),
        # A coin, not the index that others call SP500.
        "SPX",
        # Converts to 24,000 SKY less a penalty that grows.
        "MKR",
        # Oil futures of a month that need not be that of WTI; a share as well.
        "CL",
        # Wrapped or staked: worth more or less than the coin.
        *("WBTC", "STETH", "LUNC"),
    ],
)
def test_what_only_looks_alike_is_kept_apart(name: str) -> None:
    """Each has a price of its own."""
    assert canonical_asset(name) == (name, 1.0)


def test_what_a_venue_means_by_a_name_goes_before_everything() -> None:
    """And is final: neither entries nor rules are applied to it."""
    own = AssetNames({"GOLD": Meant("XAU", 1.0, "an ounce"), "kPEPE": Meant("kPEPE", 2.0, "so")})
    assert canonical_asset("GOLD", own) == ("XAU", 1.0)
    assert canonical_asset("kPEPE", own) == ("kPEPE", 2.0)
    assert canonical_asset("GOLD") == ("GOLD", 1.0)
    assert canonical_asset("XBT", own) == ("BTC", 1.0)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        # The share has its ticker on every venue.
        (("mexc", "METASTOCK"), ("hyperliquid", "META")),
        (("mexc", "NVIDIA"), ("gate", "NVDA")),
        # The coin has it, and the share is named by the company.
        (("mexc", "CATSTOCK"), ("whitebit", "CAT")),
        (("mexc", "CAT"), ("binance-usdm", "CAT")),
        (("mexc", "DASH"), ("bybit", "DASH")),
    ],
)
def test_one_asset_has_one_name_on_all_venues(
    one: tuple[str, str], another: tuple[str, str]
) -> None:
    """Whatever each of them calls it."""
    found = {canonical_asset(name, spec(feed).assets) for feed, name in (one, another)}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (("mexc", "META"), ("hyperliquid", "META")),
        (("mexc", "CATSTOCK"), ("mexc", "CAT")),
        (("okx", "BB"), ("gate", "BB")),
        (("whitebit", "CAT"), ("binance-usdm", "CAT")),
    ],
)
def test_a_coin_and_a_share_of_one_ticker_have_two_names(
    one: tuple[str, str], another: tuple[str, str]
) -> None:
    """So that no spread is made of them."""
    found = {canonical_asset(name, spec(feed).assets) for feed, name in (one, another)}
    assert len(found) == 2


def test_what_a_venue_writes_behind_shares_is_taken_off() -> None:
    """The ticker is the asset, even one that would be a unit of a coin."""
    own = AssetNames(share_endings=("STOCK",))
    assert canonical_asset("VSTOCK", own) == ("V", 1.0)
    assert canonical_asset("MATICSTOCK", own) == ("MATIC", 1.0)
    assert canonical_asset("STOCK", own) == ("STOCK", 1.0)
    assert canonical_asset("1000PEPE", own) == ("PEPE", 1_000.0)


@pytest.mark.parametrize(
    ("feed", "name"), [(feed, name) for feed in FEEDS for name in spec(feed).assets.names]
)
def test_a_venue_s_own_name_says_why_and_is_needed(feed: str, name: str) -> None:
    """It gives what the rules do not, and an asset that other venues can have as well."""
    meant = spec(feed).assets.names[name]
    assert len(meant.why) > 10
    assert meant.multiplier > 0
    assert canonical_asset(name) != (meant.asset, meant.multiplier)
    assert canonical_asset(meant.asset) == (meant.asset, 1.0)


@pytest.mark.parametrize(("coin", "base"), [("xyz:GOLD", "XAU"), ("xyz:NVDA", "NVDA")])
def test_the_prefix_of_a_builder_is_no_part_of_the_asset(coin: str, base: str) -> None:
    """Nor is the word for a metal: from the list of contracts, and before it has come."""
    payload = f'{{"universe":[{{"name":"{coin}"}}],"collateralToken":0}}'.encode()
    (facts,) = normaliser("hyperliquid")("contract", "allPerpMetas", coin, payload, START_US)
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.base, facts.multiplier, facts.quote) == (base, 1.0, "USDC")


@pytest.mark.parametrize("feed", FEEDS)
def test_a_normaliser_asks_with_its_venue_s_own_names(feed: str) -> None:
    """Else an entry of the venue would count before its list of contracts comes, and not after."""
    source = Path(import_module(spec(feed).normaliser).__file__ or "").read_text(encoding="utf-8")
    calls = [
        call
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "canonical_asset"
    ]
    assert all(len(call.args) == 2 for call in calls), [ast.unparse(call) for call in calls]


PARTS = st.sampled_from(
    ["1000", "10000", "1000000", "1M", "k", ".US", "XBT", "X", "PEPE", "MATIC", "STOCK", "1", "币"]
)


@given(st.one_of(st.text(max_size=20), st.lists(PARTS, max_size=6).map("".join)))
def test_an_asset_stands_for_itself(name: str) -> None:
    """Whatever the name is: what it means has a positive multiplier, and means itself."""
    asset, multiplier = canonical_asset(name)
    assert canonical_asset(asset) == (asset, 1.0)
    assert 0 < multiplier < float("inf")
    assert bool(asset) is bool(name)


@pytest.mark.parametrize(
    ("feed", "symbol", "base", "quote"),
    [
        ("binance-usdm", "BTCUSDT", "BTC", "USDT"),
        ("binance-usdm", "ETHUSDC", "ETH", "USDC"),
        ("binance-usdm", "ETHBTC", "ETH", "BTC"),
        ("binance-usdm", "币安人生USDT", "币安人生", "USDT"),
        ("binance-usdm", "1000PEPEUSDT", "1000PEPE", "USDT"),
        ("binance-usdm", "BTCUSD1", "BTC", "USD1"),
        ("binance-usdm", "USDT", "USDT", ""),
        ("binance-usdm", "", "", ""),
        ("binance-usdm", "BTCUSDT_260925", "BTCUSDT_260925", ""),
        ("binance-coinm", "DOTUSD_PERP", "DOT", "USD"),
        ("kucoin", "XBTUSDTM", "XBT", "USDT"),
        ("kucoin", "LTCUSDCM", "LTC", "USDC"),
        ("kucoin", "ETHUSDM", "ETH", "USD"),
        ("kucoin", "DOTUSDM", "DOT", "USD"),
        ("kucoin", "XBTMZ26", "XBTMZ26", ""),
        ("kucoin", "USDM", "USDM", ""),
        ("backpack", "SOL_USDC_PERP", "SOL", "USDC"),
        ("backpack", "AAPL.US_USDC_PERP", "AAPL.US", "USDC"),
        ("backpack", "kPEPE_USDC_PERP", "kPEPE", "USDC"),
        ("backpack", "ELECTION_USDC_PREDICTION", "ELECTION_USDC_PREDICTION", ""),
        ("hyperliquid", "xyz:NVDA", "NVDA", ""),
        ("hyperliquid", "para:BTC", "BTC", ""),
        ("hyperliquid", "WBTC", "WBTC", ""),
    ],
)
def test_a_joined_symbol_is_split_at_its_quote(
    feed: str, symbol: str, base: str, quote: str
) -> None:
    """As its exchange joins them, until its own facts arrive; what does not split stays whole."""
    assert symbol_splitter(feed)(symbol) == (base, quote)
