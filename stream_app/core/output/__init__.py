"""What the core publishes: records, alerts, audit events, and their collection. Pure."""
