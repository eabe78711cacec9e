"""The embedded broker: Apache Kafka, one KRaft node."""
