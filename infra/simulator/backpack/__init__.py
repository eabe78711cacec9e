"""Simulated Backpack."""
