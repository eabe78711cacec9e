"""Simulated OKX."""
