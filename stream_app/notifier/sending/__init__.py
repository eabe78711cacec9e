"""Hands messages over to services outside, in threads of its own."""
