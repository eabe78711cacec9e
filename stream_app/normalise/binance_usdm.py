"""Binance USD-M payloads (docs/exchanges/binance-usdm.md); binance.py says what they mean."""

from __future__ import annotations

from schemas.venues.binance_usdm import FEED
from stream_app.normalise import binance, binance_facts

normalise = binance.normaliser_of(binance.USD_M, FEED)
split_symbol = binance_facts.split_symbol
