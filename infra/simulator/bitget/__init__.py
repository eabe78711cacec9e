"""Simulated Bitget."""
