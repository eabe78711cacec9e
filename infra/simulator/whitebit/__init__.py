"""Simulated WhiteBIT (docs/exchanges/whitebit.md)."""
