"""Simulated Lighter."""
