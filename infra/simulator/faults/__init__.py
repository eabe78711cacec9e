"""Faults that a simulated exchange can show on request or by a schedule."""
