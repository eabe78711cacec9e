"""Kafka's clients: what librdkafka has to say goes to Python's logging, never to the terminal."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CLIENTS = {"Consumer", "Producer", "AdminClient"}
NOBODY_LISTENS = """
import logging, sys
from schemas.kafka import clients
from schemas.process.logs import setup_logging
if sys.argv[2:] == ["service"]:
    setup_logging("INFO")
made = getattr(clients, sys.argv[1])({"bootstrap.servers": "127.0.0.1:1", "group.id": "x"})
told = []
logging.getLogger("librdkafka").addFilter(lambda record: not told.append(record))
while not told:
    made.poll(0.1)
"""


def own_sources() -> Iterator[Path]:
    """Every Python file of the parts."""
    for part in ("schemas", "producers", "stream_app", "infra"):
        yield from (ROOT / part).rglob("*.py")


def test_clients_are_made_in_one_place() -> None:
    """No other module imports the classes, so that no client is without a logger."""
    importing = set()
    for path in own_sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("confluent_kafka"):
                found = CLIENTS & {alias.name for alias in node.names}
                importing |= {path.relative_to(ROOT).as_posix()} if found else set()
    assert importing == {"schemas/kafka/clients.py"}


def run(kind: str, *more: str) -> str:
    """What a process writes to the terminal whose client has met a failure to connect."""
    done = subprocess.run(
        [sys.executable, "-c", NOBODY_LISTENS, kind, *more],
        capture_output=True, text=True, check=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["consumer", "producer", "admin_client"])
def test_a_tool_shows_nothing_of_it(kind: str) -> None:
    """It sets up no logging, and tells of a failure itself."""
    assert run(kind) == ""


def test_a_service_shows_it_as_a_line_of_its_log() -> None:
    """With the time and the level, like every other line."""
    lines = run("producer", "service").splitlines()
    assert lines
    assert all(" librdkafka " in line for line in lines), lines
