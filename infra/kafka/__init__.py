"""Tools that use Kafka, and the Maven project with which the embedded broker is downloaded."""
