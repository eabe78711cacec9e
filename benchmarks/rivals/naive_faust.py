"""The job on Faust as its documentation teaches it: an agent, a table, `topic.send`.

Memory store, changelog on, one table write for each update, JSON outputs, one worker. The
producer's linger and compression are set, since Faust's defaults (none) would double its cost.
What the job leaves out is in job.py.
"""

from __future__ import annotations

import json
from typing import Any

import faust

from benchmarks.rivals.job import RawReader, arguments, load_statistics, step

PARTITIONS = 8


def create_app(given: dict[str, str]) -> faust.App:
    """Build the app."""
    reader = RawReader(given["schema"], json.loads)
    statistics = load_statistics(given["statistics"])
    app = faust.App(
        given["group"],
        broker=f"aiokafka://{given['bootstrap']}",
        store="memory://",
        datadir=given["directory"],
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        producer_linger=float(given["linger_ms"]) / 1_000,
        producer_compression_type="lz4",
        web_enabled=False,
    )
    raw = app.topic(given["raw"], value_type=bytes, value_serializer="raw", key_serializer="raw")
    rates = app.topic(given["rates"], value_serializer="json", key_serializer="raw")
    zscores = app.topic(given["zscores"], value_serializer="json", key_serializer="raw")
    contracts = app.Table("contracts", partitions=PARTITIONS)

    @app.agent(raw)  # type: ignore[untyped-decorator]
    async def _score(stream: Any) -> None:
        async for value in stream:
            for update in reader.updates(value):
                contract = update["contract_id"]
                stepped = step(contracts.get(contract), update, statistics)
                if stepped is None:
                    continue
                contracts[contract], z = stepped
                await rates.send(key=contract, value=update)
                if z is not None:
                    await zscores.send(key=contract, value={**update, "z": z})

    return app


def main() -> None:
    """Run until a signal comes."""
    app = create_app(arguments())
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
