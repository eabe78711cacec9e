"""The worker's status page, JSON and metrics, from a read-only view of its state."""
