"""The embedded broker with the clients of the project: aiokafka (the worker) and librdkafka."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import kafka_ready
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

START_TIMEOUT_S = 90.0
CLIENT_TIMEOUT_S = 20.0
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java")


def command(port: int, data_dir: Path, *more: str) -> list[str]:
    """The broker's command line."""
    base = [sys.executable, "-m", "infra.cli", "broker"]
    return [*base, "--port", str(port), "--data-dir", str(data_dir), *more]


class Broker:
    """One running broker: our process and, under it, Kafka's."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir = data_dir
        self.port = port
        self.servers = f"127.0.0.1:{port}"

    def start(self) -> None:
        """Starts Kafka and waits until it serves."""
        argv = command(self.port, self.data_dir, "--engine", "kafka")
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        check = kafka_ready("127.0.0.1", self.port)
        asyncio.run(eventually(check, "broker", START_TIMEOUT_S))

    def create(self, topic: str, partitions: int = 1) -> None:
        """Makes a topic."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        futures = admin.create_topics([NewTopic(topic, partitions, 1)])
        futures[topic].result(CLIENT_TIMEOUT_S)

    def produce(self, topic: str, values: list[bytes]) -> None:
        """Produces with librdkafka, idempotent; returns when all are acknowledged."""
        failures: list[object] = []
        producer = Producer({"bootstrap.servers": self.servers, "enable.idempotence": True})
        for value in values:
            producer.produce(
                topic, value, on_delivery=lambda error, _: failures.append(error) if error else None
            )
        assert producer.flush(CLIENT_TIMEOUT_S) == 0
        assert failures == []

    def consume(self, topic: str, count: int, group: str) -> list[bytes]:
        """Reads from where the group stands, with librdkafka, and commits."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": group,
                "group.instance.id": group,  # noida knows static members only
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        try:
            consumer.subscribe([topic])
            values: list[bytes] = []
            while len(values) < count:
                message = consumer.poll(CLIENT_TIMEOUT_S)
                assert message is not None, f"{len(values)} of {count} records came"
                assert message.error() is None, message.error()
                values.append(message.value())
            consumer.commit(asynchronous=False)
            return values
        finally:
            consumer.close()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(40)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kafka's data, kept from broker to broker."""
    return tmp_path_factory.mktemp("kafka")


@pytest.fixture(scope="module")
def kafka(data_dir: Path) -> Iterator[Broker]:
    """One Kafka for the tests that do not end it."""
    broker = Broker(data_dir, free_port())
    broker.start()
    yield broker
    assert broker.stop() == 0


