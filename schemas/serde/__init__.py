"""Encodes and decodes Avro records, and talks to the registry that holds their schemas."""
