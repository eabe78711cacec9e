"""Sinks as they are written in an afternoon: decode, insert, commit; in batches or row by row.

They have no tokens, no plans, no dead letters and no waiting for servers: an error ends them.
Batches are as large and as old as those of fundingstream's sink.
"""

from __future__ import annotations

import io
import json
import os
import time
from typing import Any

import clickhouse_connect
import fastavro
from confluent_kafka import Consumer

from benchmarks.rivals.job import arguments

HEADER_BYTES = 5
"""Of a Confluent value, before the Avro datum."""
POLL_MESSAGES = 1_000
POLL_S = 0.1


class Table:
    """One topic's table, and the rows that wait for it."""

    def __init__(self, client: Any, name: str, schema_path: str) -> None:
        self._client = client
        self._name = name
        self._schema: Any = fastavro.schema.load_schema(schema_path)
        self._columns = [field["name"] for field in self._schema["fields"]]
        self.rows: list[list[Any]] = []

    def add(self, value: bytes) -> None:
        """Decode a value and keep its row."""
        body = io.BytesIO(value[HEADER_BYTES:])
        record: Any = fastavro.schemaless_reader(body, self._schema, None)
        self.rows.append([record[column] for column in self._columns])

    def insert(self) -> None:
        """Insert what is kept."""
        if self.rows:
            self._client.insert(self._name, self.rows, column_names=self._columns)
            self.rows = []


def main() -> None:
    """Run until a signal ends the process."""
    given = arguments()
    batch_rows, batch_age_s = int(given["batch_rows"]), float(given["batch_age_s"])
    client = clickhouse_connect.get_client(
        dsn=given["clickhouse"],
        username=given["user"],
        password=os.environ[given["password_variable"]],
        compress=False,
    )
    tables = {
        topic: Table(client, name, path)
        for topic, (name, path) in json.loads(given["tables"]).items()
    }
    consumer: Any = Consumer({
        "bootstrap.servers": given["bootstrap"],
        "group.id": given["group"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })  # fmt: skip
    consumer.subscribe(list(tables))
    stored_at_s = time.monotonic()
    while True:
        for message in consumer.consume(min(POLL_MESSAGES, batch_rows), timeout=POLL_S):
            if message.error() is None:
                tables[message.topic()].add(message.value())
        kept = max(len(table.rows) for table in tables.values())
        if kept >= batch_rows or (kept and time.monotonic() - stored_at_s >= batch_age_s):
            for table in tables.values():
                table.insert()
            consumer.commit(asynchronous=False)
            stored_at_s = time.monotonic()


if __name__ == "__main__":
    main()
