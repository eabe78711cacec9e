"""Reads the topic of dead letters, and sends letters back the way they came."""
