"""producers.exchanges."""
