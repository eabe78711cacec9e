"""The consumers that docs/consumers.md shows, against a real broker and registry."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from confluent_kafka import Consumer

from schemas.records import ZSCORE
from schemas.topics import ZSCORES
from tests.support.maven_jars import jars_of
from tests.support.paths import ROOT
from tests.support.sink_stack import Kafka
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SNIPPETS = ROOT / "docs" / "snippets"
START_TIMEOUT_S = 40.0
EXTREMES = sorted((f"binance-usdm:S{n}USDT", z) for n in (1, 2, 3) for z in (n + 1.5, 9.5))
"""What a consumer prints that drops duplicates."""
PUBLISHED = 11
"""Records on the topic: four contracts twice, and the last extremes."""

RUN_SQL = """
import json, sys, chdb
connection = chdb.connect(sys.argv[1])
for statement in json.loads(sys.argv[2]):
    answer = connection.query(statement).bytes().decode()
    if statement.startswith("SELECT"):
        print(answer, end="", flush=True)
"""
"""A process of its own for the engine, which starts threads and keeps its path."""


def here(text: str, kafka: Kafka) -> str:
    """The text with the addresses of the test's servers."""
    return text.replace("127.0.0.1:9092", kafka.settings.kafka_bootstrap).replace(
        "http://127.0.0.1:8081", kafka.settings.registry_url
    )


@contextmanager
def running(argv: list[str], kafka: Kafka, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A consumer whose output goes to a file, until the test is over."""
    env = {
        **os.environ,
        "KAFKA": kafka.settings.kafka_bootstrap,
        "REGISTRY": kafka.settings.registry_url,
    }
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def extremes_in(log: Path) -> list[tuple[str, float]]:
    """Contract and z of each whole line `time contract z`, in order."""
    words = [line.split() for line in log.read_text().splitlines(keepends=True) if line[-1] == "\n"]
    return sorted((w[1], float(w[2])) for w in words if len(w) == 3 and ":S" in w[1])


def wait_for_the_last(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the newest extreme of each contract has been printed."""

    def printed() -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        return sum(z == 9.5 for _, z in extremes_in(log)) >= 3

    until(printed, f"the last extremes in {log}", START_TIMEOUT_S)


@pytest.fixture(scope="session")
def jars() -> Path:
    """What the Java consumer needs."""
    return jars_of(SNIPPETS / "java" / "pom.xml", "consumer-java-1", "avro-*.jar")


def test_python_prints_each_extreme_once(kafka: Kafka, tmp_path: Path) -> None:
    """Begun an hour back, it knows again what came twice."""
    log = tmp_path / "python.log"
    with running([sys.executable, str(SNIPPETS / "high_z.py"), "60"], kafka, log) as process:
        wait_for_the_last(process, log)
    assert extremes_in(log) == EXTREMES


def test_java_prints_each_extreme_once(kafka: Kafka, jars: Path, tmp_path: Path) -> None:
    """With Apache's own clients, and no library for the registry."""
    log = tmp_path / "java.log"
    argv = ["java", "-cp", f"{jars}/*", str(SNIPPETS / "java" / "HighZ.java")]
    with running(argv, kafka, log) as process:
        wait_for_the_last(process, log)
    assert extremes_in(log) == EXTREMES


def test_kcat_shows_keys_and_offsets(kafka: Kafka) -> None:
    """The newest records of each partition, with Kafka's time."""
    if shutil.which("kcat") is None:
        pytest.skip("needs kcat")
    argv = shlex.split(here((SNIPPETS / "kcat.sh").read_text(), kafka))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    keys = {line.split()[1] for line in done.stdout.splitlines()}
    assert {contract for contract, _ in EXTREMES} <= keys


def statements() -> dict[str, str]:
    """The statements of the page for ClickHouse's Kafka engine, by what they make."""
    texts = (SNIPPETS / "kafka_engine.sql").read_text().split(";")
    return {text.split("(")[0].split(" TO ")[0].split()[-1]: text for text in texts if text.strip()}


def test_clickhouse_reads_what_is_on_the_topic(kafka: Kafka, tmp_path: Path) -> None:
    """By the page's format, columns, view and table; chdb cannot run the Kafka engine itself."""
    made = statements()
    queue, _, kafka_engine = made["desk.zscores_queue"].partition("ENGINE = Kafka")
    columns = queue.partition("(")[2].rpartition(")")[0]
    file = tmp_path / "values.avro"
    file.write_bytes(b"".join(values(kafka)))
    settings = here(kafka_engine, kafka).rpartition("format_avro")[2]
    source = f"file('{file}', AvroConfluent, $${columns}$$)"
    script = [
        f"EXPLAIN AST {made['desk.zscores_queue']}",
        *(made["desk"], made["desk.zscores"], f"{queue} ENGINE = Null"),
        *(made["desk.zscores_consumer"], (SNIPPETS / "connect_table.sql").read_text()),
        f"INSERT INTO desk.zscores_queue SELECT * FROM {source} SETTINGS format_avro{settings}",
    ]
    script.append("SELECT count() FROM desk.zscores FINAL FORMAT JSONCompactEachRow")
    script.append(
        "SELECT contract_id, z FROM desk.zscores FINAL WHERE zone = 'high' ORDER BY ALL "
        "FORMAT JSONCompactEachRow"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN_SQL, str(tmp_path / "clickhouse"), json.dumps(script)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    total, *rows = (json.loads(line) for line in done.stdout.splitlines())
    assert [int(n) for n in total] == [len(EXTREMES) + 1]
    assert [tuple(row) for row in rows] == EXTREMES


def values(kafka: Kafka) -> list[bytes]:
    """Every value that is on the topic."""
    config = {"bootstrap.servers": kafka.settings.kafka_bootstrap, "group.id": "values"}
    consumer = Consumer({**config, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([ZSCORES.name])
    found: list[bytes] = []

    def all_there() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message.value())
        return len(found) == PUBLISHED

    try:
        until(all_there, "every record", START_TIMEOUT_S)
    finally:
        consumer.close()
    return found


@pytest.mark.parametrize("name", ["field_added", "field_refused"])
def test_the_registry_answers_as_the_page_shows(name: str, kafka: Kafka) -> None:
    """About the page's field as an addition to the newest schema of the topic."""
    field = json.loads((SNIPPETS / f"{name}.json").read_text())
    schema = json.loads(ZSCORE.text)
    schema["fields"].append(field)
    answer = requests.post(
        f"{kafka.settings.registry_url}/compatibility/subjects/{ZSCORES.subject}/versions/latest",
        params={"verbose": "true"}, json={"schema": json.dumps(schema)}, timeout=10,
    )  # fmt: skip
    shown = (SNIPPETS / f"{name}_answer.json").read_text()
    assert without_positions(answer.text) == without_positions(shown)


def without_positions(answer: str) -> object:
    """The answer, whatever the numbers of the field and of the version are today."""
    return json.loads(re.sub(r"(/fields/|version )\d+", r"\1N", answer))
