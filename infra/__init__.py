"""Console script, embedded servers, simulator, migrations and Kafka tools."""
