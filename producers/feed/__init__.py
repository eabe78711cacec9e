"""One running feed: its wiring, its monitor, its supervisor and its lock."""
