"""The sink between a real broker and a real engine: each record once, whatever is killed."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from infra.clickhouse.migrate import migrate
from schemas.audit_facts import NO_FACTS, fact_fields
from schemas.records import FUNDING_RATE
from schemas.serde.codec import Encoder
from schemas.topics import (
    AUDIT,
    MAX_MESSAGE_BYTES,
    RATES,
    SETTLEMENTS,
    STATUS,
    ZSCORES,
)
from tests.support.sink_scene import Stack, SteadyRates, dead_letters, registered, replays
from tests.support.sink_stack import (
    encode_key,
    rate,
    settlement,
    zscore,
)
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
sink()
"""


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
    status |= {"simulated": True, "limit_used": 0.25, "contracts_quiet": 6}
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
    new = "mode, contracts_by_rest, connect_attempts, rest_failures, repeated, contracts_quiet"
    assert stack.clickhouse.rows(f"SELECT feed, state, transport, {new} FROM funding.feeds") == [
        ("kucoin", "fallback", None, "hybrid", 2, 3, 4, 5, 6)
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


def test_killed_at_random_moments_stores_each_row_once(stack: Stack) -> None:
    """The only sink finds each unconfirmed chunk; no merge hides what is stored twice."""
    setting = "max_bytes_to_merge_at_max_space_in_pool"
    stack.clickhouse.rows(f"ALTER TABLE funding.rates MODIFY SETTING {setting} = 1")
    chance = random.Random(1)
    sink = stack.sink()
    with SteadyRates(stack):
        for _ in range(4):
            enough = stack.stored() + chance.randrange(1, 1_000)
            until(partial(stack.has_stored, enough), "some rows are stored", 30)
            sink.stop(signal.SIGKILL)
            sink = stack.sink()
    until(stack.all_rates_stored, "everything is stored", 30)
    until(lambda: sink.metric("fundingstream_sink_lag", topic=RATES.name) == 0, "no lag")
    assert sink.stop() == 0
    stack.clickhouse.rows(f"ALTER TABLE funding.rates RESET SETTING {setting}")
    stack.assert_exact()


def test_two_sinks_share_the_work_and_a_killed_one_loses_nothing(stack: Stack) -> None:
    """The other takes over its partitions; what both have stored is one row for each reader."""
    one, two = stack.sink(), stack.sink(instance="sink-2")
    before = stack.next_number

    def both_store() -> bool:
        stack.rates(50)
        names = ("fundingstream_sink_rows_total", "rates")
        return all(sink.metric(names[0], table=names[1]) > 0 for sink in (one, two))

    until(both_store, "each of the two stores rates", 30)
    stack.rates(500)
    two.stop(signal.SIGKILL)
    stack.rates(500)
    stored = "SELECT uniqExact(raw_offset, raw_item) FROM funding.rates"
    until(lambda: stack.clickhouse.rows(stored) == [(stack.next_number,)], "all is stored", 40)
    assert stack.next_number >= before + 1_000
    assert stack.stored("rates FINAL") == stack.next_number
    assert one.stop() == 0


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
    """The original bytes, with where they were and what is wrong with them.

    Of a record that is as large as the topic takes, the beginning: a letter has headers as well.
    """
    sink = stack.sink()
    encoder: Encoder = stack.kafka.catalog.encoder(RATES)
    good = [encoder.encode(rate(stack.next_number + n)) for n in range(20)]
    stack.next_number += 20
    poison = [b"\x00\x00\x00\x00\x01cut", b"{}", Encoder(FUNDING_RATE, 9_999).encode(rate(1))]
    large = random.Random(1).randbytes(MAX_MESSAGE_BYTES - 200)
    key = "binance-usdm:POISON"
    stack.kafka.publish_raw(RATES, [(key, v) for v in (*good[:10], large, *poison, *good[10:])])
    letters = dead_letters(stack, len(poison) + 1)
    (cut,) = [letter for letter in letters if "truncated_from_bytes" in dict(letter.headers())]
    assert large.startswith(cut.value())
    assert {letter.value() for letter in letters} - {cut.value()} == set(poison)
    for letter in letters:
        headers = dict(letter.headers())
        assert letter.key() == key.encode()
        assert headers["stage"] == b"sink"
        assert headers["source_topic"] == RATES.name.encode()
        assert headers["error"]
    until(stack.all_rates_stored, "the rest is stored")
    assert sink.stop() == 0
    stack.assert_exact()


def test_one_unreadable_value_in_ten_thousand_costs_no_other_row(stack: Stack) -> None:
    """9,999 rows, and one dead letter with the reason."""
    stack.clickhouse.rows("TRUNCATE TABLE funding.rates")
    encoder: Encoder = stack.kafka.catalog.encoder(RATES)
    records = [rate(n) for n in range(10_000)]
    values = [(encode_key(record), encoder.encode(record)) for record in records]
    key, value = values.pop()
    values.insert(5_000, (key, value[:-4]))
    stack.kafka.publish_raw(RATES, values)
    stack.next_number = 9_999
    sink = stack.sink()
    (letter,) = dead_letters(stack, 1)
    assert letter.value() == value[:-4]
    assert dict(letter.headers())["error"].startswith(b"not a FundingRate")
    until(stack.all_rates_stored, "the others are stored", 30)
    until(lambda: sink.metric("fundingstream_sink_lag", topic=RATES.name) == 0, "no lag")
    name = "fundingstream_sink_dead_letters_total"
    assert sink.metric(name, table="rates", reason="malformed") == 1
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
