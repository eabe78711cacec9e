"""ClickHouse's HTTP interface over the chdb engine, as one process that owns its data."""
