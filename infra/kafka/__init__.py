"""Tools that read Kafka, and the Maven project that brings the embedded broker."""
