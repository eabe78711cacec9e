"""Binance COIN-M payloads (exchanges.md §2). Not responsible for: what they mean (binance.py)."""

from __future__ import annotations

from stream_app.normalise.binance import COIN_M, normaliser_of

normalise = normaliser_of(COIN_M)
