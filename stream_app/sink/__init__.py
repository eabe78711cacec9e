"""The ClickHouse sink: from the output topics into the tables, each record once."""
