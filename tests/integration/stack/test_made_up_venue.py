"""Venues of another package stream through every part: a folder and one line of each suffice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from infra.embedded.ports import free_port
from infra.stack.parts import Ports
from schemas.config.settings import SharedSettings
from schemas.serde.registry import SchemaCatalog
from schemas.topics import AUDIT, RATES, STATUS, ZSCORES, TopicSpec
from tests.support.made_up_venue.registration import CHANGES, LINE, POLLED, registered
from tests.support.paths import ROOT

pytestmark = pytest.mark.integration

FEEDS = ("made-up", "made-up-changes", "made-up-polled")
CONTRACTS = 8
"""Of each feed."""
DEADLINE_S = 150.0


@asynccontextmanager
async def up(folder: Path, ports: dict[str, int]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Everything, as `fundingstream up --feed made-up …` starts it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNDING_")}
    flags = [f"--{name.replace('_', '-')}-port={port}" for name, port in ports.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "up", *(f"--feed={feed}" for feed in FEEDS)),
        *("--contracts", str(CONTRACTS * len(FEEDS)), *flags),
        cwd=folder,
        env={**clean, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def says(process: asyncio.subprocess.Process, text: str) -> None:
    """Wait for a line with this text."""
    assert process.stdout is not None
    output = ""
    async with asyncio.timeout(DEADLINE_S):
        while raw := await process.stdout.readline():
            output += raw.decode()
            if text in raw.decode():
                return
    raise AssertionError(f"it ended without {text!r}:\n{output}")


Record = dict[str, Any]


def consumed(
    settings: SharedSettings, topic: TopicSpec, enough: Callable[[list[Record]], bool]
) -> list[Record]:
    """The first records of a topic, decoded, until they are enough."""
    assert topic.record_type is not None
    decode = SchemaCatalog(settings).decoder(topic.record_type).decode
    group = {"group.id": "made-up", "auto.offset.reset": "earliest"}
    records: list[Record] = []
    with closing(Consumer({**settings.librdkafka(), **group})) as consumer:
        consumer.subscribe([topic.name])
        while not enough(records):
            messages = consumer.consume(100, timeout=30.0)
            assert messages, f"{len(records)} records on {topic.name} are not enough"
            records += [decode(m.value()) for m in messages if m.error() is None]
    return records


def of(records: Iterable[Record], feed: str) -> list[Record]:
    """The records of a feed."""
    return [record for record in records if record["feed"] == feed]


def several_of_each(records: list[Record]) -> bool:
    """Whether each feed has brought as many as it has in some seconds."""
    return all(len(of(records, feed)) >= 5 * CONTRACTS for feed in FEEDS)


def lost_a_message(records: list[Record]) -> bool:
    """Whether a connection was ended because a message of it did not arrive."""
    return ("made-up-changes", "message_lost") in {(r["subject"], r["cause"]) for r in records}


def all_live(records: list[Record]) -> bool:
    """Whether each feed has reported that it is live."""
    return all(any(r["state"] == "live" for r in of(records, feed)) for feed in FEEDS)


def sent_below(folder: Path, feed: str) -> set[tuple[str, int, float]]:
    """Contract, event time and rate of every update that the simulator sent."""
    (truth,) = folder.rglob(f"truth/{feed}.ndjson")
    return {
        (line["contract_id"], line["event_time"], line["rate"])
        for line in map(json.loads, truth.read_text(encoding="utf-8").splitlines())
    }


def check_streamed(rates: Iterable[Record], sent: set[tuple[str, int, float]]) -> None:
    """Every rate of a stream is one that its simulator has sent, at its time."""
    streamed = {
        (rate["contract_id"], rate["event_time"], rate["rate"])
        for rate in rates
        if rate["transport"] == "ws"
    }
    assert streamed <= sent
    assert len({contract for contract, _, _ in streamed}) == CONTRACTS


@pytest.mark.timeout(300)
async def test_made_up_venues_stream_to_their_z_scores(tmp_path: Path) -> None:
    """One sends all of it, one what has changed, packed and after pings; one is only polled."""
    ports = {name: free_port() for name in Ports.__dataclass_fields__}
    settings = SharedSettings(
        kafka_bootstrap=f"127.0.0.1:{ports['kafka']}",
        registry_url=f"http://127.0.0.1:{ports['registry']}",
    )
    async with up(registered(tmp_path, LINE, CHANGES, POLLED), ports) as process:
        await says(process, "all parts are up")
        await says(process, "ready: every feed brings data")
        rates = await asyncio.to_thread(consumed, settings, RATES, several_of_each)
        scores = await asyncio.to_thread(consumed, settings, ZSCORES, several_of_each)
        await asyncio.to_thread(consumed, settings, AUDIT, lost_a_message)
        reports = await asyncio.to_thread(consumed, settings, STATUS, all_live)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        await process.communicate()
        assert process.returncode == 0
    for feed in ("made-up", "made-up-changes"):
        check_streamed(of(rates, feed), sent_below(tmp_path, feed))
    polled = of(rates, "made-up-polled")
    assert {rate["transport"] for rate in polled} == {"rest"}
    assert len({rate["contract_id"] for rate in polled}) == CONTRACTS
    live = {r["transport"] for r in of(reports, "made-up-polled") if r["state"] == "live"}
    assert live == {"rest"}
    assert not any(r["state"] == "fallback" for r in of(reports, "made-up-polled"))
    for feed in FEEDS:
        pepe = next(rate for rate in rates if rate["contract_id"] == f"{feed}:1000PEPE/USD")
        assert (pepe["base"], pepe["quote"], pepe["multiplier"]) == ("PEPE", "USD", 1_000.0)
        assert any(score["z"] is not None for score in of(scores, feed))
