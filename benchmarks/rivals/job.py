"""The job that the rivals do, without their libraries: decode, parse, deduplicate, score.

It is less than the worker's: no order of late updates, no hourly bars, no audit, no dead letters,
no settlements and thus no window of 30 days (mean and standard deviation are given), no zones,
alerts or flush; JSON outputs without raw coordinates. What both have: Avro raw records, every
accepted update on one topic, and one on another when |z| > 2 and the rate changed. Runs without
fundingstream's dependencies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

HEADER_BYTES = 5
HIGH_Z = 2.0
Statistics = Mapping[str, tuple[float, float]]
"""Mean and standard deviation by contract."""


def arguments() -> dict[str, str]:
    """Return the arguments that the benchmark starts a rival with."""
    given: dict[str, str] = json.loads(sys.argv[1])
    return given


class RawReader:
    """Reads raw records; times stay integers, which is quicker than the schema's logical types."""

    def __init__(self, schema_file: str, loads: Callable[[bytes], Any]) -> None:
        schema = json.loads(Path(schema_file).read_text(encoding="utf-8"))
        for field in (*schema["fields"], *schema["fields"][-1]["type"]["items"]["fields"]):
            if isinstance(field["type"], dict) and "logicalType" in field["type"]:
                field["type"] = field["type"]["type"]
        self._schema = fastavro.parse_schema(schema)
        self._loads = loads

    def updates(self, value: bytes) -> Iterator[dict[str, Any]]:
        """Return what a raw record says of each contract."""
        batch: Any = fastavro.schemaless_reader(BytesIO(value[HEADER_BYTES:]), self._schema, None)
        if batch["purpose"] != "stream":
            return
        feed = batch["feed"]
        for item in batch["items"]:
            row = self._loads(item["payload"])
            yield {
                "contract_id": f"{feed}:{row['s']}",
                "rate": float(row["r"]),
                "mark_price": float(row["p"]),
                "index_price": float(row["i"]),
                "event_time": row["E"],
                "next_funding_time": row["T"],
                "received_at": item["received_at"],
            }


def load_statistics(path: str) -> Statistics:
    """Read the statistics that the benchmark has written."""
    found: Statistics = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def step(
    before: Mapping[str, Any] | None, update: Mapping[str, Any], statistics: Statistics
) -> tuple[dict[str, Any], float | None] | None:
    """Return a contract's new state, and its z if that is to be published; None: a duplicate."""
    if before is not None and update["event_time"] <= before["event_time"]:
        return None
    rate = update["rate"]
    state = {
        "rate": rate,
        "event_time": update["event_time"],
        "updates": before["updates"] + 1 if before is not None else 1,
    }
    mean, std = statistics[update["contract_id"]]
    z = (rate - mean) / std
    changed = before is not None and rate != before["rate"]
    return state, z if changed and abs(z) > HIGH_Z else None
