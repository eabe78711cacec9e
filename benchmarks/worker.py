"""One worker on Apache Kafka: throughput and CPU beside other programs, latency beside floors."""

from __future__ import annotations

from typing import Any

from benchmarks import latency, throughput


def run(seconds: float, contracts: int, *, alone: bool = False) -> dict[str, Any]:
    """Measure both; `alone`: without rivals and floors."""
    return {
        **throughput.run(seconds, contracts, alone=alone),
        **latency.run(seconds, contracts, alone=alone),
    }
