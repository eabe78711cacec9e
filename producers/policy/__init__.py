"""Decisions of a producer as pure values: no I/O and no clock; times are passed in."""
