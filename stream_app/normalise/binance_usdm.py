"""Binance USD-M payloads (docs/exchanges/binance-usdm.md); binance.py says what they mean."""

from __future__ import annotations

from stream_app.normalise import binance

normalise = binance.normaliser_of(binance.USD_M)
split_symbol = binance.split_symbol
