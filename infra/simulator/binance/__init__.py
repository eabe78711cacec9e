"""Simulated Binance USD-M and COIN-M."""
