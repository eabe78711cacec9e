"""A broker with a registry and a webhook for each test: what one tells is news to the next."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from schemas.feeds import FEEDS
from schemas.kafka.admin import ensure_topics
from schemas.topics import all_topics
from tests.support.sink_stack import Kafka
from tests.support.webhook import Webhook


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A broker and a registry."""
    server = Kafka(tmp_path)
    try:
        server.wait()
        ensure_topics(server.settings, all_topics(FEEDS))
        yield server
    finally:
        server.stop()


@pytest.fixture
def group() -> str:
    """A group of the test's own, which remembers nothing."""
    return f"notifier-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    """A webhook that accepts."""
    hook = Webhook()
    await hook.start()
    yield hook
    await hook.stop()
