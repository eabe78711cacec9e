"""Simulated MEXC."""
