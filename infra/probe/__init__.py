"""What an exchange really sends, beside what it documents: seen without Kafka, for some seconds."""
