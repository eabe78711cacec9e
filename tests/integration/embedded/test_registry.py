"""The schema registry as Confluent's serialisers see it: the real process, the real client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import http_ready
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

START_TIMEOUT_S = 20.0
IDS = {"name": "id", "type": "long"}
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
REQUIRED = {"name": "must", "type": "string"}


def schema(*fields: dict[str, Any]) -> str:
    """A record schema."""
    return json.dumps({"type": "record", "name": "R", "namespace": "t", "fields": fields})


def command(port: int, data_dir: Path) -> list[str]:
    """The registry's command line."""
    base = [sys.executable, "-m", "infra.cli", "registry"]
    return [*base, "--port", str(port), "--data-dir", str(data_dir)]


class Registry:
    """One running registry process."""

    def __init__(self, data_dir: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(command(self.port, data_dir), stdout=subprocess.DEVNULL)
        asyncio.run(eventually(http_ready(f"{self.url}/subjects"), "registry", START_TIMEOUT_S))
        self.client = SchemaRegistryClient({"url": self.url})

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(10)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One registry for the tests that do not end it."""
    running = Registry(tmp_path_factory.mktemp("registry"))
    yield running
    assert running.stop() == 0


def test_serialisers_register_and_read(registry: Registry) -> None:
    """A record goes through AvroSerializer and AvroDeserializer, in the Confluent wire format."""
    context = SerializationContext("topic-a", MessageField.VALUE)
    encoded = AvroSerializer(registry.client, schema(IDS))({"id": 7}, context)
    assert encoded is not None
    registered = registry.client.get_latest_version("topic-a-value")
    assert encoded[:5] == b"\0" + registered.schema_id.to_bytes(4, "big")
    reader = AvroDeserializer(SchemaRegistryClient({"url": registry.url}), schema(IDS, NOTE))
    assert reader(encoded, context) == {"id": 7, "note": None}


def test_incompatible_schemas_are_refused(registry: Registry) -> None:
    """409 for a field without default; the subject is as it was."""
    subject = "topic-b-value"
    first = registry.client.register_schema(subject, Schema(schema(IDS), "AVRO"))
    with pytest.raises(SchemaRegistryError) as refused:
        registry.client.register_schema(subject, Schema(schema(IDS, REQUIRED), "AVRO"))
    assert refused.value.http_status_code == 409
    assert not registry.client.test_compatibility(subject, Schema(schema(IDS, REQUIRED), "AVRO"))
    assert registry.client.get_versions(subject) == [1]
    second = registry.client.register_schema(subject, Schema(schema(IDS, NOTE), "AVRO"))
    assert second > first
    assert registry.client.get_versions(subject) == [1, 2]
    # The serialiser itself, with automatic registration, meets the same refusal.
    serialise = AvroSerializer(registry.client, schema(IDS, REQUIRED))
    with pytest.raises(SchemaRegistryError):
        serialise({"id": 1, "must": "x"}, SerializationContext("topic-b", MessageField.VALUE))


def test_one_schema_has_one_id(registry: Registry) -> None:
    """Registering again, in other words and in another subject, gives the same id."""
    text = schema(IDS, NOTE)
    spaced = json.dumps(json.loads(text), indent=2, sort_keys=True)
    ids = {
        registry.client.register_schema("topic-c-value", Schema(text, "AVRO")),
        registry.client.register_schema("topic-c-value", Schema(spaced, "AVRO")),
        registry.client.register_schema("topic-d-value", Schema(text, "AVRO")),
    }
    assert len(ids) == 1
    assert registry.client.get_versions("topic-c-value") == [1]
    uses = requests.get(f"{registry.url}/schemas/ids/{ids.pop()}/versions", timeout=5).json()
    assert {"subject": "topic-d-value", "version": 1} in uses


def test_named_types_of_other_subjects(registry: Registry) -> None:
    """A schema may refer to a type that another subject holds."""
    shared = json.dumps({"type": "enum", "name": "Side", "namespace": "t", "symbols": ["a", "b"]})
    registry.client.register_schema("side", Schema(shared, "AVRO"))
    body = {
        "schema": schema({"name": "side", "type": "t.Side"}),
        "references": [{"name": "t.Side", "subject": "side", "version": 1}],
    }
    url = f"{registry.url}/subjects/order-value/versions"
    assert requests.post(url, json=body, timeout=5).status_code == 200
    assert requests.post(url, json={"schema": body["schema"]}, timeout=5).status_code == 422
    by = requests.get(f"{registry.url}/subjects/side/versions/1/referencedby", timeout=5).json()
    assert len(by) == 1


def test_errors_have_confluents_codes(registry: Registry) -> None:
    """Unknown subject, version and id; bad schema; bad JSON; too large a request."""
    url = registry.url

    def code(answer: requests.Response) -> tuple[int, int]:
        return answer.status_code, answer.json()["error_code"]

    registry.client.register_schema("topic-e-value", Schema(schema(IDS), "AVRO"))
    versions = f"{url}/subjects/topic-e-value/versions"
    assert code(requests.get(f"{url}/subjects/none/versions", timeout=5)) == (404, 40401)
    assert code(requests.get(f"{versions}/9", timeout=5)) == (404, 40402)
    assert code(requests.get(f"{versions}/x", timeout=5)) == (422, 42202)
    assert code(requests.get(f"{url}/schemas/ids/999999", timeout=5)) == (404, 40403)
    assert code(requests.post(versions, json={"schema": '{"type":"no"}'}, timeout=5)) == (
        422,
        42201,
    )
    assert code(requests.post(versions, data=b"{", timeout=5)) == (400, 400)
    assert code(requests.post(versions, data=b"x" * (1 << 21), timeout=5)) == (413, 413)
    bad_level = requests.put(f"{url}/config", json={"compatibility": "SOME"}, timeout=5)
    assert code(bad_level) == (422, 42203)


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_pages_cannot_drive_it(registry: Registry, headers: dict[str, str]) -> None:
    """Foreign Host or Origin: refused before anything is registered."""
    url = f"{registry.url}/subjects/evil/versions"
    answer = requests.post(url, json={"schema": schema(IDS)}, headers=headers, timeout=5)
    assert answer.status_code == 403
    assert "evil" not in registry.client.get_subjects()


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Schemas, levels and deletions are there after it, and ids go on from where they were."""
    first = Registry(tmp_path)
    acknowledged: dict[str, int] = {}

    def register_on_and_on() -> None:
        for number in range(100_000):
            text = schema({"name": f"f{number}", "type": "long"})
            try:
                answer = requests.post(
                    f"{first.url}/subjects/s{number}/versions", json={"schema": text}, timeout=5
                )
            except requests.RequestException:
                return
            acknowledged[f"s{number}"] = answer.json()["id"]
            if number == 20:
                enough.set()

    first.client.set_compatibility("s-level", "FULL")
    first.client.register_schema("s-gone", Schema(schema(REQUIRED), "AVRO"))
    first.client.delete_subject("s-gone")
    enough = threading.Event()
    writer = threading.Thread(target=register_on_and_on)
    writer.start()
    assert enough.wait(10)
    first.process.kill()
    first.process.wait(10)
    writer.join(10)
    with (tmp_path / "registry.jsonl").open("ab") as log:
        log.write(b'{"op":"register","subj')  # as a write that kill -9 has torn
    second = Registry(tmp_path)
    for subject, schema_id in acknowledged.items():
        assert second.client.get_latest_version(subject).schema_id == schema_id
    assert second.client.get_compatibility("s-level") == "FULL"
    assert "s-gone" not in second.client.get_subjects()
    new_id = second.client.register_schema("s-new", Schema(schema(IDS, NOTE), "AVRO"))
    assert new_id > max(acknowledged.values())
    assert second.stop() == 0
    third = Registry(tmp_path)
    assert third.client.get_latest_version("s-new").schema_id == new_id
    assert third.stop() == 0


def test_what_prevents_a_start_is_one_line(registry: Registry, tmp_path: Path) -> None:
    """Busy port, used directory, damaged log: what, where, what to do."""

    def refusal(port: int, data_dir: Path) -> tuple[int, str]:
        done = subprocess.run(
            command(port, data_dir), capture_output=True, text=True, timeout=20, check=False,
            env=dict(os.environ),
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, text = refusal(registry.port, tmp_path)
    assert (code, text.count("\n")) == (3, 1)
    assert f"port {registry.port}" in text
    assert f"pid {registry.process.pid}" in text
    (tmp_path / "registry.jsonl").write_text('{"op":"nonsense"}\n')
    code, text = refusal(free_port(), tmp_path)
    assert (code, text.count("\n")) == (6, 1)
    assert "line 1 of" in text
