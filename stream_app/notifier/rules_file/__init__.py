"""Reads the rules file and says line and column of every mistake in it."""
