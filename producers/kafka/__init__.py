"""What producers write to Kafka and read from it: raw batches, feed status, worker reports."""
