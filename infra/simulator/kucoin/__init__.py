"""Simulated KuCoin Futures."""
