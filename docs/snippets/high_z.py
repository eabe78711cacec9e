"""Print each extreme z-score once; a new group begins so many minutes ago: high_z.py [MINUTES]."""

import os
import sys
import time
from collections import OrderedDict

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "funding.zscores"
IDENTITY = (
    *("contract_id", "event_time", "trigger"),
    *("raw_topic", "raw_partition", "raw_offset", "raw_item"),
)
REMEMBERED = 200_000  # some minutes: what is delivered twice is seconds apart

minutes_back = float(sys.argv[1]) if len(sys.argv) > 1 else 0
since_ms = int((time.time() - 60 * minutes_back) * 1000)
registry = SchemaRegistryClient({"url": os.environ.get("REGISTRY", "http://127.0.0.1:8081")})
deserialize = AvroDeserializer(registry)
context = SerializationContext(TOPIC, MessageField.VALUE)
consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("KAFKA", "127.0.0.1:9092"),
        "group.id": "my-desk",
        "auto.offset.reset": "earliest",  # where a committed offset has expired: no gap
        "enable.auto.offset.store": False,  # an offset is committed once its record is dealt with
    }
)


def begin(consumer, partitions):
    """Go on where the group was; where it has never been, begin at a time."""
    committed = consumer.committed(partitions, timeout=30)
    times = [TopicPartition(p.topic, p.partition, since_ms) for p in partitions]
    by_time = consumer.offsets_for_times(times, timeout=30)
    consumer.assign([c if c.offset >= 0 else t for c, t in zip(committed, by_time, strict=True)])


consumer.subscribe([TOPIC], on_assign=begin)
seen = OrderedDict()
try:
    while True:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            print(message.error(), file=sys.stderr)
            continue
        row = deserialize(message.value(), context)
        identity = tuple(row[field] for field in IDENTITY)
        if identity not in seen:
            seen[identity] = None
            if len(seen) > REMEMBERED:
                seen.popitem(last=False)
            if row["zone"] == "high":
                print(row["event_time"].isoformat(), row["contract_id"], row["z"], flush=True)
        consumer.store_offsets(message)
except KeyboardInterrupt:
    pass
finally:
    consumer.close()
