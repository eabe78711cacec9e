"""Administration of Kafka, and the reading of small topics without a consumer group."""
