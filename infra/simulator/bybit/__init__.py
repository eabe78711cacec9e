"""Simulated Bybit."""
