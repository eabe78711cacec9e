"""The sink between a real broker and a real engine: each record once, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import Consumer

from benchmarks.evidence import EVERY_DUPLICATE
from infra.clickhouse.migrate import migrate
from schemas.audit_facts import NO_FACTS, fact_fields
from schemas.records import FUNDING_RATE
from schemas.serde.codec import Encoder
from schemas.topics import AUDIT, DEAD_LETTERS, RATES, SETTLEMENTS, STATUS, ZSCORES
from tests.support.sink_stack import ClickHouseServer, Kafka, SinkProcess, rate, settlement, zscore
from tests.support.waiting import until

pytestmark = pytest.mark.integration

# Kills itself at the second commit: the first writes the plan, the second comes after the INSERT.
KILLED_BEFORE_COMMIT = """
import os, signal
from stream_app.sink.consumer import Sink
commit, calls = Sink._commit, []
def killed(self, offsets):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, offsets)
Sink._commit = killed
from infra.cli.sink import sink
from tests.support.waiting import until
sink()
"""


class Stack:
    """Everything around the sink."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kafka = Kafka(directory)
        self.clickhouse = ClickHouseServer(directory)
        self.sinks: list[SinkProcess] = []
        self.next_number = 0

    def sink(self, code: str = "") -> SinkProcess:
        """Start a sink."""
        self.sinks.append(SinkProcess(self.directory, self.kafka, self.clickhouse, code))
        return self.sinks[-1]

    def rates(self, count: int) -> None:
        """Publish that many updates that are not there yet."""
        first, self.next_number = self.next_number, self.next_number + count
        self.kafka.publish(RATES, [rate(n) for n in range(first, self.next_number)])

    def stored(self, table: str = "rates") -> int:
        """Count rows as they are, without FINAL."""
        return int(self.clickhouse.rows(f"SELECT count() FROM funding.{table}")[0][0])

    def all_rates_stored(self) -> bool:
        """Whether each published update is a row."""
        return self.stored() >= self.next_number

    def assert_exact(self) -> None:
        """Each update is stored once, without and with FINAL, and nothing is a duplicate."""
        assert self.stored() == self.next_number
        assert self.stored("rates FINAL") == self.next_number
        assert self.clickhouse.rows(EVERY_DUPLICATE) == []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Broker, registry and ClickHouse for the module."""
    whole = Stack(tmp_path_factory.mktemp("sink"))
    try:
        whole.clickhouse.start()
        whole.kafka.wait()
        whole.clickhouse.empty()
        yield whole
    finally:
        for sink in whole.sinks:
            sink.stop(signal.SIGKILL)
        whole.clickhouse.stop()
        whole.kafka.stop()


@pytest.fixture(autouse=True)
def _no_sink_left(stack: Stack) -> Iterator[None]:
    yield
    for sink in stack.sinks:
        sink.stop(signal.SIGKILL)
    stack.sinks.clear()


def test_records_of_every_kind_arrive_once_and_a_signal_ends_it(stack: Stack) -> None:
    """SIGTERM stores and commits what is held, and exits 0; the next sink begins after it."""
    sink = stack.sink()
    now = rate(0)["event_time"]
    stack.rates(500)
    stack.kafka.publish(ZSCORES, [zscore(n) for n in range(200)])
    stack.kafka.publish(SETTLEMENTS, [settlement(n) for n in range(30)])
    nothing = dict.fromkeys(("raw_topic", "raw_partition", "raw_offset", "raw_item"))
    stack.kafka.publish(
        AUDIT,
        [
            {"subject": "kucoin", "kind": "failover", "count": 1, "first_event_time": now,
             "last_event_time": now, "detail": "stalled", **nothing, **fact_fields(NO_FACTS)}
        ],
    )  # fmt: skip
    status: dict[str, Any] = {
        "feed": "kucoin", "state": "fallback", "transport": None, "since": now, "detail": "",
        "reported_at": now, "last_data_at": None, "mode": "hybrid",
    }  # fmt: skip
    numbers = dict.fromkeys(
        (
            *("contracts_expected", "contracts_live", "connections", "connects", "frames"),
            *("updates", "rest_calls", "backfill_done"),
        ),
        1,
    ) | {"contracts_by_rest": 2, "connect_attempts": 3, "rest_failures": 4, "repeated": 5}
    status |= {"simulated": True, "limit_used": 0.25}
    stack.kafka.publish(STATUS, [{**status, **numbers}])
    until(stack.all_rates_stored, "the rates are stored")
    until(lambda: stack.stored("settlements") >= 30, "the settlements are stored")
    until(lambda: stack.stored("feeds") >= 1, "the status is stored")
    until(lambda: stack.stored("audit") >= 1, "the audit event is stored")
    until(lambda: stack.stored("zscores") >= 200, "the z-scores are stored")
    until(lambda: sink.metric("fundingstream_sink_rows_total", table="rates") == 500, "metrics")
    assert sink.metric("fundingstream_sink_latency_seconds_count", table="rates") == 500
    assert sink.stop() == 0
    second = stack.sink()
    stack.rates(10)
    until(stack.all_rates_stored, "the next sink goes on")
    assert second.stop() == 0
    stack.assert_exact()
    new = "mode, contracts_by_rest, connect_attempts, rest_failures, repeated"
    assert stack.clickhouse.rows(f"SELECT feed, state, transport, {new} FROM funding.feeds") == [
        ("kucoin", "fallback", None, "hybrid", 2, 3, 4, 5)
    ]


def test_killed_between_insert_and_commit_stores_nothing_twice(stack: Stack) -> None:
    """The restarted sink repeats the planned chunk under its token, whatever came meanwhile."""
    stack.rates(300)
    killed = stack.sink(KILLED_BEFORE_COMMIT)
    until(lambda: killed.process.poll() is not None, "the sink kills itself")
    assert killed.process.returncode == -signal.SIGKILL
    assert stack.stored() > stack.next_number - 300
    stack.rates(300)
    sink = stack.sink()
    until(stack.all_rates_stored, "everything is stored")
    assert "1 unconfirmed chunks to repeat" in sink.log.read_text()
    until(lambda: sink.metric("fundingstream_sink_lag", topic=RATES.name) == 0, "no lag")
    assert sink.stop() == 0
    stack.assert_exact()


def test_clickhouse_killed_for_a_while_loses_nothing(stack: Stack) -> None:
    """The sink waits, keeps its membership, and goes on by itself."""
    sink = stack.sink()
    stack.rates(200)
    until(stack.all_rates_stored, "the first rates are stored")
    stack.clickhouse.stop(signal.SIGKILL)
    stack.rates(200)
    until(lambda: sink.metric("fundingstream_sink_retries_total", table="rates") >= 2, "retries")
    stack.rates(200)
    stack.clickhouse.start()
    until(stack.all_rates_stored, "all rates are stored", 30)
    assert sink.stop() == 0
    stack.assert_exact()


def test_poison_goes_to_the_dead_letters_and_the_rest_is_stored(stack: Stack) -> None:
    """The original bytes, with where they were and what is wrong with them."""
    sink = stack.sink()
    encoder: Encoder = stack.kafka.catalog.encoder(RATES)
    good = [encoder.encode(rate(stack.next_number + n)) for n in range(20)]
    stack.next_number += 20
    poison = [b"\x00\x00\x00\x00\x01cut", b"{}", Encoder(FUNDING_RATE, 9_999).encode(rate(1))]
    key = "binance-usdm:POISON"
    stack.kafka.publish_raw(RATES, [(key, v) for v in (*good[:10], *poison, *good[10:])])
    letters = dead_letters(stack, len(poison))
    assert {letter.value() for letter in letters} == set(poison)
    for letter in letters:
        headers = dict(letter.headers())
        assert letter.key() == key.encode()
        assert headers["stage"] == b"sink"
        assert headers["source_topic"] == RATES.name.encode()
        assert headers["error"]
    until(stack.all_rates_stored, "the rest is stored")
    assert sink.stop() == 0
    stack.assert_exact()


def test_a_letter_that_is_sent_again_is_stored_once(stack: Stack) -> None:
    """The registry lacks its schema, then has it, and the letter is replayed twice: one row."""
    sink = stack.sink()
    coming = registered(stack, "other-value", '"string"') + 1
    value = Encoder(FUNDING_RATE, coming).encode(rate(stack.next_number, rate=0.75))
    key = "binance-usdm:LATER"
    stack.kafka.publish_raw(RATES, [(key, value)])
    reason = f"schema {coming} is unknown"
    letters = until(
        lambda: json.loads(replays(stack, "list", "--reason", reason, "--json")), "it is given up"
    )
    assert [(one["stage"], one["key"]) for one in letters] == [("sink", key)]
    later = json.loads(FUNDING_RATE.text) | {"doc": "Registered later."}
    assert registered(stack, RATES.subject, json.dumps(later)) == coming
    place = letters[0]["place"]
    assert json.loads(replays(stack, "show", place, "--json"))["decoded"]["rate"] == 0.75
    assert "would send 1 record to funding.rates" in replays(stack, "replay", place, "--dry-run")
    stack.next_number += 1
    assert "sent 1 record to funding.rates" in replays(stack, "replay", place)
    until(stack.all_rates_stored, "it is stored")
    assert "nothing to do" in replays(stack, "replay", place)
    until(lambda: sink.metric("fundingstream_sink_lag", topic=RATES.name) == 0, "no lag")
    assert sink.stop() == 0
    stack.assert_exact()


def registered(stack: Stack, subject: str, schema: str) -> int:
    """Register a schema; return the id that the registry gives it, one more than the last."""
    url = f"{stack.kafka.settings.registry_url}/subjects/{subject}/versions"
    reply = requests.post(url, json={"schema": schema}, timeout=5)
    return int(reply.json()["id"])


def replays(stack: Stack, *arguments: str) -> str:
    """Output of `fundingstream dead-letters …`, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "dead-letters", *arguments],
        env={**os.environ, **stack.kafka.env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_dropped_table_is_waited_for_and_nothing_is_lost(stack: Stack) -> None:
    """It says migrate, commits nothing, and goes on by itself when the table is there again."""
    sink = stack.sink()
    before = len(sink.log.read_text())
    stack.rates(200)
    until(stack.all_rates_stored, "the first rates are stored")
    until(lambda: sink.metric("fundingstream_sink_lag", topic=RATES.name) == 0, "no lag")
    stack.clickhouse.rows("DROP TABLE funding.rates")
    dropped, stack.next_number = stack.next_number, 0
    stack.kafka.publish(RATES, [rate(n) for n in range(dropped, dropped + 300)])
    until(lambda: sink.metric("fundingstream_sink_retries_total", table="rates") >= 3, "retries")
    assert sink.metric("fundingstream_sink_waiting", cause="missing") == 1
    assert migrate(stack.clickhouse.settings).made == ["funding.rates"]
    stack.next_number = 300
    until(stack.all_rates_stored, "what came meanwhile is stored", 30)
    until(lambda: sink.metric("fundingstream_sink_waiting", cause="missing") == 0, "it goes on")
    assert sink.stop() == 0
    log = sink.log.read_text()[before:]
    assert log.count("run `fundingstream migrate`") == 1
    assert log.count("the sink goes on") == 1
    stack.assert_exact()


def test_a_sink_that_starts_without_a_table_waits_for_it(stack: Stack) -> None:
    """It ends by a signal as any other, and stores when the table has come."""
    stack.clickhouse.rows("DROP TABLE funding.rates")
    sink = stack.sink()
    before = len(sink.log.read_text())
    until(lambda: "fundingstream migrate" in sink.log.read_text()[before:], "it says what to do")
    assert sink.metric("fundingstream_sink_waiting", cause="clickhouse") == 1
    migrate(stack.clickhouse.settings)
    stack.kafka.publish(RATES, [rate(stack.next_number + n) for n in range(50)])
    until(lambda: stack.stored() == 50, "the rates are stored", 30)
    assert sink.stop() == 0


def dead_letters(stack: Stack, count: int) -> list[Any]:
    """Read that many dead letters."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka.settings.kafka_bootstrap,
            "group.id": "dead-letters",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([DEAD_LETTERS.name])
    found: list[Any] = []

    def enough() -> bool:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            found.append(message)
        return len(found) >= count

    try:
        until(enough, "dead letters")
    finally:
        consumer.close()
    return found
