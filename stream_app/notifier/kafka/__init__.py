"""What the notifier reads from Kafka, and what it keeps there."""
