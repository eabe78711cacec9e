"""Kafka, registry and ClickHouse that speak TLS and ask for a certificate: every part has one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.embedded.kafka.broker import BrokerOptions, prepare
from infra.embedded.ports import free_port
from infra.embedded.supervision.child import argv_of_child
from infra.embedded.supervision.readiness import http_ready
from schemas.config.settings import SharedSettings
from schemas.errors import ConfigurationError, UnavailableError
from schemas.topics import STATUS
from tests.integration.producers.test_startup import Ended, fundingstream
from tests.support.clickhouse_process import WRITER, Server
from tests.support.tls_case import PASSWORD, Authority, Pair, front
from tests.support.waiting import eventually, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

START_TIMEOUT_S = 60.0


def _listens_with_tls(properties: str, authority: Authority, store: Path) -> str:
    """A broker's configuration with its one listener for clients changed to TLS."""
    for plain, secure in (
        ("=PLAINTEXT://", "=SSL://"),
        ("PLAINTEXT:PLAINTEXT,", "SSL:SSL,"),
        ("inter.broker.listener.name=PLAINTEXT", "inter.broker.listener.name=SSL"),
    ):
        assert plain in properties
        properties = properties.replace(plain, secure)
    return (
        f"{properties}ssl.client.auth=required\n"
        f"ssl.keystore.type=PEM\nssl.keystore.location={store}\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={authority.ca_file}\n"
    )


@contextmanager
def secure_broker(folder: Path, authority: Authority) -> Iterator[int]:
    """Apache Kafka on a port that takes only clients with a certificate."""
    own = authority.pair("broker")
    store = folder / "broker.pem"
    store.write_bytes(own.key.read_bytes() + own.certificate.read_bytes())
    port = free_port()
    prepared = prepare(BrokerOptions(folder / "kafka", port=port))
    properties = Path(prepared.argv[-1])
    properties.write_text(_listens_with_tls(properties.read_text(), authority, store))
    with prepared.directory, (folder / "kafka.log").open("wb") as log:
        broker = subprocess.Popen(
            argv_of_child(prepared.argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[prepared.directory.descriptor],
        )
        try:
            yield port
        finally:
            broker.terminate()
            broker.wait(30)


@contextmanager
def plain_registry(folder: Path) -> Iterator[int]:
    """The registry, which speaks no TLS itself."""
    port = free_port()
    arguments = ("registry", "--port", str(port), "--data-dir", str(folder / "registry"))
    with part(folder, {}, *arguments):
        ready = http_ready(f"http://127.0.0.1:{port}/subjects")
        asyncio.run(eventually(ready, "registry", START_TIMEOUT_S))
        yield port


@contextmanager
def part(folder: Path, env: Mapping[str, str], *arguments: str) -> Iterator[None]:
    """A part in the background; it must not end by itself."""
    with (folder / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("fundingstream")), *arguments],
            cwd=folder,
            env={**_without_settings(), **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield
            assert process.poll() is None, (folder / f"{arguments[0]}.log").read_text()[-2_000:]
        finally:
            process.terminate()
            process.wait(30)


def _without_settings() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("FUNDING_")}


class Secured(NamedTuple):
    """Where everything is, with the certificate that it asks for and one that it refuses."""

    folder: Path
    env: dict[str, str]
    stranger: Pair
    foreign: Authority

    def run(self, *arguments: str, **changed: str) -> Ended:
        """Run a command to its end, with settings changed."""
        env = {**self.env, **{f"FUNDING_{name}": text for name, text in changed.items()}}
        return asyncio.run(fundingstream(*arguments, cwd=self.folder, env=env))

    def admin(self) -> Any:
        """A Kafka client of the test's own, with our certificate."""
        return AdminClient(self.settings().librdkafka())

    def settings(self) -> SharedSettings:
        """The settings as a part would read them."""
        names = {name.removeprefix("FUNDING_").lower(): text for name, text in self.env.items()}
        known = {name: names[name] for name in SharedSettings.model_fields if name in names}
        return SharedSettings(**known)  # type: ignore[arg-type]


@pytest.fixture(scope="module", name="secured")
def _secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, foreign = Authority(folder), Authority(folder, "foreign")
    ours, open_key = authority.pair("ours", PASSWORD), authority.pair("loader")
    with ExitStack() as running:
        kafka = running.enter_context(secure_broker(folder, authority))
        plain = running.enter_context(plain_registry(folder))
        registry = running.enter_context(front(authority.server("registry"), plain))
        server = Server(folder / "clickhouse")
        running.callback(server.stop)
        clickhouse = running.enter_context(front(authority.server("clickhouse"), server.port))
        found = Secured(
            folder,
            {
                "FUNDING_KAFKA_BOOTSTRAP": f"127.0.0.1:{kafka}",
                "FUNDING_KAFKA_SECURITY_PROTOCOL": "SSL",
                "FUNDING_KAFKA_SSL_CA_FILE": str(authority.ca_file),
                "FUNDING_KAFKA_SSL_CERTIFICATE_FILE": str(ours.certificate),
                "FUNDING_KAFKA_SSL_KEY_FILE": str(ours.key),
                "FUNDING_KAFKA_SSL_KEY_PASSWORD": PASSWORD,
                "FUNDING_REGISTRY_URL": f"https://127.0.0.1:{registry}",
                "FUNDING_REGISTRY_CA_FILE": str(authority.ca_file),
                "FUNDING_REGISTRY_CERTIFICATE_FILE": str(ours.certificate),
                "FUNDING_REGISTRY_KEY_FILE": str(ours.key),
                "FUNDING_REGISTRY_KEY_PASSWORD": PASSWORD,
                "FUNDING_CLICKHOUSE_URL": f"https://127.0.0.1:{clickhouse}",
                "FUNDING_CLICKHOUSE_USERNAME": WRITER[0],
                "FUNDING_CLICKHOUSE_PASSWORD": WRITER[1],
                "FUNDING_CLICKHOUSE_CA_FILE": str(authority.ca_file),
                "FUNDING_CLICKHOUSE_CERTIFICATE_FILE": str(open_key.certificate),
                "FUNDING_CLICKHOUSE_KEY_FILE": str(open_key.key),
                "FUNDING_WEB_PORT": str(free_port()),
                "FUNDING_SINK_METRICS_PORT": str(free_port()),
                "FUNDING_PRODUCER_METRICS_PORT": str(free_port()),
                "FUNDING_PRODUCER_DATA_DIR": str(folder / "producer"),
                "FUNDING_EXCHANGE_BASE_URL": "http://127.0.0.1:1",
            },
            foreign.pair("stranger"),
            foreign,
        )
        for command in ("topics", "migrate"):
            ended = found.run(command)
            assert ended.code == 0, ended.err
        yield found


