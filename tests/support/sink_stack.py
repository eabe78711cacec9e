"""Real processes for the sink's tests: broker, registry, ClickHouse, and the sink itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests
from confluent_kafka import KafkaException, Producer
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from infra.clickhouse.migrate import migrate
from infra.embedded.clickhouse.access import WRITER_NAME, WRITER_VARIABLE
from infra.embedded.ports import free_port
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.kafka.admin import ensure_topics
from schemas.partitioning import partition_of
from schemas.records import SETTLEMENT, ZSCORE
from schemas.serde.codec import HEADER_BYTES, Encoder
from schemas.serde.registry import SchemaCatalog
from schemas.topics import MAX_MESSAGE_BYTES, OUTPUT_TOPICS, TopicSpec, all_topics
from stream_app.settings import SinkSettings
from stream_app.sink.avro_container import container, container_header
from stream_app.sink.clickhouse import connect, insert_settings
from stream_app.sink.tables import TABLES
from tests.support.waiting import until

START_TIMEOUT_S = 40.0


class Part:
    """One process; its output goes to a file."""

    def __init__(self, name: str, argv: list[str], log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *argv], stdout=out, stderr=out, env={**os.environ, **env}
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal this process and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(5)

    def answers(self, url: str) -> bool:
        """Whether an HTTP GET works; fails at once when the process has ended."""
        assert self.process.poll() is None, f"{self.name} ended: {self.log.read_text()[-2000:]}"
        try:
            return requests.get(url, timeout=1).ok
        except requests.RequestException:
            return False


class ClickHouseServer:
    """The embedded server, which tests may kill and start again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.settings = SinkSettings(
            clickhouse_url=f"http://127.0.0.1:{self.port}",
            clickhouse_username=WRITER_NAME,
            clickhouse_password=SecretStr("s3cret-of-tests"),
            clickhouse_timeout_s=20,
        )
        self.part: Part | None = None

    @property
    def writer_env(self) -> dict[str, str]:
        """The variables that make a process the writer, and the server know it."""
        return {
            "FUNDING_CLICKHOUSE_USERNAME": self.settings.clickhouse_username,
            WRITER_VARIABLE: self.settings.clickhouse_password.get_secret_value(),
        }

    def start(self, code: str = "") -> None:
        """Start the server, by this Python code if there is any, and wait until it answers."""
        arguments = ["--port", str(self.port), "--data-dir", str(self.directory / "clickhouse")]
        part = self.part = Part(
            "clickhouse",
            [*(("-c", code) if code else ("-m", "infra.cli")), "clickhouse", *arguments],
            self.directory / "clickhouse.log",
            # A machine in another zone, which must show nowhere.
            {**self.writer_env, "TZ": "America/New_York"},
        )
        url = f"{self.settings.clickhouse_url}/ping"
        until(lambda: part.answers(url), "ClickHouse answers", START_TIMEOUT_S)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop or kill the server."""
        assert self.part is not None
        self.part.stop(number)

    def empty(self) -> None:
        """Drop everything and migrate anew."""
        self.rows("DROP DATABASE IF EXISTS funding")
        migrate(self.settings)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query, return its rows."""
        client = connect(self.settings)
        try:
            return list(client.query(query).result_rows)
        finally:
            client.close()


def insert(clickhouse: ClickHouseServer, table_name: str, *records: Any, token: str = "") -> None:
    """Insert records as the sink does."""
    table = next(t for t in TABLES if t.name == table_name)
    encoder = Encoder(table.record_type, 1)
    data = container(
        container_header(table.record_type.text),
        [encoder.encode(r)[HEADER_BYTES:] for r in records],
    )
    client = connect(clickhouse.settings)
    client.raw_insert(
        table.full_name, list(table.record_type.fields), data, fmt="Avro",
        settings=insert_settings(client) | ({"insert_deduplication_token": token} if token else {}),
    )  # fmt: skip
    client.close()


class SinkProcess(Part):
    """A sink with a static membership, so that a killed one is replaced at once."""

    def __init__(
        self,
        directory: Path,
        kafka: Kafka,
        clickhouse: ClickHouseServer,
        code: str = "",
        instance: str = "sink-1",
    ) -> None:
        self.metrics_port = free_port()
        env = {
            **kafka.env,
            **clickhouse.writer_env,
            "FUNDING_CLICKHOUSE_URL": clickhouse.settings.clickhouse_url,
            "FUNDING_CLICKHOUSE_TIMEOUT_S": "5",
            "FUNDING_SINK_METRICS_PORT": str(self.metrics_port),
            "FUNDING_SINK_BATCH_AGE_S": "0.3",
        }
        argv = ["-c", code] if code else ["-m", "infra.cli", "sink"]
        super().__init__("sink", [*argv, "--instance", instance], directory / "sink.log", env)

    def metric(self, name: str, **labels: str) -> float:
        """Read one sample; 0 while the sink does not serve it."""
        try:
            text = requests.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=1).text
        except requests.RequestException:
            return 0.0
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0


