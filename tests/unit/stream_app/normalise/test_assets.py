"""Canonical assets: synonyms and multipliers, and the names that only look like them."""

from __future__ import annotations

import pytest

from stream_app.normalise.assets import canonical_asset, split_symbol


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
    ],
)
def test_units_are_taken_off(name: str, asset: str, multiplier: float) -> None:
    """Every exchange's way to trade thousands and millions of a coin gives the coin."""
    assert canonical_asset(name) == (asset, multiplier)


@pytest.mark.parametrize(
    "name",
    ["1INCH", "1M", "1000", "1000X", "100BTC", "KAVA", "kava", "k", "0G", "币安人生", "2Z", "1MX"],
)
def test_other_names_stay(name: str) -> None:
    """Digits and a k that belong to the name are no unit."""
    assert canonical_asset(name) == (name, 1.0)


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("BTCUSDT", "BTC", "USDT"),
        ("ETHUSDC", "ETH", "USDC"),
        ("ETHBTC", "ETH", "BTC"),
        ("币安人生USDT", "币安人生", "USDT"),
        ("1000PEPEUSDT", "1000PEPE", "USDT"),
        ("BTCUSD1", "BTC", "USD1"),
        ("USDT", "USDT", ""),
        ("", "", ""),
        ("BTCUSDT_260925", "BTCUSDT_260925", ""),
        ("DOTUSD_PERP", "DOT", "USD"),
        ("XBTUSDTM", "XBT", "USDT"),
        ("LTCUSDCM", "LTC", "USDC"),
        ("ETHUSDM", "ETH", "USD"),
        ("XBTMZ26", "XBTMZ26", ""),
        ("SOL_USDC_PERP", "SOL", "USDC"),
        ("AAPL.US_USDC_PERP", "AAPL.US", "USDC"),
        ("kPEPE_USDC_PERP", "kPEPE", "USDC"),
        ("xyz:NVDA", "NVDA", ""),
        ("para:BTC", "BTC", ""),
        ("USDM", "USDM", ""),
    ],
)
def test_a_joined_symbol_is_split_at_its_quote(symbol: str, base: str, quote: str) -> None:
    """Until the exchange's own facts arrive; what does not split stays whole."""
    assert split_symbol(symbol) == (base, quote)
