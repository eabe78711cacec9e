"""Broker and registry with z-scores on the topic, some of them twice, some with a further field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from schemas.records import ZSCORE
from schemas.serde.codec import HEADER_BYTES, Encoder
from schemas.topics import ZSCORES
from tests.support.sink_stack import Kafka, encode_key, zscore


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Of three contracts: an extreme, all of it again as after a crash, and another extreme.

    Where the second extreme of a contract has come, all that went before it has come as well. It
    is written with a schema that has a further field, as by the next version of fundingstream.
    """
    running = Kafka(tmp_path_factory.mktemp("kafka"))
    try:
        running.wait()
        first = [zscore(n, z=n + 1.5, zone="high") for n in (1, 2, 3)] + [zscore(4)]
        last = [zscore(n + 50, z=9.5, zone="high") for n in (1, 2, 3)]
        running.publish(ZSCORES, [*first, *first])
        schema_id = register_next_version(running)
        running.publish_raw(ZSCORES, [(encode_key(r), evolved(r, schema_id)) for r in last])
        yield running
    finally:
        running.stop()


def register_next_version(kafka: Kafka) -> int:
    """Register the schema of z-scores with a field of the future; return its id."""
    schema = json.loads(ZSCORE.text)
    schema["fields"].append({"name": "of_the_future", "type": ["null", "double"], "default": None})
    answer = requests.post(
        f"{kafka.settings.registry_url}/subjects/{ZSCORES.subject}/versions",
        json={"schema": json.dumps(schema)},
        timeout=10,
    )
    return int(answer.json()["id"])


def evolved(record: dict[str, Any], schema_id: int) -> bytes:
    """Encode a record with that schema: its field, a double that is not null, comes last."""
    header = b"\x00" + schema_id.to_bytes(4, "big")
    field = b"\x02" + b"\x00" * 8
    return header + Encoder(ZSCORE, schema_id).encode(record)[HEADER_BYTES:] + field
