"""infra.embedded."""
