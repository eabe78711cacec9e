"""What every part asks of Kafka beside producing and consuming."""
