"""What the page asks of ClickHouse and of the raw log: all that is older than its own memory."""
