"""Simulated Pacifica."""
