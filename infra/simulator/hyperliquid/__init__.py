"""Simulated Hyperliquid."""