class Kafka:
    """Broker and registry."""

    def __init__(self, directory: Path) -> None:
        self.port, self.registry_port = free_port(), free_port()
        self.env = {
            "FUNDING_KAFKA_BOOTSTRAP": f"127.0.0.1:{self.port}",
            "FUNDING_REGISTRY_URL": f"http://127.0.0.1:{self.registry_port}",
        }
        self.parts = [
            Part(
                name,
                [
                    *("-m", "infra.cli", name, "--port", str(port)),
                    *("--data-dir", str(directory / name)),
                ],
                directory / f"{name}.log",
                {},
            )
            for name, port in (("broker", self.port), ("registry", self.registry_port))
        ]
        self.settings = SinkSettings(
            kafka_bootstrap=self.env["FUNDING_KAFKA_BOOTSTRAP"],
            registry_url=self.env["FUNDING_REGISTRY_URL"],
        )

    def wait(self) -> None:
        """Wait until both answer, then create topics and schemas."""
        url = f"{self.settings.registry_url}/subjects"
        until(lambda: self.parts[1].answers(url), "the registry answers", START_TIMEOUT_S)
        until(self._topics, "the broker has the topics", START_TIMEOUT_S)
        self.catalog = SchemaCatalog(self.settings)
        for topic in OUTPUT_TOPICS:
            self.catalog.register(topic)

    def _topics(self) -> bool:
        try:
            ensure_topics(self.settings, all_topics(), timeout_s=5)
        except (UnavailableError, KafkaException):
            assert self.parts[0].process.poll() is None, self.parts[0].log.read_text()[-2000:]
            return False
        return True

    def stop(self) -> None:
        """Stop both."""
        for part in reversed(self.parts):
            part.stop()

    def publish(self, topic: TopicSpec, records: list[dict[str, Any]]) -> None:
        """Publish records as the worker does."""
        encoder = self.catalog.encoder(topic)
        self.publish_raw(topic, [(encode_key(r), encoder.encode(r)) for r in records])

    def publish_raw(self, topic: TopicSpec, values: list[tuple[str, bytes]]) -> None:
        """Publish bytes under contract ids."""
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "linger.ms": 2,
                "message.max.bytes": MAX_MESSAGE_BYTES,
            }
        )
        for key, value in values:
            producer.produce(
                topic.name, value, key.encode(), partition=partition_of(key, topic.partitions)
            )
        assert producer.flush(15) == 0


def encode_key(record: dict[str, Any]) -> str:
    """Return the Kafka key of a record."""
    return str(record.get("contract_id") or record.get("subject") or record["feed"])


_CONTRACT = {"feed": "binance-usdm", "base": "BTC", "rate": 1e-4, "interval_hours": 8.0}
_CONTRACT |= {"rate_8h": 1e-4, "apr": 0.1095, "transport": "ws"}
_COORDINATES = {"raw_topic": "funding.raw.binance-usdm", "raw_partition": 3}


def rate(number: int, **changes: Any) -> dict[str, Any]:
    """Return the update with this number, of one of 50 contracts."""
    symbol, now = f"S{number % 50}USDT", now_us()
    return {
        **_CONTRACT, **_COORDINATES, "contract_id": f"binance-usdm:{symbol}", "symbol": symbol,
        "quote": "USDT", "multiplier": 1.0, "interval_source": "payload", "mark_price": 5e4,
        "index_price": None, "next_funding_time": now + 3_600_000_000, "event_time": now + number,
        "event_time_source": "exchange", "received_at": now, "late": False, "out_of_range": False,
        "raw_offset": number // 90, "raw_item": number % 90, "interval_doubtful": False,
        "rate_kind": "estimate",
    } | changes  # fmt: skip


def zscore(number: int, **changes: Any) -> dict[str, Any]:
    """Return the z-score of the update with this number."""
    score = {
        "z": 0.5, "robust_z": None, "percentile": 0.7, "mean": 9e-5, "std": 2e-5, "samples": 90,
        "confidence": "high", "stats_as_of": None, "zone": "normal", "trigger": "flush",
        "crossed": None, "computed_at": now_us(), "generation": 1,
    }  # fmt: skip
    record = {**rate(number), **score, **changes}
    return {field: record[field] for field in ZSCORE.fields}


def settlement(number: int, **changes: Any) -> dict[str, Any]:
    """Return a settlement, 8 h before the one with the number before."""
    now = now_us()
    hours = {"funding_time": now - number * 28_800_000_000, "funding_time_raw": now + 5}
    told = {"source": "history", "kind": "regular", "generation": 1}
    record = {**rate(number), **hours, **told, **changes}
    return {field: record[field] for field in SETTLEMENT.fields}


def facts(contract_id: str, **changes: Any) -> dict[str, Any]:
    """Return the facts of a contract, of which a million is traded a day."""
    feed, _, symbol = contract_id.partition(":")
    now = now_us()
    return {
        **_COORDINATES, "contract_id": contract_id, "feed": feed, "symbol": symbol,
        "base": symbol[:1], "quote": "USDT", "multiplier": 1.0, "status": "trading",
        "status_word": "TRADING", "interval_hours": 8.0, "rate_cap": 0.02, "rate_floor": -0.02,
        "listed_at": None, "rate_kind": "estimate", "turnover_24h": 1e6, "turnover_at": now,
        "open_interest": 3e5, "open_interest_at": now, "updated_at": now, "raw_offset": 4,
        "raw_item": 1,
    } | changes  # fmt: skip


def bar(contract_id: str, hour_us: int, **changes: Any) -> dict[str, Any]:
    """Return the bar of a contract's hour, of which all is known."""
    feed, _, symbol = contract_id.partition(":")
    return {
        "contract_id": contract_id, "feed": feed, "symbol": symbol, "base": "PEPE",
        "hour": hour_us, "open": 1e-4, "high": 3e-4, "low": -1e-4, "close": 2e-4, "mean": 1e-4,
        "std": 0.0, "covered_s": 3_600.0, "updates": 7, "late_updates": 1, "z_min": -0.5,
        "z_max": 1.5, "z_close": 1.25, "interval_hours": 8.0, "mark_close": 40.0, "ws_s": 3_000.0,
        "rest_s": 600.0,
    } | changes  # fmt: skip
