"""The id of a contract, and the partition that holds its records in every topic.

Why there are eight of them, and why the id is the key: docs/decisions/keys-and-partitions.md.
"""

from __future__ import annotations

from functools import lru_cache

PARTITIONS = 8
_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def contract_id(feed: str, symbol: str) -> str:
    """Join a feed id and the exchange's own symbol: `my-venue:BTCUSDT`."""
    return f"{feed}:{symbol}"


def murmur2(data: bytes) -> int:
    """32-bit murmur2 as Apache Kafka's default partitioner computes it (org.apache.kafka Utils)."""
    length = len(data)
    h = _SEED ^ length
    whole = length - length % 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k ^= k >> 24
        h = (h * _M & _MASK) ^ (k * _M & _MASK)
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=1 << 15)
def partition_of(contract: str, partitions: int = PARTITIONS) -> int:
    """Return the partition of a contract id: the one that a keyed Java producer would choose."""
    return (murmur2(contract.encode()) & 0x7FFFFFFF) % partitions
