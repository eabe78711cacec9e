"""Binance USD-M payloads (exchanges.md §1). Not responsible for: what they mean (binance.py)."""

from __future__ import annotations

from stream_app.normalise.binance import USD_M, normaliser_of

normalise = normaliser_of(USD_M)
