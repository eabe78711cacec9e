"""Simulated Aster: the family of infra.simulator.binance, as far as it differs."""
