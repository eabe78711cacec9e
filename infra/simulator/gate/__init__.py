"""Simulated Gate."""