def test_every_part_connects_with_its_certificate(secured: Secured) -> None:
    """Producer and sink by librdkafka, the worker by Faust's client as well, all by HTTP."""
    admin = secured.admin()

    def joined() -> bool:
        groups = admin.list_consumer_groups(request_timeout=10).result().valid
        stable = {g.group_id for g in groups if g.state == ConsumerGroupState.STABLE}
        return {"fundingstream", "fundingstream-sink"} <= stable

    def told() -> bool:
        end = consumer.get_watermark_offsets(TopicPartition(STATUS.name, 0), timeout=10)[1]
        return bool(end)

    consumer = Consumer({**secured.settings().librdkafka(), "group.id": "the-test"})
    with (
        part(secured.folder, secured.env, "worker"),
        part(secured.folder, secured.env, "sink"),
        part(secured.folder, secured.env, "producer", "backpack"),
    ):
        until(joined, "worker and sink are in their groups", START_TIMEOUT_S)
        until(told, "the producer has published its status", START_TIMEOUT_S)
    consumer.close()


REFUSED: dict[str, tuple[str, dict[str, str], type[Exception], str]] = {
    "Kafka without a certificate": (
        "topics",
        {"KAFKA_SSL_CERTIFICATE_FILE": "", "KAFKA_SSL_KEY_FILE": ""},
        UnavailableError,
        "FUNDING_KAFKA_SSL_CERTIFICATE_FILE and FUNDING_KAFKA_SSL_KEY_FILE",
    ),
    "Kafka with a stranger's": (
        "worker",
        {"KAFKA_SSL_CERTIFICATE_FILE": "{stranger.certificate}",
         "KAFKA_SSL_KEY_FILE": "{stranger.key}"},
        UnavailableError,
        "it may ask for a certificate that it trusts",
    ),
    "Kafka of another authority": (
        "producer",
        {"KAFKA_SSL_CA_FILE": "{foreign.ca_file}"},
        UnavailableError,
        "FUNDING_KAFKA_SSL_CA_FILE has to name the authority",
    ),
    "Kafka with a file that is none": (
        "sink",
        {"KAFKA_SSL_KEY_FILE": "/nowhere/key.pem"},
        ConfigurationError,
        "FUNDING_KAFKA_SSL_KEY_FILE: '/nowhere/key.pem' cannot be read",
    ),
    "a registry without a certificate": (
        "producer",
        {"REGISTRY_CERTIFICATE_FILE": "", "REGISTRY_KEY_FILE": ""},
        UnavailableError,
        "FUNDING_REGISTRY_CERTIFICATE_FILE and FUNDING_REGISTRY_KEY_FILE",
    ),
    "a registry of another authority": (
        "worker",
        {"REGISTRY_CA_FILE": "{foreign.ca_file}"},
        UnavailableError,
        "FUNDING_REGISTRY_CA_FILE has to name the authority",
    ),
    "ClickHouse without a certificate": (
        "migrate",
        {"CLICKHOUSE_CERTIFICATE_FILE": "", "CLICKHOUSE_KEY_FILE": ""},
        UnavailableError,
        "FUNDING_CLICKHOUSE_CERTIFICATE_FILE and FUNDING_CLICKHOUSE_KEY_FILE",
    ),
    "ClickHouse of another authority": (
        "migrate",
        {"CLICKHOUSE_CA_FILE": ""},
        UnavailableError,
        "FUNDING_CLICKHOUSE_CA_FILE has to name the authority",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "changed", "error", "told"), REFUSED.values(), ids=REFUSED.keys()
)
def test_who_is_refused_is_told_in_one_line(
    secured: Secured, command: str, changed: dict[str, str], error: type[Exception], told: str
) -> None:
    """Which variable to set; no traceback, and no password."""
    named = {
        name: text.format(stranger=secured.stranger, foreign=secured.foreign)
        for name, text in changed.items()
    }
    ended = secured.run(command, **named)
    assert ended.code == error.exit_code, ended.err  # type: ignore[attr-defined]
    last = ended.err.splitlines()[-1]
    assert last.startswith("fundingstream: ")
    assert told in last
    assert "Traceback" not in ended.err
    assert PASSWORD not in ended.out + ended.err
