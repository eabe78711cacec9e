"""A venue of another package streams through every part: its folder and one line suffice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from infra.embedded.ports import free_port
from infra.stack.parts import Ports
from schemas.config.settings import SharedSettings
from schemas.serde.registry import SchemaCatalog
from schemas.topics import RATES, ZSCORES, TopicSpec
from tests.support.made_up_venue.registration import registered
from tests.support.paths import ROOT

pytestmark = pytest.mark.integration

CONTRACTS = 8
DEADLINE_S = 150.0


@asynccontextmanager
async def up(folder: Path, ports: dict[str, int]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Everything, as `fundingstream up --feed made-up` starts it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNDING_")}
    flags = [f"--{name.replace('_', '-')}-port={port}" for name, port in ports.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "up", "--feed", "made-up"),
        *("--contracts", str(CONTRACTS), *flags),
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


def consumed(settings: SharedSettings, topic: TopicSpec, count: int) -> list[dict[str, Any]]:
    """The first records of a topic, decoded."""
    assert topic.record_type is not None
    decode = SchemaCatalog(settings).decoder(topic.record_type).decode
    group = {"group.id": "made-up", "auto.offset.reset": "earliest"}
    records: list[dict[str, Any]] = []
    with closing(Consumer({**settings.librdkafka(), **group})) as consumer:
        consumer.subscribe([topic.name])
        while len(records) < count:
            messages = consumer.consume(count, timeout=30.0)
            assert messages, f"{len(records)} records of {count} on {topic.name}"
            records += [decode(m.value()) for m in messages if m.error() is None]
    return records


def sent_below(folder: Path) -> set[tuple[str, int, float]]:
    """Contract, event time and rate of every update that the simulator sent."""
    (truth,) = folder.rglob("truth/made-up.ndjson")
    return {
        (line["contract_id"], line["event_time"], line["rate"])
        for line in map(json.loads, truth.read_text(encoding="utf-8").splitlines())
    }


@pytest.mark.timeout(300)
async def test_a_made_up_venue_streams_to_its_z_scores(tmp_path: Path) -> None:
    """Every rate on the topics is one that its simulator has sent, at its time, and scored."""
    ports = {name: free_port() for name in Ports.__dataclass_fields__}
    settings = SharedSettings(
        kafka_bootstrap=f"127.0.0.1:{ports['kafka']}",
        registry_url=f"http://127.0.0.1:{ports['registry']}",
    )
    async with up(registered(tmp_path), ports) as process:
        await says(process, "all parts are up")
        await says(process, "ready: every feed brings data")
        rates = await asyncio.to_thread(consumed, settings, RATES, 5 * CONTRACTS)
        scores = await asyncio.to_thread(consumed, settings, ZSCORES, 5 * CONTRACTS)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        await process.communicate()
        assert process.returncode == 0
    sent = sent_below(tmp_path)
    streamed = {
        (rate["contract_id"], rate["event_time"], rate["rate"])
        for rate in rates
        if rate["transport"] == "ws"
    }
    assert streamed <= sent
    assert len({contract for contract, _, _ in streamed}) == CONTRACTS
    assert {rate["feed"] for rate in rates} == {score["feed"] for score in scores} == {"made-up"}
    pepe = next(rate for rate in rates if rate["contract_id"] == "made-up:1000PEPE/USD")
    assert (pepe["base"], pepe["quote"], pepe["multiplier"]) == ("PEPE", "USD", 1_000.0)
    assert any(score["z"] is not None for score in scores)