@needs_java
async def test_aiokafka_and_librdkafka_read_one_another(kafka: Broker) -> None:
    """Both clients produce and both consume, in groups; missing topics are not made up."""
    kafka.create("both", 2)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.servers, enable_idempotence=True)
    await producer.start()
    for number in range(50):
        await producer.send_and_wait("both", b"a%d" % number, partition=number % 2)
    await producer.stop()
    await asyncio.to_thread(kafka.produce, "both", [b"c%d" % number for number in range(50)])
    wanted = {b"%s%d" % (who, number) for who in (b"a", b"c") for number in range(50)}
    assert set(await asyncio.to_thread(kafka.consume, "both", 100, "librdkafka")) == wanted
    consumer = AIOKafkaConsumer(
        "both", bootstrap_servers=kafka.servers, group_id="aiokafka", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(CLIENT_TIMEOUT_S):
            assert {(await consumer.getone()).value for _ in range(100)} == wanted
    finally:
        await consumer.stop()


@needs_java
def test_a_mistyped_topic_is_not_made_up(kafka: Broker) -> None:
    """Asking for it, or producing to it, leaves no topic behind."""
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    asked = admin.list_topics("mistyped", CLIENT_TIMEOUT_S).topics["mistyped"]
    assert asked.error is not None
    assert "mistyped" not in admin.list_topics(timeout=CLIENT_TIMEOUT_S).topics


@needs_java
def test_a_dead_member_is_evicted_within_its_session(kafka: Broker) -> None:
    """A session of 2 s is allowed: the group goes on without the member that just disappeared."""
    kafka.create("evict", 2)
    kafka.produce("evict", [b"x"] * 10)
    program = (
        "import sys; from confluent_kafka import Consumer;"
        "c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'g',"
        " 'session.timeout.ms': 2000, 'heartbeat.interval.ms': 500});"
        "c.subscribe(['evict'], on_assign=lambda *_: print('in', flush=True));"
        "[c.poll(0.2) for _ in range(500)]"
    )
    argv = [sys.executable, "-c", program, kafka.servers]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as member:
        assert member.stdout is not None
        joined = member.stdout.readline()
        member.kill()
    assert joined == "in\n"
    assert kafka.consume("evict", 10, "g") == [b"x"] * 10


@needs_java
def test_what_prevents_a_start_is_one_line(kafka: Broker, data_dir: Path, tmp_path: Path) -> None:
    """Busy port, used directory, no Java, no Maven: what, where, what to do; no traceback."""

    def refusal(*argv: str, **env: str) -> tuple[int, str]:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **env}
        )
        return done.returncode, done.stdout + done.stderr

    code, text = refusal(*command(kafka.port, tmp_path))
    assert (code, text.count("\n")) == (3, 1)
    assert f"port {kafka.port}" in text
    assert "java" in text
    assert "--port" in text
    code, text = refusal(*command(free_port(), data_dir))
    assert (code, text.count("\n")) == (3, 1)
    assert f"pid {kafka.process.pid}" in text
    bare = {"PATH": str(tmp_path), "JAVA_HOME": ""}
    code, text = refusal(*command(free_port(), tmp_path, "--engine", "kafka"), **bare)
    assert (code, text.count("\n")) == (3, 1)
    assert "needs Java" in text
    java = shutil.which("java")
    assert java is not None
    (tmp_path / "java").symlink_to(java)
    no_maven = {**bare, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    code, text = refusal(*command(free_port(), tmp_path, "--engine", "kafka"), **no_maven)
    assert (code, text.count("\n")) == (3, 1)
    assert "Maven" in text


@needs_java
def test_kill_9_and_a_restart_keep_records_and_group_offsets(kafka: Broker) -> None:
    """Kafka dies with our process, frees its directory, and starts again with the same data."""
    kafka.create("kept")
    kafka.produce("kept", [b"%d" % number for number in range(200)])
    assert kafka.consume("kept", 100, "keeps")[-1] == b"99"
    pid = kafka.process.pid
    java = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    kafka.process.kill()
    kafka.process.wait(10)

    async def java_gone() -> bool:
        return not os.path.exists(f"/proc/{java}")  # noqa: PTH110, ASYNC240 - no disk behind it

    asyncio.run(eventually(java_gone, "the end of Java", 10))
    kafka.start()
    assert kafka.process.pid != pid
    rest = kafka.consume("kept", 100, "keeps")
    assert rest == [b"%d" % number for number in range(100, 200)]


def test_without_java_there_is_a_broker_for_a_look(tmp_path: Path) -> None:
    """`auto` falls back to the wheel's binary, says so in one line, and works for one consumer."""
    port = free_port()
    argv = command(port, tmp_path / "data")
    env = {**os.environ, "PATH": "", "JAVA_HOME": ""}
    with subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as broker:
        try:
            assert broker.stdout is not None
            notice = broker.stdout.readline()
            asyncio.run(eventually(kafka_ready("127.0.0.1", port), "noida", 10))
            running = Broker(tmp_path, port)
            running.create("look")
            running.produce("look", [b"1", b"2"])
            assert running.consume("look", 2, "g") == [b"1", b"2"]
        finally:
            broker.terminate()
    assert broker.returncode == 0
    assert notice.startswith("notice: ")
    assert "for a look only" in notice
    assert "Java" in notice
