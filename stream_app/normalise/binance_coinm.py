"""Binance COIN-M payloads (docs/exchanges/binance-coinm.md); binance.py says what they mean."""

from __future__ import annotations

from schemas.venues.binance_coinm import FEED
from stream_app.normalise import binance, binance_facts

normalise = binance.normaliser_of(binance.COIN_M, FEED)
split_symbol = binance_facts.split_symbol
