"""Generates docs/reference.md: every topic, Avro record, table and view, field by field.

Avro schemas and topics are read from schemas/, tables and views from a database that the migrations
have just made. What neither of them says (units, columns that views compute) is in meanings.py.
"""
