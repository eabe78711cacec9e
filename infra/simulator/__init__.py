"""infra.simulator."""
