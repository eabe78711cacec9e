"""Simulated dYdX: the indexer of its chain."""
