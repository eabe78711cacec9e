"""Canonical assets: synonyms and multipliers, and the names that only look like them."""

from __future__ import annotations

import pytest

from stream_app.normalise import symbol_splitter
from stream_app.normalise.assets import canonical_asset


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
    ],
)
def test_units_are_taken_off(name: str, asset: str, multiplier: float) -> None:
    """Every exchange's way to trade thousands and millions of a coin gives the coin."""
    assert canonical_asset(name) == (asset, multiplier)


@pytest.mark.parametrize(
    "name",
    [
        *("1INCH", "1M", "1000", "1000X", "100BTC", "KAVA", "kava", "k", "0G", "币安人生", "2Z"),
        *("1MX", "AAPL.HK", "AAPL.us", "AAPLUS", "US", ".US", "AAPL.USA"),
    ],
)
def test_other_names_stay(name: str) -> None:
    """Digits and a k that belong to the name are no unit, nor is another country the home."""
    assert canonical_asset(name) == (name, 1.0)


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
