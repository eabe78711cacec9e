"""Binance COIN-M payloads (docs/exchanges/binance-coinm.md); binance.py says what they mean."""

from __future__ import annotations

from stream_app.normalise import binance

normalise = binance.normaliser_of(binance.COIN_M)
split_symbol = binance.split_symbol
