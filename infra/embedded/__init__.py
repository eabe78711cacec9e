"""Kafka, schema registry and ClickHouse for one machine, and the supervisor that runs them."""
