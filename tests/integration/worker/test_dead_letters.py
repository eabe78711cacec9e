"""Letters of the worker and of a producer go back: what they should have led to is there, once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from confluent_kafka import Producer

from infra.kafka.lag import LagReader
from infra.kafka.record_reader import RecordReader
from infra.kafka.topic_reader import Span, read_topic, topic_ends
from schemas.clock import now_us
from schemas.control_items import UNREADABLE
from schemas.kafka.admin import ensure_topics
from schemas.partitioning import PARTITIONS, contract_id, partition_of
from schemas.records import FUNDING_RATE, Purpose, RawBatch, Transport
from schemas.serde.registry import SchemaCatalog
from schemas.topics import DEAD_LETTERS, RATES, raw_topic_spec
from tests.support.made_up_venue.registration import registered
from tests.support.paths import ROOT
from tests.support.waiting import eventually
from tests.support.worker_scene import Scene, running_scene

FEED = "made-up"
BTC, PEPE = "BTC/USD", "1000PEPE/USD"
RAW = raw_topic_spec(FEED)

# A worker that does not know a channel yet, as after an exchange has made a new one.
OLD_WORKER = """
from tests.support.made_up_venue.normaliser import normalise
del normalise._readers["stream", "all"]
from infra.cli.worker import worker
worker()
"""
# Kills itself where the records are sent and the mark `done` is not written.
KILLED = """
import os, signal, sys
from infra.dead_letters.letter import ReplayState
from infra.dead_letters.replaying import Replayer
mark = Replayer._mark
def killed(self, said):
    if said.state is ReplayState.DONE:
        os.kill(os.getpid(), signal.SIGKILL)
    mark(self, said)
Replayer._mark = killed
from infra.cli.main import main
main()
"""

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Kafka and the registry, with the topic of the made-up venue."""
    async with running_scene(tmp_path_factory.mktemp("letters")) as running:
        await asyncio.to_thread(ensure_topics, running.settings, [RAW])
        SchemaCatalog(running.settings).register(RAW)
        yield running


def row(symbol: str, at_us: int, rate: str) -> bytes:
    """What the venue pushes about a contract."""
    at_ms = at_us // 1_000
    return json.dumps({"c": symbol, "at": at_ms, "fr": rate, "next": at_ms + 60_000}).encode()


def publish(
    scene: Scene,
    symbol: str | None,
    payload: bytes,
    purpose: Purpose = "stream",
    transport: Transport = "ws",
    channel: str = "all",
) -> None:
    """Publish one item, as a producer does."""
    now = now_us()
    batch: RawBatch = {
        "feed": FEED,
        "transport": transport,
        "purpose": purpose,
        "channel": channel,
        "connection_id": "made-up/test/1",
        "sequence": 0,
        "received_at": now,
        "items": [{"symbol": symbol, "payload": payload, "received_at": now}],
    }
    partition = 0 if symbol is None else partition_of(contract_id(FEED, symbol))
    producer: Any = Producer(scene.settings.librdkafka())
    producer.produce(
        RAW.name, SchemaCatalog(scene.settings).encoder(RAW).encode(batch), partition=partition
    )
    assert producer.flush(10) == 0


def give_up_again(scene: Scene) -> None:
    """Write all letters a second time, as a worker that was killed before its commit does."""
    producer: Any = Producer(scene.settings.librdkafka())
    with RecordReader(scene.settings) as reader:
        for letter in reader.scan(DEAD_LETTERS.name, dict.fromkeys(range(PARTITIONS), 0)):
            producer.produce(
                DEAD_LETTERS.name, letter.value(), letter.key(), headers=letter.headers()
            )
    assert producer.flush(10) == 0


async def command(
    scene: Scene, folder: Path, *arguments: str, code: str = "", stderr: int | None = None
) -> tuple[int | None, str]:
    """Exit code and standard output of `fundingstream dead-letters …`; `stderr` as of Popen."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *(("-c", code) if code else ("-m", "infra.cli"))),
        *("dead-letters", *arguments),
        cwd=ROOT,
        env=environment(scene, folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def environment(scene: Scene, folder: Path) -> dict[str, str]:
    """That of a process which knows the made-up venue."""
    return {**scene.options.environment(), "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}


async def processed(scene: Scene) -> None:
    """Wait until the worker has committed all of the log."""
    with closing(LagReader(scene.settings, scene.settings.worker_id)) as lag:
        await lag.wait([RAW.name], 30)


def rates(scene: Scene) -> Counter[tuple[str, float]]:
    """How often each rate was published, by symbol and rate."""
    decode = SchemaCatalog(scene.settings).decoder(FUNDING_RATE).decode
    ends = topic_ends(scene.settings, RATES.name, PARTITIONS)
    records = read_topic(scene.settings, RATES.name, decode, Span(0, 1 << 62), ends)
    return Counter((record["symbol"], record["rate"]) for record in records)


async def test_letters_go_back_once_whatever_is_killed(scene: Scene, tmp_path: Path) -> None:
    """A worker that lacks a channel gives items up, and a producer a message; both are mended."""
    folder = registered(tmp_path)
    path = environment(scene, folder)["PYTHONPATH"]
    now = now_us()
    for symbol in (BTC, PEPE):
        listed = json.dumps({"c": symbol, "state": "live", "hours": 8}).encode()
        publish(scene, symbol, listed, "contract", "rest", "contracts")
    async with scene.worker(command=("-c", OLD_WORKER), PYTHONPATH=path) as old:
        await old.started()
        publish(scene, BTC, row(BTC, now, "0.0001"))
        # What a producer could not cut into pieces; the description reads it now.
        message = b"[%b,%b]" % (row(BTC, now + 1_000, "0.0002"), row(PEPE, now, "0.0003"))
        publish(scene, None, message, channel=UNREADABLE)
        await processed(scene)
        old.send(signal.SIGTERM)
        assert await old.ended(30) == 0
    assert rates(scene) == {}
    code, output = await command(scene, folder, "list", "--json")
    letters = {letter["stage"]: letter for letter in json.loads(output)}
    assert (code, set(letters)) == (0, {"normalise", "slice"})
    assert "unknown channel 'all'" in letters["normalise"]["reason"]
    both = asyncio.subprocess.STDOUT
    _, told = await command(scene, folder, "list", "--json", "--limit", "1", stderr=both)
    assert "1 older ones: --limit shows more" in told
    await asyncio.to_thread(give_up_again, scene)
    async with scene.worker(PYTHONPATH=path) as worker:
        await worker.started()
        code, _ = await command(scene, folder, "replay", "--all", code=KILLED)
        assert code == -signal.SIGKILL
        code, output = await command(scene, folder, "replay", "--all", "--json")
        assert (code, [one["outcome"] for one in json.loads(output)]) == (0, ["sent", "sent"])
        assert "0 of " in output  # of the one that the killed process had sent
        code, output = await command(scene, folder, "replay", letters["slice"]["place"])
        assert code == 0
        assert "was sent again before" in output
        code, output = await command(scene, folder, "list", "--json")
        assert [one["replay"] for one in json.loads(output)] == ["done"] * 4
        await processed(scene)
        await eventually(lambda: asyncio.to_thread(rates, scene), "rates", 10)
        worker.send(signal.SIGTERM)
        assert await worker.ended(30) == 0
    assert rates(scene) == {(BTC, 0.0001): 1, (BTC, 0.0002): 1, (PEPE, 0.0003): 1}
