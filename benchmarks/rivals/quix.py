"""The job on quixstreams, with its state store and changelog.

One stateful, expanding step for each raw record: cheaper than one for each update, because the
state of a record's key is opened once. The raw records come by partition, with the partition as
their key, so no repartition is needed and contracts are keys within that state. The store writes
with each checkpoint, every 5 s by default (the worker: every second). Producer: lz4. What the job
leaves out is in job.py. Runs in .venv-bench.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson  # type: ignore[import-not-found,unused-ignore]
from quixstreams import Application, State

from benchmarks.rivals.job import RawReader, arguments, load_statistics, step


def create_app(given: dict[str, str]) -> Application:
    """Build the app."""
    reader = RawReader(given["schema"], orjson.loads)
    statistics = load_statistics(given["statistics"])
    app = Application(
        broker_address=given["bootstrap"],
        consumer_group=given["group"],
        auto_offset_reset="earliest",
        state_dir=given["directory"],
        producer_extra_config={"linger.ms": float(given["linger_ms"]), "compression.type": "lz4"},
        loglevel="WARNING",
    )
    raw = app.topic(given["raw"], key_deserializer="bytes", value_deserializer="bytes")
    rates = app.topic(given["rates"], key_serializer="str", value_serializer="json")
    zscores = app.topic(given["zscores"], key_serializer="str", value_serializer="json")

    def score(value: bytes, state: State) -> Iterator[dict[str, Any]]:
        for update in reader.updates(value):
            contract = update["contract_id"]
            stepped = step(state.get(contract), update, statistics)
            if stepped is None:
                continue
            after, z = stepped
            state.set(contract, after)
            update["z"] = z
            yield update

    scored = app.dataframe(raw).apply(score, stateful=True, expand=True)
    scored.to_topic(rates, key=_contract)
    scored.filter(_published).to_topic(zscores, key=_contract)
    return app


def _contract(update: dict[str, Any]) -> str:
    contract: str = update["contract_id"]
    return contract


def _published(update: dict[str, Any]) -> bool:
    return update["z"] is not None


def main() -> None:
    """Run until a signal comes."""
    create_app(arguments()).run()


if __name__ == "__main__":
    main()
