"""Avro records to bytes and back, and the registry that holds their schemas."""
