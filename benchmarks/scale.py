"""CPU time of an update, and memory of a contract, with 1,000 to 100,000 contracts in one process.

The worker's processing runs in a process of its own without Faust (benchmarks/in_process.py): Avro,
core, outputs and changelogs to Apache Kafka are real. Contracts are listed, given 100 settlements
each, and loaded as after a restart; then each has an update a second for twelve seconds at least,
in records of 63, and what changed is made durable after each second. Memory is what the process has
grown by (RSS), the tables included: after loading, and after the updates. CPU is that of the
processing thread and, in brackets, of the whole process with librdkafka's threads.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import multiprocessing
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.in_process import CHANGELOG, Cpu, InProcess, Raw
from benchmarks.load import FEED, Instrument, facts_batches, history_batches, market, update_batch
from benchmarks.platform import platform
from benchmarks.running import progress
from benchmarks.tables import Aim, table
from schemas.clock import now_us
from schemas.config.settings import load_settings
from schemas.errors import UnavailableError
from schemas.partitioning import PARTITIONS
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_HOUR, US_PER_MS, US_PER_S, hour_floor
from schemas.topics import raw_topic, raw_topic_spec
from stream_app.settings import WorkerSettings

TITLE = "Cost against the number of contracts"
BOUND_S = 900.0
CONTRACTS = (1_000, 3_000, 10_000, 30_000, 100_000)
QUICK = (200, 400)
PER_RECORD = 63
UPDATES = 100_000
"""Measured for each number of contracts, rounded up to whole seconds."""
MIN_ROUNDS = 12
"""Seconds at least: flushes each 5 s, and updates that wait for their bar, are part of the cost."""
QUICK_UPDATES = 1_000
WARM_UP_ROUNDS = 2
FACTS_AT_ONCE = 500
DISTINCT = 1_000
"""Contracts with settlements of their own; the others have those of one of these."""
LINEAR = 1.5
"""At 100,000 contracts an update may cost so many times what it costs at 1,000, at most."""
_CHILD_S = 600.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--contracts", type=int, nargs="+", help=f"numbers of contracts {CONTRACTS}"
    )


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure each number of contracts in a process of its own."""
    numbers = given.contracts or (QUICK if given.quick else CONTRACTS)
    updates = QUICK_UPDATES if given.quick else UPDATES
    found: dict[str, Any] = {}
    async with platform() as servers:
        await asyncio.to_thread(servers.create, [CHANGELOG])
        settings = servers.settings
        addresses = (settings.kafka_bootstrap, settings.registry_url)
        for number in numbers:
            each = -(-number // PARTITIONS)
            path = servers.directory / f"tables-{number}"
            await asyncio.to_thread(_in_child, _prepare, addresses, each, path)
            figures = await asyncio.to_thread(_in_child, _measure, addresses, each, path, updates)
            found[str(each * PARTITIONS)] = figures
            progress(f"{each * PARTITIONS} contracts: {figures}")
    return {"contracts": found}


def _in_child(work: Any, *arguments: Any) -> Any:
    """Run a function in a new process, so that its memory is its own, and return its result.

    Raises:
        UnavailableError: it has failed, or takes too long.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, work, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_CHILD_S):
            raise UnavailableError("a measurement takes too long")
        return ours.recv()
    except EOFError:
        raise UnavailableError("a measurement has failed; what it said is above") from None
    finally:
        process.kill()
        process.join()


def _child(pipe: Any, work: Any, arguments: Sequence[Any]) -> None:
    pipe.send(asyncio.run(work(*arguments)))


class _Input:
    """Encodes raw records with the offsets that a log would give them."""

    def __init__(self, registry: str) -> None:
        settings = load_settings(WorkerSettings, registry_url=registry)
        self._encode = SchemaCatalog(settings).encoder(raw_topic_spec(FEED)).encode
        self.offsets = [0] * PARTITIONS

    def record(self, partition: int, batch: Any) -> Raw:
        """Return a batch as the next record of its partition."""
        offset = self.offsets[partition]
        self.offsets[partition] += 1
        return Raw(partition, offset, self._encode(batch))

    def round(self, contracts: Sequence[Sequence[Instrument]], second: int) -> list[Raw]:
        """Return the records of one second: an update of each contract."""
        event_ms = second * 1_000
        received_at = event_ms * US_PER_MS + 60_000
        return [
            self.record(p, update_batch(part[i : i + PER_RECORD], event_ms, received_at))
            for p, part in enumerate(contracts)
            for i in range(0, len(part), PER_RECORD)
        ]


def _first_second() -> int:
    """Return the coming full hour, in seconds: no hour ends within a measurement."""
    return (hour_floor(now_us()) + US_PER_HOUR) // US_PER_S


async def _prepare(addresses: tuple[str, str], each: int, path: Path) -> None:
    """Write the tables of a worker that knows `each` contracts a partition, with settlements.

    The settlements are those of one contract, which is enough for what they cost.
    """
    contracts = market(each, distinct=DISTINCT)
    given = _Input(addresses[1])
    received_at = _first_second() * US_PER_S
    work = InProcess(*addresses, raw_topic(FEED), {}, {})
    work.assign(PARTITIONS)
    model = contracts[0][0]
    for partition, part in enumerate(contracts):
        chunks = (part[i : i + FACTS_AT_ONCE] for i in range(0, len(part), FACTS_AT_ONCE))
        batches = [each for chunk in chunks for each in facts_batches(chunk, received_at)]
        if partition == 0:
            batches += history_batches([model], received_at)
        await work.feed([given.record(partition, batch) for batch in batches])
    await work.flush()
    baseline = work.baselines.data[model.contract_id.encode()]
    baselines = {one.contract_id.encode(): baseline for part in contracts for one in part}
    written = pickle.dumps((work.contracts.data, baselines, given.offsets))
    await asyncio.to_thread(path.write_bytes, written)


async def _measure(
    addresses: tuple[str, str], each: int, path: Path, updates: int
) -> dict[str, Any]:
    contracts = market(each, distinct=DISTINCT)
    number = each * PARTITIONS
    given = _Input(addresses[1])
    second = _first_second() + 1
    before_mb = _memory_mb()
    blocks, baselines, given.offsets = pickle.loads(await asyncio.to_thread(path.read_bytes))
    # Each contract's bytes are its own, as Faust reads them from the changelog.
    baselines = {key: bytes(bytearray(value)) for key, value in baselines.items()}
    work = InProcess(*addresses, raw_topic(FEED), blocks, baselines)
    work.assign(PARTITIONS)
    loaded_mb = _memory_mb()
    for _ in range(WARM_UP_ROUNDS):
        await work.feed(given.round(contracts, second))
        await work.flush()
        second += 1
    rounds = max(MIN_ROUNDS, -(-updates // number))
    spent = Cpu(0.0, 0.0)
    for _ in range(rounds):
        records = given.round(contracts, second)
        second += 1
        begun = Cpu.now()
        await work.feed(records)
        await work.flush()
        used = Cpu.now().since(begun, number * rounds)
        spent = Cpu(spent.thread_s + used.thread_s, spent.process_s + used.process_s)
        del records
    counts: dict[str, int] = dict(work.processor.counts)
    for state in work.processor.partitions():
        for kind, n in state.counts.items():
            counts[kind] = counts.get(kind, 0) + n
    done = counts.get("accepted", 0)
    if done != number * (rounds + WARM_UP_ROUNDS):
        raise UnavailableError(f"{done} updates of {number} contracts were accepted: {counts}")
    return {
        "updates": number * rounds,
        "thread_us": round(spent.thread_s, 2),
        "process_us": round(spent.process_s, 2),
        "loaded_bytes": round((loaded_mb - before_mb) * 2**20 / number),
        "bytes": round((_memory_mb() - before_mb) * 2**20 / number),
        "grown_mb": round(_memory_mb() - before_mb),
    }


def _memory_mb() -> float:
    """Return the memory of this process after everything that is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return float(psutil.Process().memory_info().rss / 2**20)


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as a table."""
    head = [
        "contracts", "µs an update (process)", "bytes a contract, loaded",
        "after updates", "all together, MB", "updates",
    ]  # fmt: skip
    rows = [
        [
            f"{int(number):,}",
            f"{found['thread_us']:.1f} ({found['process_us']:.1f})",
            f"{found['loaded_bytes']:,}",
            f"{found['bytes']:,}",
            f"{found['grown_mb']:,}",
            f"{found['updates']:,}",
        ]
        for number, found in figures["contracts"].items()
    ]
    return "\n\n".join([table(head, rows), _slope(figures["contracts"])])


def _slope(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Say what one more contract costs: between the fewest and the most, without what is fixed."""
    if len(found) < 2:
        return ""
    fewest, most = min(found, key=int), max(found, key=int)
    more = int(most) - int(fewest)
    grown_mb = found[most]["grown_mb"] - found[fewest]["grown_mb"]
    each = round(grown_mb * 2**20 / more)
    return f"From {int(fewest):,} to {int(most):,}: {each:,} bytes for each further contract."


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    by_number = {int(number): found for number, found in figures["contracts"].items()}
    fewest, most = by_number[min(by_number)], by_number[max(by_number)]
    cpu = most["thread_us"] / fewest["thread_us"]
    what = f"an update at {max(by_number):,} contracts as a multiple of one at {min(by_number):,}"
    measured = f"{cpu:.2f} ×, {most['grown_mb']:,} MB"
    return [Aim(what, f"≤ {LINEAR:g} × (linear)", measured, cpu <= LINEAR)]
